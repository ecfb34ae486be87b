//! Bad input and a hostile machine: one clear error, the right exit code, no
//! panic, and nothing half-written.
//!
//! Exit code 2 means that the user gave something wrong, 1 that something
//! failed.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use speck_harness::store::{Plan, Store};
use support::{Outcome, Place, SHORT, assert_refused, results};

/// A file `bad.toml` that is refused at one of some lines. Nothing may be made:
/// no folder of runs, no store, no report.
#[track_caller]
fn assert_bad_file(text: impl AsRef<[u8]>, lines: &[usize], said: &[&str]) {
    let place = Place::with("bad.toml", text);
    let before = place.files();
    let outcome = place.speck(&["run", "bad.toml"]);
    assert_refused(&outcome, 2, said);
    let line = outcome.err.strip_prefix("error: bad.toml:").and_then(|rest| {
        let (number, _) = rest.split_once(':')?;
        number.parse::<usize>().ok()
    });
    match line {
        Some(line) => assert!(lines.contains(&line), "line {line}: {}", outcome.err),
        None => {
            assert!(lines.is_empty(), "no line: {}", outcome.err);
            assert!(outcome.err.starts_with("error: bad.toml: "), "{}", outcome.err);
        }
    }
    assert_eq!(place.files(), before);
}

const ADAM: &str = "[learner.adam]\nkind = \"gradient\"\n";
const MLP: &str = "[learner.adam]\nkind = \"gradient\"\n[[model]]\nkind = \"mlp\"\n";
const CNN: &str = "[learner.adam]\nkind = \"gradient\"\n[[model]]\nkind = \"cnn\"\n";

#[test]
fn misspelt_keys_are_named_with_their_line_and_the_nearest_key() {
    let text = format!("sedes = [0]\n{MLP}");
    assert_bad_file(text, &[1], &["`sedes`", "did you mean `seeds`?"]);
    let text = format!("{MLP}\nwidht = 8\n");
    assert_bad_file(text, &[6], &["`widht`", "did you mean `width`?"]);
    let text = format!("[data]\nbackgroud = \"white\"\n{MLP}");
    assert_bad_file(text, &[2], &["`backgroud`", "did you mean `background`?"]);
    let text = format!("{ADAM}optimiser = \"adam\"\n[[model]]\nkind = \"mlp\"\n");
    assert_bad_file(text, &[3], &["`optimiser`", "did you mean `optimizer`?"]);
    let text = format!("{MLP}[[battery]]\nkind = \"general\"\nsample = 3\n");
    assert_bad_file(text, &[7], &["`sample`", "did you mean `samples`?"]);
    let text = format!("{MLP}[[protocol]]\nkind = \"transfer\"\ntreshold = 0.5\n");
    assert_bad_file(text, &[7], &["`treshold`", "did you mean `threshold`?"]);
}

#[test]
fn wrong_types_and_impossible_values_say_what_is_expected() {
    let expected = "expected a whole number from 1 to 65536, found";
    let text = format!("{MLP}width = \"wide\"\n");
    assert_bad_file(text, &[5], &["`width`", expected, "\"wide\""]);
    let text = format!("{MLP}width = 12.5\n");
    assert_bad_file(text, &[5], &["`width`", expected, "12.5"]);
    let text = format!("{MLP}width = [8, 0]\n");
    assert_bad_file(text, &[5], &["`width`", expected, "the number 0"]);
    let text = format!("{MLP}dropout = nan\n");
    assert_bad_file(text, &[5], &["`dropout`", "expected a number from 0 to 0.95"]);
    let text = format!("seeds = \"all\"\n{MLP}");
    assert_bad_file(text, &[1], &["`seeds`", "such as [0, 1]", "\"all\""]);
    let text = format!("[data]\nspeck = \"wite\"\n{MLP}");
    assert_bad_file(text, &[2], &["`speck`", "\"wite\"", "did you mean \"white\"?"]);
    let text = format!("[data]\nspeck = \"black\"\n{MLP}");
    assert_bad_file(text, &[2], &["`speck`", "the colour of the background"]);
    let text = format!("[data]\nsize = 3\nfalloff = 0.2\n{MLP}");
    assert_bad_file(text, &[1, 2, 3], &["`falloff`", "0.5 the least"]);
    let text = format!("[data]\nsize = 3\nfalloff = -1\n{MLP}");
    assert_bad_file(text, &[3], &["`falloff`", "expected a number from 0 to 100"]);
    let text = format!("[data]\ncount = 3\narrangement = \"rectangle\"\n{MLP}");
    assert_bad_file(text, &[1, 2, 3], &["rectangle"]);
    assert_bad_file("seeds = [0\n[data]\n", &[1, 2], &["array"]);
}

