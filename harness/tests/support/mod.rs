//! What the tests of the command share: a folder to work in, the command
//! itself, experiments that take seconds, and results read back bit by bit.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use speck_harness::store::Store;
use tempfile::TempDir;

/// The learners of both experiments below. The rate of `adam` changes with the
/// step, so a run that goes on with a wrong step shows.
const LEARNERS: &str = r#"
[learner.adam]
kind = "gradient"
schedule = "cosine"
steps = 30
batch = 8

[learner.hebb]
kind = "hebbian"
steps = 30
batch = 16
"#;

/// A network with all that a resumed run could get wrong: moments, running
/// statistics and a random op.
const CNN: &str = r#"
[[model]]
kind = "cnn"
learner = "adam"
channels = [2, 2]
norm = "batch"
dropout = 0.2
head = "gap"
coord = true
"#;

const GENERAL: &str = "[[battery]]\nkind = \"general\"\nsamples = 4\n";
const META: &str = "[[protocol]]\nkind = \"meta\"\nsteps = 2\nsamples = 8\n";

/// An experiment with every kind of phase: three runs, two batteries, two
/// protocols.
pub fn whole() -> String {
    let linear = "[[model]]\nkind = \"linear\"\nlearner = [\"adam\", \"hebb\"]\n";
    let generalization = "[[battery]]\nkind = \"generalization\"\nsamples = 1\n";
    let transfer = "[[protocol]]\nkind = \"transfer\"\nsteps = 2\nsamples = 8\n";
    ["name = \"whole\"\n", LEARNERS, linear, CNN, GENERAL, generalization, META, transfer].concat()
}

/// The last run of [`whole`] with one battery and one protocol: what it leaves
/// behind is a part of what `whole` leaves behind, under the same names.
pub fn part() -> String {
    ["name = \"part\"\n", LEARNERS, CNN, GENERAL, META].concat()
}

/// One run with nothing but a few steps of training.
pub const SHORT: &str = "name = \"short\"
[learner.hebb]
kind = \"hebbian\"
steps = 2
batch = 8
[[model]]
kind = \"linear\"
";

/// A folder of its own in which the command runs. Removed when dropped.
pub struct Place {
    folder: TempDir,
}

/// What a finished command said.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The standard output.
    pub out: String,
    /// The error stream.
    pub err: String,
}

impl Place {
    /// An empty folder.
    pub fn new() -> Self {
        Place { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A folder with one file in it.
    pub fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let place = Place::new();
        place.write(name, text);
        place
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// The command with its words, ready to start in the folder; nothing
    /// around the tests reaches into it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_speck"));
        command.args(words).current_dir(self.folder.path());
        command.env_remove("SPECK_KERNEL").stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    #[track_caller]
    pub fn speck(&self, words: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(words))
    }

    /// Runs the command, which is to succeed.
    #[track_caller]
    pub fn succeed(&self, words: &[&str]) -> Outcome {
        let outcome = self.speck(words);
        assert_eq!(outcome.code, Some(0), "speck {words:?}: {}", outcome.err);
        outcome
    }

    /// Every file below the folder with its bytes, by its path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |name: &str| std::fs::read(self.path(name)).expect("a file that can be read");
        let names = self.names().into_iter();
        names.map(|name| (name.clone(), read(&name))).collect()
    }

    /// The names of all files below the folder. The files themselves are not
    /// touched: a command that is at work may rename or remove one at any moment.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
                let entry = entry.expect("an entry");
                let path = entry.path();
                if entry.file_type().expect("a file's type").is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.folder.path()).expect("a path below");
                    names.insert(name.display().to_string());
                }
            }
        }
        names
    }
}

impl Outcome {
    /// Runs a command to its end.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        let outcome = Outcome {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
        outcome
    }
}

/// Demands that a command refused: this exit code, nothing on the standard
/// output, one error that holds all of `said`.
#[track_caller]
pub fn assert_refused(outcome: &Outcome, code: i32, said: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{}", outcome.err);
    assert!(outcome.out.is_empty(), "{}", outcome.out);
    assert_eq!(outcome.err.matches("error:").count(), 1, "{}", outcome.err);
    let error = outcome.err.lines().find(|line| line.starts_with("error:"));
    let error = error.unwrap_or_else(|| panic!("no line with the error: {}", outcome.err));
    for text in said {
        assert!(error.contains(text), "`{text}` is not in: {error}");
    }
}

