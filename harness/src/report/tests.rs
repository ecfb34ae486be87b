use super::*;
use crate::store::{CurvePoint, PhaseResults, Plan};
use serde_json::json;

fn page_of(store: &Store) -> String {
    render(&Experiment::load(store).unwrap())
}

/// Writes the report of the made-up store, to be looked at in a browser:
/// `SPECK_PREVIEW=$PWD/report.html cargo test -p speck-harness preview -- --ignored`
#[test]
#[ignore = "writes a file for people to look at"]
fn preview() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.sqlite");
    let store = fixture::fill(&path);
    println!("{}", terminal_table(&store).unwrap());
    let out = std::env::var_os("SPECK_PREVIEW").expect("set SPECK_PREVIEW to the file to write");
    println!("{:?}", write(&path, Path::new(&out)).unwrap());
}

#[test]
fn the_file_is_complete_and_names_every_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.sqlite");
    let store = fixture::fill(&path);
    let out = folder.path().join("reports/first.html");
    let summary = write(&path, &out).unwrap();
    let html = std::fs::read_to_string(&out).unwrap();
    assert_eq!(summary.bytes, html.len());
    assert_eq!((summary.runs, summary.models), (10, 5));
    for forbidden in ["http:", "https:", "<script", "src=", "@import", "url(", "<link"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    for run in store.runs().unwrap() {
        assert!(html.contains(&format!("id=\"run-{}\"", run.id)));
        assert!(html.contains(&format!("href=\"#run-{}\"", run.id)));
    }
    for id in [
        "verdict",
        "training",
        "battery-general",
        "battery-generalization",
        "error-maps",
        "samples",
        "transfer-7e57ab1e",
        "meta-5eed0001",
        "runs",
    ] {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
        assert!(html.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    // No placeholder colour of the charts is left.
    assert!(!html.contains("\"#010"), "a placeholder colour is left");
    assert_eq!(page_of(&store), html, "the same store, the same report");
}

#[test]
fn links_lead_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = fixture::fill(&folder.path().join("first.sqlite"));
    let html = page_of(&store);
    for link in html.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(html.contains(&format!("id=\"{target}\"")), "{target}");
    }
}

#[test]
fn a_store_with_little_in_it_gives_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("half.sqlite")).unwrap();
    let html = page_of(&store);
    assert!(html.contains("0 runs"));
    assert!(html.contains("No run has finished anything of: training"));

    // A run that has begun, another that is planned, a third given up.
    for place in 0..2 {
        store.record_run(&fixture::record(place, "mlp", "adam", 0)).unwrap();
    }
    let begun = fixture::record(0, "mlp", "adam", 0).id;
    store
        .set_plan(&Plan {
            name: "half".to_string(),
            runs: vec![begun.clone(), "ffffffffffffffff".to_string()],
        })
        .unwrap();
    let html = page_of(&store);
    assert!(html.contains("1 planned run not begun"));
    assert!(html.contains("1 run of earlier versions"));
    assert!(html.contains(&begun));

    // Every phase alone, and with nothing in it.
    let phases = [
        "train",
        "battery/general",
        "battery/generalization-0123",
        "transfer-01/count/same/retrain",
        "transfer-01/odd",
        "meta-01/background/white",
        "meta-01",
        "something else",
    ];
    for phase in phases {
        store.finish_phase(&begun, phase, &PhaseResults::default()).unwrap();
        let html = page_of(&store);
        assert!(html.contains(phase), "{phase}");
    }
}

/// Artefacts of another form than expected are shown as missing.
#[test]
fn strange_contents_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("strange.sqlite")).unwrap();
    let mut run = fixture::record(0, "<script>alert(1)</script>", "adam", 0);
    run.config_json = "not JSON".to_string();
    store.record_run(&run).unwrap();
    let point = |value| CurvePoint { series: "loss".to_string(), step: 1, value };
    for value in [f64::NAN, f64::INFINITY, -1e308, 1e308, 0.0] {
        for artefact in [
            json!(null),
            json!([]),
            json!({"exact": [1, 2]}),
            json!([{"rows": "x"}]),
            json!("text"),
        ] {
            let names = ["error map", "samples", "model", "timing", "description", "regimen"];
            let results = PhaseResults {
                scores: vec![
                    fixture::score("train", "training positions", "exact hit", Some(value)),
                    fixture::score("general", "2 specks, line, red", "f1", Some(value)),
                ],
                curves: vec![point(value), CurvePoint { step: 2, ..point(2.0 * value) }],
                artefacts: names.map(|name| (name.to_string(), artefact.clone())).to_vec(),
            };
            for phase in
                ["train", "battery/general", "transfer-0/count/same/retrain", "meta-0/speck/near"]
            {
                store.finish_phase(&run.id, phase, &results).unwrap();
            }
            let html = page_of(&store);
            assert!(!html.contains("<script"));
            assert!(html.contains("&lt;script&gt;"));
            assert!(html.contains("not JSON"));
            terminal_table(&store).unwrap();
        }
    }
}

#[test]
fn no_value_is_a_dash() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("none.sqlite")).unwrap();
    let run = fixture::record(0, "mlp", "adam", 0);
    store.record_run(&run).unwrap();
    let results = PhaseResults {
        scores: vec![fixture::score("train", "training positions", "exact hit", None)],
        ..PhaseResults::default()
    };
    store.finish_phase(&run.id, "train", &results).unwrap();
    let html = page_of(&store);
    let short = &run.id[..8];
    assert!(html.contains(">–</td>"));
    assert!(html.contains(&format!("runs: {short} none; 4096 cases each")));
    let table = terminal_table(&store).unwrap();
    assert!(table.lines().any(|line| line.starts_with("mlp") && line.ends_with('–')), "{table}");
    assert!(table.contains("–: nothing to measure"), "{table}");
}

