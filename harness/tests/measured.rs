//! Diagnostics and ensembles of a run: the training is the same with and without
//! them, they can be asked for later, and a killed run goes on to the same bits.

mod support;

use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use speck_harness::diagnostics::{self, Diagnostic};
use speck_harness::ensembles;
use support::{Place, Results, assert_bits, assert_same, left_by_a_kill, results};

const RUN: &str = r#"
name = "measured"
[data]
positions = "checkerboard"
[learner.gradient]
schedule = "cosine"
steps = 30
batch = 8
[[model]]
kind = "cnn"
channels = [2, 2]
norm = "batch"
dropout = 0.2
head = "gap"
"#;

/// Every diagnostic and every ensemble, in small.
fn asked() -> String {
    let table = |d: &Diagnostic| {
        let small =
            [("samples", 8), ("support", 64), ("iterations", 3), ("draws", 1), ("every", 5)];
        let known = |name: &str| d.dimensions.iter().any(|dimension| dimension.name == name);
        let given = small.iter().filter(|(name, _)| known(name));
        let given: String = given.map(|(name, value)| format!("{name} = {value}\n")).collect();
        format!("[[diagnostic]]\nkind = \"{}\"\n{given}", d.name)
    };
    let members =
        |e: &ensembles::Ensemble| format!("[[ensemble]]\nkind = \"{}\"\nmembers = 2\n", e.name);
    let battery = "[[battery]]\nkind = \"general\"\nsamples = 4\n".to_owned();
    let all = std::iter::once(battery).chain(diagnostics::ALL.iter().map(table));
    all.chain(ensembles::ALL.iter().map(members)).collect()
}

fn whole() -> String {
    format!("{RUN}{}", asked())
}

const WORDS: [&str; 3] = ["run", "measured.toml", "--quiet"];

fn stored(place: &Place) -> Results {
    results(&place.path("runs/measured.sqlite"))
}

#[test]
fn a_run_is_the_same_with_without_later_and_killed() {
    let with = Place::with("measured.toml", whole());
    let start = Instant::now();
    with.succeed(&WORDS);
    let time = start.elapsed();
    let wanted = stored(&with);
    // Training, a battery, and a phase each.
    assert_eq!(wanted.len(), 2 + diagnostics::ALL.len() + ensembles::ALL.len());
    for ((_, phase), results) in &wanted {
        let curves = phase.starts_with("battery") || !results.curves.is_empty();
        let scores = phase.starts_with("diagnostic") || !results.scores.is_empty();
        assert!(curves && scores, "{phase}");
    }
    // Of what was in between nothing is left but the trained network.
    let left = |place: &Place| -> Vec<String> {
        let files = place.names().into_iter();
        files.filter(|name| name.ends_with(".safetensors")).collect()
    };
    assert_eq!(left(&with).len(), 1, "{:?}", left(&with));
    let report = std::fs::read_to_string(with.path("runs/measured.html")).expect("a report");
    for d in diagnostics::ALL {
        assert!(report.contains(&format!("<section id=\"diagnostic-{}-", d.name)), "{}", d.name);
    }
    for e in ensembles::ALL {
        assert!(report.contains(&format!("<section id=\"ensemble-{}-", e.name)), "{}", e.name);
    }
    assert!(!report.contains("Nothing to draw"), "an empty chart");

    // Without, and then asked for: the training is done once more, beside.
    let later = Place::with("measured.toml", RUN);
    later.succeed(&WORDS);
    let before = stored(&later);
    assert_eq!(before.len(), 1);
    assert_bits(&before, &wanted);
    later.write("measured.toml", whole());
    later.succeed(&WORDS);
    assert_same(&stored(&later), &wanted);
    assert_eq!(left(&later).len(), 1);

    // Killed again and again.
    let words = ["run", "measured.toml", "--checkpoint-every", "0", "--quiet"];
    let place = Place::with("measured.toml", whole());
    for kill in 1..=8 {
        let mut command = place.command(&words);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the command starts");
        sleep(time.mul_f64(0.05 * f64::from(kill)));
        child.kill().expect("a signal");
        if child.wait().expect("an end").success() {
            break;
        }
        assert_bits(&left_by_a_kill(&place, "measured"), &wanted);
    }
    place.succeed(&words);
    assert_same(&stored(&place), &wanted);
}