/// What one phase left behind, numbers as their bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseBits {
    /// Battery, cell, metric; value; cases.
    pub scores: Vec<([String; 3], Option<u64>, u64)>,
    /// Series, step, value.
    pub curves: Vec<(String, u64, u64)>,
    /// Name and JSON, without what the clock decides.
    pub artefacts: Vec<(String, String)>,
}

/// What a store holds, by run and phase.
pub type Results = BTreeMap<(String, String), PhaseBits>;

/// Reads everything out of a store.
pub fn results(store: &Path) -> Results {
    let store = Store::open_read_only(store).expect("a store");
    let mut all = Results::new();
    for run in store.runs().expect("runs") {
        for phase in store.phases(&run.id).expect("phases") {
            let results = store.results(&run.id, &phase).expect("results");
            let scores = results.scores.into_iter().map(|score| {
                let names = [score.battery, score.cell, score.metric];
                (names, score.value.map(f64::to_bits), score.cases)
            });
            let curves = results.curves.into_iter();
            let artefacts = results.artefacts.into_iter().filter(|(name, _)| name != "timing");
            let bits = PhaseBits {
                scores: scores.collect(),
                curves: curves.map(|p| (p.series, p.step, p.value.to_bits())).collect(),
                artefacts: artefacts.map(|(name, json)| (name, json.to_string())).collect(),
            };
            all.insert((run.id.clone(), phase), bits);
        }
    }
    all
}

/// What a killed run left in its store `runs/NAME.sqlite`, which must be sound;
/// nothing if the kill came before the first transaction, which leaves no store or
/// an empty file. The store is copied first: opening it would tidy up what the next
/// run is to find.
pub fn left_by_a_kill(place: &Place, name: &str) -> Results {
    let length = std::fs::metadata(place.path(&format!("runs/{name}.sqlite")));
    if length.map_or(0, |data| data.len()) == 0 {
        return Results::new();
    }
    let copy = Place::new();
    for ending in ["", "-wal", "-journal"] {
        let file = format!("{name}.sqlite{ending}");
        let from = place.path(&format!("runs/{file}"));
        if from.exists() {
            std::fs::copy(from, copy.path(&file)).expect("a copy");
        }
    }
    let store = copy.path(&format!("{name}.sqlite"));
    Store::open(&store).expect("a sound store");
    results(&store)
}

/// Demands that every phase of `found` has the bits it has in `reference`.
#[track_caller]
pub fn assert_bits(found: &Results, reference: &Results) {
    for (place, phase) in found {
        let wanted = reference.get(place).unwrap_or_else(|| panic!("{place:?} is a new phase"));
        // Piece by piece: a whole phase in a message is more than can be read.
        for (found, wanted) in phase.scores.iter().zip(&wanted.scores) {
            assert_eq!(found, wanted, "{place:?}");
        }
        for (found, wanted) in phase.curves.iter().zip(&wanted.curves) {
            assert_eq!(found, wanted, "{place:?}");
        }
        for ((name, found), (_, wanted)) in phase.artefacts.iter().zip(&wanted.artefacts) {
            assert!(found == wanted, "{place:?}, {name}: {}", first_difference(found, wanted));
        }
        assert!(phase == wanted, "{place:?}: something is missing, or there is something more");
    }
}

/// Where two texts part.
fn first_difference(found: &str, wanted: &str) -> String {
    let letters = found.chars().zip(wanted.chars());
    let same = letters.take_while(|(found, wanted)| found == wanted).count();
    let from =
        |text: &str| text.chars().skip(same.saturating_sub(60)).take(120).collect::<String>();
    format!("found …{}…, not …{}…", from(found), from(wanted))
}

/// Demands that two stores hold the same phases with the same bits.
#[track_caller]
pub fn assert_same(found: &Results, reference: &Results) {
    assert_bits(found, reference);
    let names = |results: &Results| results.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(reference));
}
