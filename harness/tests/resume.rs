//! A run may be killed at any moment and goes on to the same bits; so it does
//! at any number of threads.
#![cfg(unix)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::{Place, Results, assert_bits, assert_same, left_by_a_kill, results};

/// SIGKILL: the process gets no chance to put anything in order.
const KILL: i32 = 9;

/// What the whole experiment leaves behind when nobody stops it.
struct Reference {
    results: Results,
    time: Duration,
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let place = Place::with("whole.toml", support::whole());
        let start = Instant::now();
        place.succeed(&["run", "whole.toml", "--threads", "1", "--jobs", "1", "--quiet"]);
        let time = start.elapsed();
        let results = results(&place.path("runs/whole.sqlite"));
        let runs: std::collections::BTreeSet<_> = results.keys().map(|(run, _)| run).collect();
        // Training, two batteries, three legs of meta and up to twelve of transfer.
        assert_eq!(runs.len(), 3);
        assert!(results.len() >= 3 * (1 + 2 + 3 + 6), "{:?}", results.keys());
        assert!(results.values().all(|phase| !phase.scores.is_empty()));
        Reference { results, time }
    })
}

/// Demands that a store of the small experiment holds its phases, all of them,
/// as the whole experiment has them.
#[track_caller]
fn assert_part(place: &Place) {
    let found = results(&place.path("runs/part.sqlite"));
    let reference = &reference().results;
    assert_bits(&found, reference);
    let run = &found.first_key_value().expect("a phase").0.0;
    let belongs = |phase: &str| {
        phase == "train" || phase.starts_with("battery/general-") || phase.starts_with("meta-")
    };
    let wanted = reference.keys().filter(|(other, phase)| other == run && belongs(phase));
    assert!(found.keys().eq(wanted), "{:?}", found.keys());
}

/// The folder of the small experiment's one run.
fn run_folder(place: &Place) -> PathBuf {
    let folder = std::fs::read_dir(place.path("runs/part")).expect("a folder");
    folder.map(|entry| entry.expect("an entry").path()).next().expect("a run")
}

/// Random numbers by hashing a counter (SplitMix64), in [0, 1).
struct Draws {
    seed: u64,
    counter: u64,
}

impl Draws {
    /// Seeded by the clock, or by `SPECK_TEST_SEED`.
    fn new() -> Self {
        let clock = || {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
            time.as_nanos() as u64
        };
        let given = std::env::var("SPECK_TEST_SEED").ok();
        let seed = given.map_or_else(clock, |text| text.parse().expect("a whole number"));
        println!("SPECK_TEST_SEED={seed}");
        Draws { seed, counter: 0 }
    }