#[test]
fn unknown_kinds_and_names_get_the_nearest_one() {
    let text = format!("{ADAM}[[model]]\nkind = \"mpl\"\n");
    assert_bad_file(text, &[4], &["`kind`", "no model \"mpl\"", "did you mean \"mlp\"?"]);
    let text = format!("[learner.adam]\nkind = \"gradint\"\n{}", &MLP[ADAM.len()..]);
    assert_bad_file(text, &[2], &["`kind`", "\"gradint\"", "did you mean \"gradient\"?"]);
    let text = format!("{MLP}[[protocol]]\nkind = \"transfr\"\n");
    assert_bad_file(text, &[6], &["`kind`", "\"transfr\"", "did you mean \"transfer\"?"]);
    let text = format!("{MLP}learner = \"adm\"\n");
    assert_bad_file(text, &[5], &["`learner`", "no learner \"adm\"", "did you mean \"adam\"?"]);
    let text = format!("batteries = [\n\"general\",\n\"generalisation\"]\n{MLP}");
    let said = ["`batteries`", "\"generalisation\"", "did you mean \"generalization\"?"];
    assert_bad_file(text, &[3], &said);
}

#[test]
fn models_that_cannot_be_built_are_refused_before_anything_is_made() {
    let text = "[learner.hebbian]\n[[model]]\nkind = \"mlp\"\nlearner = \"hebbian\"\n";
    assert_bad_file(text, &[2, 3, 4], &["hebbian", "`linear`", "`mlp`"]);
    let text = format!("{CNN}kernel = 4\n");
    assert_bad_file(text, &[5], &["`kernel`", "odd", "4"]);
    // In a sweep, the one value that does not fit.
    let text = format!("{CNN}kernel = [3, 6]\n");
    assert_bad_file(text, &[5], &["`kernel`", "odd", "6"]);
    let text = format!("{CNN}channels = [1, 1, 1, 1, 1, 1, 1]\n");
    assert_bad_file(text, &[5], &["`channels`", "7 blocks", "6 times"]);
    // The task to transfer to has no visible speck.
    let text = format!("{MLP}[[protocol]]\nkind = \"transfer\"\nspeck = \"black\"\n");
    assert_bad_file(text, &[5, 6, 7], &["`speck`", "the colour of the background"]);
}

#[test]
fn files_that_hold_no_experiment_are_refused() {
    assert_bad_file("", &[], &["`learner`", "missing"]);
    assert_bad_file(ADAM, &[], &["`model`", "missing"]);
    assert_bad_file([b'#', 0xff, 0xfe, b'\n'], &[], &["UTF-8"]);
    assert_bad_file([0, 1, 2, 3], &[1], &[]);
    let text = format!("{MLP}[[model]]\nkind = \"mlp\"\nwidth = 128\n");
    assert_bad_file(text, &[5], &["the same run comes out twice", "mlp"]);
    for name in ["../up", "a/b", "/etc/passwd", "", ".", ".."] {
        let text = format!("name = {name:?}\n{MLP}");
        assert_bad_file(text, &[1], &["`name`", "letters, digits"]);
    }
}