#[test]
fn the_terminal_table_is_aligned_and_fits() {
    let folder = tempfile::tempdir().unwrap();
    let store = fixture::fill(&folder.path().join("first.sqlite"));
    let text = terminal_table(&store).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 150), "{text}");
    let table: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let begin = table.iter().position(|line| line.starts_with("model")).unwrap();
    let rows = &table[begin..];
    assert_eq!(rows.len(), 6);
    let length = |line: &str| line.chars().count();
    assert!(rows.iter().all(|line| length(line) == length(rows[0])), "{text}");
}

#[test]
fn a_model_that_learned_nothing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("stuck.sqlite")).unwrap();
    for (place, hits) in [(0, 1.0), (1, 0.0)] {
        let run = fixture::record(place, if place == 0 { "mlp" } else { "cnn" }, "adam", 0);
        store.record_run(&run).unwrap();
        let results = PhaseResults {
            scores: vec![fixture::score("train", "training positions", "exact hit", Some(hits))],
            curves: [(1, 8.3178), (2, 8.3179)]
                .map(|(step, value)| CurvePoint { series: "loss".to_string(), step, value })
                .to_vec(),
            ..PhaseResults::default()
        };
        store.finish_phase(&run.id, "train", &results).unwrap();
    }
    let html = page_of(&store);
    assert!(html.contains("Not learned: <b>cnn</b>"), "{html}");
    assert!(html.contains("loss 8.32 at first, 8.32 at the end"));
    let text = terminal_table(&store).unwrap();
    assert!(text.contains("Not learned: cnn is"), "{text}");
    assert!(!text.contains("Not learned: mlp"), "{text}");
}

#[test]
fn steps_that_were_not_reached_are_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("bounds.sqlite")).unwrap();
    let run = fixture::record(0, "mlp", "adam", 0);
    store.record_run(&run).unwrap();
    for (start, steps, area) in [("retrain", Some(0.0), 0.75), ("scratch", None, 0.25)] {
        let cell = format!("count, same, {start}");
        let score = |metric, value| fixture::score("transfer", &cell, metric, value);
        let point = |step, value| CurvePoint { series: "new task".to_string(), step, value };
        let results = PhaseResults {
            scores: vec![score("steps to threshold", steps), score("area", Some(area))],
            curves: vec![point(0, area), point(150, area)],
            artefacts: vec![(
                "description".to_string(),
                json!({"metric": "f1", "threshold": 0.9, "data": {"speck": "red"}}),
            )],
        };
        let phase = format!("transfer-7e57ab1e/count/same/{start}");
        store.finish_phase(&run.id, &phase, &results).unwrap();
    }
    let html = page_of(&store);
    for shown in [">0</td>", ">&gt; 150</td>", ">+50.0</td>", "changed: speck white → red"] {
        assert!(html.contains(shown), "{shown}");
    }
}

#[test]
fn the_work_of_a_step_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let store = fixture::fill(&folder.path().join("work.sqlite"));
    let html = page_of(&store);
    let drawn = [
        "conv.0: conv2d, backward",
        "20.0 kFLOP executed of 2.0 MFLOP in the dense program",
        "width=\"1.00\"",
        "<td class=\"v\">added</td>",
    ];
    for shown in drawn {
        assert!(html.contains(shown), "{shown}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.sqlite");
    Store::open(&path).unwrap();
    let failure = write(&path, folder.path()).unwrap_err();
    assert!(failure.to_string().contains("cannot write the report"), "{failure}");
    let failure = write(&folder.path().join("other.sqlite"), &path).unwrap_err();
    assert!(matches!(failure, ReportError::Store(StoreError::Missing { .. })));
}

/// The parts of a regimen, each with what was reached in it.
#[test]
fn the_parts_of_a_regimen_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("parts.sqlite")).unwrap();
    let plain = fixture::record(1, "mlp", "adam", 0);
    let mut run = fixture::record(0, "cnn", "adam", 0);
    let config = json!({"learner": {"kind": "gradient", "settings": {"rate": 0.003}}});
    run.config_json = config.to_string();
    let settings = json!({"rate": 0.001});
    let part = |name: &str, from: u64, begins: &str| {
        json!({"name": name, "from": from, "steps": 1000, "begins": begins,
               "learner": settings, "data": {"positions": "all"}})
    };
    let value = json!({
        "kind": "llf", "settings": {"generations": 2},
        "stretches": [part("generation 1", 0, "new weights"),
                      part("generation 2", 1000, "new weights of head, new moments")],
    });
    let point = |step, value| CurvePoint { series: "exact hit".to_string(), step, value };
    for (run, artefacts) in [(&plain, vec![]), (&run, vec![("regimen".to_string(), value)])] {
        store.record_run(run).unwrap();
        let curves = vec![point(0, 0.0), point(600, 0.25), point(1400, 0.5), point(2000, 0.75)];
        let results = PhaseResults { curves, artefacts, ..PhaseResults::default() };
        store.finish_phase(&run.id, "train", &results).unwrap();
    }
    let html = page_of(&store);
    let section = html.split("<section id=\"regimens\">").nth(1).expect("a section");
    let section = section.split("</section>").next().unwrap();
    for shown in [
        "later-layer forgetting",
        "2 parts.",
        "generations = 2",
        "parts: generation 1 from step 0, generation 2 from step 1",
        "<th scope=\"row\">generation 2</th>",
        "new weights of head, new moments",
        "rate 0.003 → 0.001",
        ">25.0",
        ">75.0",
    ] {
        assert!(section.contains(shown), "{shown}");
    }
    let shown = section.split("<details class=\"source\">").next().unwrap();
    assert!(!shown.contains("mlp"), "the plain regimen has no parts");
}