    fn next(&mut self) -> f64 {
        self.counter += 1;
        let mut z = self.seed.wrapping_add(self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Demands that what a killed run left behind is sound: a store that can be
/// opened, whose finished phases are finished entirely; no half of a report.
/// Returns how many phases are finished.
#[track_caller]
fn assert_sound(place: &Place) -> usize {
    assert_whole_report(&place.path("runs/whole.html"));
    let found = left_by_a_kill(place, "whole");
    assert_bits(&found, &reference().results);
    found.len()
}

/// Demands that there is a whole report, or none.
#[track_caller]
fn assert_whole_report(path: &Path) {
    if let Ok(text) = std::fs::read_to_string(path) {
        assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
    }
}

#[test]
fn a_run_killed_at_ten_random_moments_ends_with_the_same_bits() {
    let Reference { results: wanted, time } = reference();
    let words = ["run", "whole.toml", "--checkpoint-every", "0", "--quiet"];
    let mut draws = Draws::new();
    let mut kills = 0;
    while kills < 10 {
        let place = Place::with("whole.toml", support::whole());
        // Progress is kept from life to life, so the moments spread over all
        // phases. A run that ends between two kills is compared, and another
        // one begun.
        while kills < 10 {
            let mut command = place.command(&words);
            let command = command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("the command starts");
            let moment = time.mul_f64(draws.next() * 0.3);
            sleep(moment);
            child.kill().expect("a signal");
            let status = child.wait().expect("an end");
            if status.signal() != Some(KILL) {
                assert!(status.success(), "{status}");
                break;
            }
            kills += 1;
            let (finished, all) = (assert_sound(&place), wanted.len());
            println!("killed after {moment:?}: {finished} of {all} phases are finished");
        }
        place.succeed(&words);
        assert_same(&results(&place.path("runs/whole.sqlite")), wanted);
        assert!(place.path("runs/whole.html").exists());
        assert_whole_report(&place.path("runs/whole.html"));
    }
}

#[test]
fn threads_and_jobs_do_not_change_a_bit() {
    for (threads, jobs) in [("2", "1"), ("2", "2")] {
        let place = Place::with("whole.toml", support::whole());
        place.succeed(&["run", "whole.toml", "--threads", threads, "--jobs", jobs, "--quiet"]);
        assert_same(&results(&place.path("runs/whole.sqlite")), &reference().results);
    }
}

#[test]
fn what_is_finished_is_not_run_again() {
    // When each phase was finished, and its place in the table: a phase that is
    // written again gets a new place.
    let marks = |place: &Place| -> Vec<(String, i64, i64)> {
        let store = rusqlite::Connection::open(place.path("runs/part.sqlite")).expect("a store");
        let query = "SELECT phase, finished_at, rowid FROM phases ORDER BY rowid";
        let mut statement = store.prepare(query).expect("a query");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    };
    let place = Place::with("part.toml", support::part());
    let first = place.succeed(&["run", "part.toml"]);
    let network = run_folder(&place).join("train.safetensors");
    let written = |path: &Path| std::fs::metadata(path).and_then(|d| d.modified()).expect("a time");
    let (before, time) = (marks(&place), written(&network));
    let second = place.succeed(&["run", "part.toml"]);
    assert_eq!(marks(&place), before);
    assert_eq!(written(&network), time);
    assert_eq!(second.out, first.out);
    assert_part(&place);
}

#[test]
fn a_new_seed_leaves_the_finished_runs_alone() {
    let place = Place::with("short.toml", support::SHORT);
    place.succeed(&["run", "short.toml", "--quiet"]);
    let before = results(&place.path("runs/short.sqlite"));
    place.write("short.toml", format!("seeds = [0, 1]\n{}", support::SHORT));
    place.succeed(&["run", "short.toml", "--quiet"]);
    let after = results(&place.path("runs/short.sqlite"));
    assert_eq!((before.len(), after.len()), (1, 2));
    assert_bits(&before, &after);
}

#[test]
fn a_lost_network_is_trained_again() {
    let place = Place::with("part.toml", support::part());
    place.succeed(&["run", "part.toml", "--quiet"]);
    let network = run_folder(&place).join("train.safetensors");
    std::fs::remove_file(&network).expect("the trained network");
    place.succeed(&["run", "part.toml", "--quiet"]);
    assert!(network.exists());
    assert_part(&place);
}

/// Starts the small experiment and kills it as soon as there is a checkpoint of
/// its training; returns the checkpoint. On a busy machine the kill may come when
/// training has ended: then once more.
fn killed_in_training(place: &Place) -> PathBuf {
    for _ in 0..20 {
        let checkpoint = killed_with_checkpoint(place);
        if !left_by_a_kill(place, "part").keys().any(|(_, phase)| phase == "train") {
            return checkpoint;
        }
        std::fs::remove_dir_all(place.path("runs")).expect("a folder that can be removed");
    }
    panic!("twenty times the training ended before it was killed");
}

fn killed_with_checkpoint(place: &Place) -> PathBuf {
    let mut command = place.command(&["run", "part.toml", "--checkpoint-every", "0"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the command starts");
    let name = loop {
        // Asked before the look at the files: what ends in between has left its network.
        let ended = child.try_wait().expect("a status");
        let mut names = place.names().into_iter();
        if let Some(name) = names.find(|name| name.ends_with("train.safetensors")) {
            break name;
        }
        assert!(ended.is_none(), "ended without a checkpoint: {ended:?}");
        sleep(Duration::from_millis(1));
    };
    child.kill().expect("a signal");
    child.wait().expect("an end");
    place.path(&name)
}

#[test]
fn a_torn_checkpoint_is_ignored_with_a_warning() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let half: Damage = |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    let flipped: Damage = |mut bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes
    };
    let empty: Damage = |_| Vec::new();
    for damage in [half, flipped, empty] {
        let place = Place::with("part.toml", support::part());
        let checkpoint = killed_in_training(&place);
        let bytes = std::fs::read(&checkpoint).expect("a checkpoint");
        std::fs::write(&checkpoint, damage(bytes)).expect("a damaged checkpoint");
        let outcome = place.succeed(&["run", "part.toml", "--quiet"]);
        let warnings: Vec<_> = outcome.err.lines().collect();
        let [warning] = warnings[..] else { panic!("one warning: {}", outcome.err) };
        assert!(warning.starts_with("warning: runs/part/"), "{warning}");
        assert!(warning.contains("train.safetensors: not a whole checkpoint"), "{warning}");
        assert_part(&place);
    }
}

#[test]
fn a_checkpoint_of_something_else_changes_nothing() {
    // Whole checkpoints whose tensors do not fit: of another learner, and of a
    // network whose first layer fits and whose second does not.
    let wider = support::part().replace("[2, 2]", "[2, 3]");
    for other in [support::SHORT.to_owned(), wider] {
        let made = Place::with("other.toml", other);
        made.succeed(&["run", "other.toml", "--quiet"]);
        let name = made.names().into_iter().find(|name| name.ends_with("train.safetensors"));
        let foreign = std::fs::read(made.path(&name.expect("a network"))).expect("a network");

        let place = Place::with("part.toml", support::part());
        let checkpoint = killed_in_training(&place);
        std::fs::write(&checkpoint, foreign).expect("a file");
        let outcome = place.succeed(&["run", "part.toml", "--quiet"]);
        assert!(outcome.err.starts_with("warning: runs/part/"), "{}", outcome.err);
        assert!(outcome.err.contains("train.safetensors: "), "{}", outcome.err);
        assert_part(&place);
    }
}

#[test]
fn what_a_killed_write_left_behind_is_cleared_away() {
    let place = Place::with("part.toml", support::part());
    let checkpoint = killed_in_training(&place);
    // A kill in the middle of a write leaves the temporary file.
    let torn = checkpoint.with_file_name(".writing-killed");
    std::fs::write(&torn, b"half").expect("a file");
    place.succeed(&["run", "part.toml", "--quiet"]);
    let left: Vec<_> = place.names().into_iter().filter(|name| name.contains(".writing")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_part(&place);
}