#[test]
fn a_missing_experiment_gets_the_nearest_file() {
    let place = Place::with("experiments/first.toml", SHORT);
    let before = place.files();
    for command in ["run", "print"] {
        let outcome = place.speck(&[command, "experiments/frist.toml"]);
        let near = "did you mean `experiments/first.toml`?";
        assert_refused(&outcome, 2, &["experiments/frist.toml: cannot be read", near]);
        // A name that has nothing but the ending in common.
        let outcome = place.speck(&[command, "experiments/other.toml"]);
        assert_refused(&outcome, 2, &["experiments/other.toml: cannot be read"]);
        assert!(!outcome.err.contains("did you mean"), "{}", outcome.err);
        let outcome = place.speck(&[command, "experiments"]);
        assert_refused(&outcome, 2, &["experiments: cannot be read"]);
        let outcome = place.speck(&[command, "nowhere/first.toml"]);
        assert_refused(&outcome, 2, &["nowhere/first.toml: cannot be read"]);
    }
    assert_eq!(place.files(), before);
}

#[test]
fn words_that_the_command_does_not_know_are_refused() {
    let place = Place::with("short.toml", SHORT);
    let before = place.files();
    let cases: &[(&[&str], &[&str])] = &[
        (&["rum", "short.toml"], &["rum"]),
        (&["list", "opz"], &["opz"]),
        (&["run"], &[]),
        (&["run", "short.toml", "--thread", "1"], &["--thread"]),
        (&["run", "short.toml", "--threads", "0"], &["--threads", "0"]),
        (&["run", "short.toml", "--jobs", "many"], &["--jobs", "many"]),
        (&["run", "short.toml", "--checkpoint-every", "nan"], &["--checkpoint-every"]),
        (&["run", "short.toml", "--checkpoint-every=-1"], &["--checkpoint-every"]),
        (&["run", "short.toml", "--kernel", "matmul"], &["`matmul`", "KERNEL:VARIANT"]),
        (&["run", "short.toml", "--kernel", "matmu:scalar"], &["`matmu`", "`matmul`?"]),
        (&["run", "short.toml", "--kernel", "matmul:sclar"], &["`sclar`", "`scalar`"]),
        (&["print", "short.toml", "--run", "2"], &["--run 2", "1 to 1"]),
        (&["print", "short.toml", "--run", "0"], &["--run 0", "1 to 1"]),
    ];
    for (words, said) in cases {
        assert_refused(&place.speck(words), 2, said);
    }
    // What clap refuses, it explains below its error.
    assert!(place.speck(&["list", "opz"]).err.contains("'ops'"));
    assert!(place.speck(&["run", "short.toml", "--thread", "1"]).err.contains("'--threads'"));
    assert_eq!(place.files(), before);
}

#[test]
fn a_kernel_of_another_machine_is_refused() {
    let place = Place::with("short.toml", SHORT);
    let foreign = if cfg!(target_arch = "aarch64") { "matmul:avx2" } else { "matmul:neon" };
    for command in ["run", "print"] {
        let outcome = place.speck(&[command, "short.toml", "--kernel", foreign]);
        assert_refused(&outcome, 2, &["`matmul`", &format!("`{}`", &foreign[7..])]);
    }
    assert!(place.names().len() == 1);
}

#[test]
fn the_variable_for_kernels_is_checked_like_the_flag() {
    let place = Place::with("short.toml", SHORT);
    let cases: [(&[u8], &str); 3] = [
        (b"matmu:scalar", "did you mean `matmul`?"),
        (b"matmul", "`matmul` is not KERNEL:VARIANT"),
        (b"matmul:\xff", "UTF-8"),
    ];
    for (value, said) in cases {
        let mut command = place.command(&["run", "short.toml"]);
        let outcome = Outcome::of(command.env("SPECK_KERNEL", OsStr::from_bytes(value)));
        assert_refused(&outcome, 2, &["SPECK_KERNEL", said]);
    }
    assert!(place.names().len() == 1);
    // The flag wins over the variable.
    let mut command = place.command(&["print", "short.toml", "--kernel", "matmul:scalar"]);
    let outcome = Outcome::of(command.env("SPECK_KERNEL", "matmul:matrixmultiply"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    assert!(outcome.out.contains("matmul:scalar"));
    assert!(!outcome.out.contains("matmul:matrixmultiply"));
}

/// Demands that neither a run nor a report touches a file that is no good
/// store.
#[track_caller]
fn assert_bad_store(bytes: &[u8], said: &[&str]) {
    let place = Place::with("short.toml", SHORT);
    place.write("runs/short.sqlite", bytes);
    let before = place.files();
    for words in [["run", "short.toml"], ["report", "short"]] {
        let outcome = place.speck(&words);
        assert_refused(&outcome, 2, said);
        assert!(outcome.err.starts_with("error: runs/short.sqlite: "), "{}", outcome.err);
        assert_eq!(place.files(), before, "{words:?}");
    }
}

/// The bytes of a database after `change`.
fn database(change: impl FnOnce(&Connection)) -> Vec<u8> {
    let place = Place::new();
    let connection = Connection::open(place.path("store")).expect("a database");
    change(&connection);
    drop(connection);
    std::fs::read(place.path("store")).expect("a database")
}

/// The bytes of a sound store, changed by `change`.
fn store(change: &str) -> Vec<u8> {
    let place = Place::new();
    let path = place.path("store");
    let mut store = Store::open(&path).expect("a store");
    let plan = Plan { name: "short".to_owned(), runs: vec!["0".repeat(16); 2000] };
    store.set_plan(&plan).expect("a plan");
    drop(store);
    let connection = Connection::open(&path).expect("a store");
    connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).expect("a mode");
    connection.execute_batch(change).expect("a change");
    drop(connection);
    std::fs::read(path).expect("a store")
}

#[test]
fn stores_that_are_none_are_left_as_they_are() {
    let garbage: Vec<u8> =
        (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_bad_store(&garbage, &["not a speck store"]);
    let foreign = database(|connection| {
        connection
            .execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES (1)")
            .expect("a table");
    });
    assert_bad_store(&foreign, &["not a speck store"]);
    let newer = store("UPDATE meta SET value = '99' WHERE key = 'schema version'");
    assert_bad_store(&newer, &["version 99", "version 1"]);
    let sound = store("");
    assert!(sound.len() > 3 * 4096);
    assert_bad_store(&sound[..sound.len() / 2], &["damaged", "restore it from a copy"]);
    let mut scratched = sound.clone();
    for page in scratched.chunks_exact_mut(4096).skip(1) {
        page[..200].fill(0xa5);
    }
    assert_bad_store(&scratched, &["damaged"]);
    let incomplete = store("DROP TABLE curves; DROP TABLE scores");
    let place = Place::with("short.toml", SHORT);
    place.write("runs/short.sqlite", incomplete);
    assert_refused(
        &place.speck(&["run", "short.toml", "--quiet"]),
        2,
        &["runs/short.sqlite", "damaged"],
    );
}

#[test]
fn a_report_of_a_missing_store_names_the_nearest() {
    let place = Place::with("short.toml", SHORT);
    place.write("runs/first.sqlite", store(""));
    let before = place.files();
    let near = "did you mean `runs/first.sqlite`?";
    for name in ["frist", "runs/frist.sqlite"] {
        assert_refused(&place.speck(&["report", name]), 2, &["runs/frist.sqlite", near]);
    }
    assert_refused(&place.speck(&["report", "runs"]), 2, &["runs", "there is no store there"]);
    let outcome = place.speck(&["report", "first", "--runs", "elsewhere"]);
    assert_refused(&outcome, 2, &["elsewhere/first.sqlite", "runs/first.sqlite"]);
    assert_eq!(place.files(), before);
}

#[test]
fn a_report_finds_a_store_whose_name_has_a_dot() {
    let place = Place::new();
    place.write("runs/v1.2.sqlite", store(""));
    place.succeed(&["report", "v1.2"]);
    assert!(place.path("runs/v1.2.html").exists());
}

#[test]
fn one_run_at_a_time_works_on_a_store() {
    let place = Place::with("whole.toml", support::whole());
    let mut first = place.command(&["run", "whole.toml", "--quiet"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a start");
    // A checkpoint says that the first run has all it needs.
    while !place.names().iter().any(|name| name.ends_with(".safetensors")) {
        assert!(first.try_wait().expect("a status").is_none(), "ended too early");
        sleep(Duration::from_millis(5));
    }
    let second = place.speck(&["run", "whole.toml", "--quiet"]);
    first.kill().expect("a signal");
    first.wait().expect("an end");
    assert_refused(&second, 1, &["runs/whole.", "another `speck run`"]);
    // A reader is not in the way, and nor is what a killed run left behind.
    place.succeed(&["report", "whole"]);
}

#[test]
fn a_store_that_stays_busy_is_told_after_a_while() {
    let place = Place::with("short.toml", SHORT);
    place.succeed(&["run", "short.toml", "--quiet"]);
    let before = results(&place.path("runs/short.sqlite"));
    let other = Connection::open(place.path("runs/short.sqlite")).expect("a store");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    place.write("short.toml", format!("seeds = [0, 1]\n{SHORT}"));
    let outcome = place.speck(&["run", "short.toml", "--quiet"]);
    assert_refused(&outcome, 1, &["runs/short.sqlite", "another process", "start again"]);
    other.execute_batch("ROLLBACK").expect("no lock");
    assert_eq!(results(&place.path("runs/short.sqlite")), before);
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let place = Place::with("short.toml", SHORT);
    place.write("file", "a file, no folder");
    let before = place.files();
    for runs in ["file", "file/below"] {
        let outcome = place.speck(&["run", "short.toml", "--runs", runs]);
        assert_refused(&outcome, 1, &[&format!("{runs}/short.sqlite: "), "folder"]);
    }
    assert_eq!(place.files(), before);

    place.succeed(&["run", "short.toml", "--quiet"]);
    let before = place.files();
    let outcome = place.speck(&["report", "short", "--out", "file/report.html"]);
    assert_refused(&outcome, 1, &["file/report.html: cannot write the report"]);
    assert_eq!(place.names(), before.into_keys().collect::<BTreeSet<_>>());
}

#[test]
fn a_report_that_cannot_be_written_is_noticed_before_the_run() {
    let place = Place::with("short.toml", SHORT);
    place.write("file", "a file, no folder");
    std::fs::create_dir(place.path("folder")).expect("a folder");
    let before = place.files();
    let mut wrong = vec![("file/report.html", "directory"), ("folder", "a folder is there")];
    if cfg!(unix) {
        wrong.push(("/dev/null", "a device is there"));
    }
    for (out, why) in wrong {
        let outcome = place.speck(&["run", "short.toml", "--report", out]);
        let named = format!("{out}: cannot write the report");
        assert_refused(&outcome, 1, &[&named, why]);
    }
    assert_eq!(place.files(), before, "nothing was run");
}

#[test]
fn a_report_leaves_nothing_beside_the_store() {
    let place = Place::with("short.toml", SHORT);
    place.succeed(&["run", "short.toml", "--quiet"]);
    let before = place.names();
    place.succeed(&["report", "short"]);
    assert_eq!(place.names(), before);
    assert!(!before.iter().any(|name| name.contains("-wal") || name.contains("-shm")));
}

#[test]
fn readers_that_have_seen_enough_are_no_error() {
    let place = Place::with("short.toml", SHORT);
    for words in
        [&["list", "ops"][..], &["list", "ops", "--json"], &["print", "short.toml"], &["--help"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let outcome = Outcome::of(place.command(words).stdout(writer));
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{words:?}");
    }
    // `head` in the middle of the text.
    let mut command = Command::new("sh");
    let text = format!("{} list ops | head -1", env!("CARGO_BIN_EXE_speck"));
    let outcome = Outcome::of(command.args(["-c", &text]));
    assert_eq!((outcome.out.lines().count(), outcome.err.as_str()), (1, ""));
}

#[test]
fn nobody_reading_errors_changes_nothing_else() {
    let place = Place::with("short.toml", SHORT);
    for (words, code) in [(["run", "short.toml"], 0), (["run", "none.toml"], 2)] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = place.command(&words).stderr(writer).stdout(Stdio::null()).status();
        assert_eq!(status.expect("a start").code(), Some(code), "{words:?}");
    }
    assert!(place.path("runs/short.html").exists());
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: this system has no /dev/full");
        return;
    }
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").expect("the device");
    let outcome = Outcome::of(place.command(&["list", "ops"]).stdout(full));
    assert_refused(&outcome, 1, &["standard output", "No space left"]);
}

/// Runs a shell script with this name for the command, in mounts of its own;
/// `None` where the system does not allow that.
fn in_own_mounts(place: &Place, script: &str) -> Option<Outcome> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.current_dir(place.path("")).env("SPECK", env!("CARGO_BIN_EXE_speck"));
        command.env_remove("SPECK_KERNEL");
        command
    };
    let probe = "mkdir -p probe && mount -t tmpfs -o size=64k tmpfs probe";
    let allowed = unshare(probe).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    allowed.then(|| Outcome::of(&mut unshare(script)))
}

/// Demands one error that says that the disk is full.
#[track_caller]
fn assert_full(errors: &str, whose: &str) {
    let lines: Vec<_> = errors.lines().collect();
    let [error] = lines[..] else { panic!("one error: {errors}") };
    assert!(error.starts_with(&format!("error: {whose}")), "{error}");
    assert!(error.contains("disk is full") || error.contains("No space left"), "{error}");
}

#[test]
fn on_a_full_disk_what_is_finished_is_kept() {
    let undisturbed = Place::with("short.toml", SHORT);
    undisturbed.succeed(&["run", "short.toml", "--quiet"]);
    let wanted = results(&undisturbed.path("runs/short.sqlite"));
    let below = |place: &Place, folder: &str| -> BTreeSet<String> {
        let names = place.names().into_iter();
        names.filter_map(|name| Some(name.strip_prefix(folder)?.to_owned())).collect()
    };
    let files = undisturbed.files();
    let network = files.iter().find(|(name, _)| name.ends_with(".safetensors"));
    let network = network.expect("a network").1.len() / 1024;
    // A disk that is full when the tables are made, at the checkpoint, and at
    // the results. Sizes in KiB.
    for room in [12, network / 2, network + 100] {
        let place = Place::with("short.toml", SHORT);
        let script = format!(
            "mkdir runs kept && mount -t tmpfs -o size={room}k tmpfs runs || exit 9
             $SPECK run short.toml --quiet; echo \"code $?\"
             find runs -name '*.html' -o -name '.writing*'
             mount -o remount,size=64m runs || exit 9
             $SPECK run short.toml --quiet >/dev/null; echo \"code $?\"
             cp -a runs/. kept"
        );
        let Some(outcome) = in_own_mounts(&place, &script) else {
            println!("skipped: a small disk cannot be mounted here");
            return;
        };
        assert_eq!(outcome.out, "code 1\ncode 0\n", "{room} KiB: {}", outcome.err);
        assert_full(&outcome.err, "runs/short");
        assert_eq!(results(&place.path("kept/short.sqlite")), wanted);
        assert_eq!(below(&place, "kept/"), below(&undisturbed, "runs/"), "{room} KiB");
    }
}

#[test]
fn on_a_full_disk_the_report_that_was_there_stays() {
    let place = Place::with("short.toml", SHORT);
    let script = "mkdir runs kept && mount -t tmpfs -o size=64m tmpfs runs || exit 9
         $SPECK run short.toml --quiet >/dev/null || exit 8
         echo 'the old report' >runs/short.html
         head -c 65m /dev/zero >runs/filler 2>/dev/null
         $SPECK report short; echo \"code $?\"
         find runs -name '.writing*'
         rm runs/filler
         cp -a runs/. kept";
    let Some(outcome) = in_own_mounts(&place, script) else {
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    assert_eq!(outcome.out, "code 1\n", "{}", outcome.err);
    assert_full(&outcome.err, "runs/short");
    let report = std::fs::read_to_string(place.path("kept/short.html")).expect("a report");
    assert_eq!(report, "the old report\n");
}
