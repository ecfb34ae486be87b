//! The rules of the house, checked on its sources: who may use whom, where
//! `unsafe` may stand, what every registry entry must say, how files look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use speck_engine::op::Gradient;
use speck_engine::{ops, passes};
use speck_harness::config::{Experiment, RegistryEntry};
use speck_harness::{metrics, registries};
use speck_learners::gradient::{losses, optimizers, schedules};
use toml_edit::DocumentMut;

/// Each crate with the crates of this workspace that it may use.
const ARROWS: [(&str, &[&str]); 7] = [
    ("kernels", &[]),
    ("engine", &["kernels"]),
    ("models", &["engine"]),
    ("learners", &["engine", "models", "kernels"]),
    ("harness", &["kernels", "engine", "models", "learners"]),
    ("benches", &["kernels", "engine", "models", "learners", "harness"]),
    ("tests", &["kernels", "engine", "models", "learners", "harness"]),
];

/// Tensor and autodiff frameworks: the workspace is one and stands on none. A
/// name stands for the crates `NAME`, `NAME-…` and `NAME_…`.
const FRAMEWORKS: [&str; 21] = [
    "autodiff",
    "autograd",
    "burn",
    "candle",
    "cubecl",
    "cudarc",
    "dfdx",
    "faer",
    "juice",
    "leaf",
    "linfa",
    "luminal",
    "nalgebra",
    "ndarray",
    "ort",
    "rten",
    "smartcore",
    "tch",
    "tensorflow",
    "torch",
    "tract",
];

/// Where `unsafe` may stand: files, or folders with all that is below. Kernels;
/// the arena and the code that hands out its memory; the ops' kernel calls; the
/// call that draws initial values; and the tests' allocator, which has to be.
const UNSAFE: [&str; 11] = [
    "kernels/src/",
    "kernels/tests/",
    "engine/src/ops/",
    "engine/src/program/arena.rs",
    "engine/src/program/compile.rs",
    "engine/src/program/cpu.rs",
    "engine/src/program/group.rs",
    "engine/src/program/pattern.rs",
    "engine/src/program/pointwise.rs",
    "engine/src/state.rs",
    "tests/allocations.rs",
];

/// No file is longer; one that wants to be is two.
const MOST_LINES: usize = 700;

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the workspace above this crate").to_path_buf()
}

/// Every file of the source tree that is text, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    // What building, running and version control put beside the sources, and
    // what programs wrote.
    const LEFT_OUT: [&str; 6] = ["target", "runs", "reports", ".git", "Cargo.lock", "conformance"];
    const TEXTS: [&str; 9] = ["rs", "toml", "md", "css", "sql", "wgsl", "py", "sh", "yml"];
    let root = root();
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder that can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            // The peers of the benches are built in folders of their own.
            let anywhere = ["conformance", "target"].contains(&name);
            if LEFT_OUT.contains(&name) && (folder == root || anywhere) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if TEXTS.contains(&ending) || folder.ends_with(".ci") {
                let below = path.strip_prefix(&root).expect("a path below the root");
                let text = std::fs::read_to_string(&path).expect("text in UTF-8");
                files.insert(below.display().to_string(), text);
            }
        }
    }
    assert!(files.len() > 150, "{}", files.len());
    files
}

fn rust_sources() -> impl Iterator<Item = (String, String)> {
    sources().into_iter().filter(|(name, _)| name.ends_with(".rs"))
}

fn manifest(name: &str) -> DocumentMut {
    let path = root().join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn crates_use_only_what_is_below_them() {
    let members = manifest("");
    let members = members["workspace"]["members"].as_array().expect("members");
    let members: BTreeSet<_> = members.iter().filter_map(|member| member.as_str()).collect();
    assert_eq!(members, ARROWS.iter().map(|(name, _)| *name).collect());
    for (name, allowed) in ARROWS {
        let manifest = manifest(name);
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(used) = manifest.get(table).and_then(|table| table.as_table_like()) else {
                continue;
            };
            for (used, _) in used.iter() {
                if let Some(own) = used.strip_prefix("speck-") {
                    assert!(allowed.contains(&own), "{name} may not use {own} ({table})");
                }
            }
        }
        assert!(manifest.get("target").is_none(), "{name}: look at its target tables too");
    }
}

#[test]
fn crates_are_named_alike_and_inherit_the_rest() {
    for (name, _) in ARROWS {
        let manifest = manifest(name);
        let package = &manifest["package"];
        assert_eq!(package["name"].as_str(), Some(format!("speck-{name}").as_str()));
        assert!(package["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert_eq!(package[key]["workspace"].as_bool(), Some(true), "{name}: {key}");
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name}: lints");
        let library = manifest.get("lib").and_then(|lib| lib.get("name"));
        assert!(library.is_none(), "{name}: its library is called speck_{name}");
    }
    let workspace = manifest("");
    let package = &workspace["workspace"]["package"];
    assert_eq!(package["edition"].as_str(), Some("2024"));
    assert_eq!(package["license"].as_str(), Some("MIT OR Apache-2.0"));
}

#[test]
fn no_framework_is_in_the_dependency_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    let lock: DocumentMut = lock.parse().expect("TOML");
    let packages = lock["package"].as_array_of_tables().expect("packages");
    let names: Vec<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    // The list is the whole tree.
    assert!(names.len() > 50 && names.contains(&"matrixmultiply"), "{names:?}");
    for name in names {
        let family = name.split(['-', '_']).next().unwrap_or_default();
        assert!(!FRAMEWORKS.contains(&family), "{name}");
    }
}

/// The code of a Rust file line by line: comments and what stands in literals
/// are blank.
fn code(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let at = |i: usize| letters.get(i).copied().unwrap_or('\0');
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    // Behind the next `wanted`.
    let behind = |from: usize, wanted: &str| {
        let wanted: Vec<char> = wanted.chars().collect();
        let rest = &letters[from.min(letters.len())..];
        let found = rest.windows(wanted.len()).position(|part| *part == wanted);
        found.map_or(letters.len(), |offset| from + offset + wanted.len())
    };
    let mut kept = String::new();
    let mut i = 0;
    while i < letters.len() {
        let starts_word = i == 0 || !word(at(i - 1));
        // Where a comment or literal that begins here ends.
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => behind(i, "\n"),
            ('/', '*') => behind(i + 2, "*/"),
            ('r', '"' | '#') if starts_word => {
                let hashes = letters[i + 1..].iter().take_while(|letter| **letter == '#').count();
                behind(i + 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
            }
            ('"', _) => {
                let mut end = i + 1;
                while end < letters.len() && at(end) != '"' {
                    end += if at(end) == '\\' { 2 } else { 1 };
                }
                end + 1
            }
            ('\'', '\\') => behind(i + 3, "'"),
            // A character; a lifetime has no quote behind it.
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            kept.push(at(i));
            i += 1;
        } else {
            let skipped = &letters[i..end.min(letters.len())];
            kept.extend(skipped.iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    kept.lines().map(str::to_owned).collect()
}

/// Where a word stands in a line of code, as a word of its own.
fn words(line: &str, wanted: &str) -> Vec<usize> {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: &usize| {
        let (before, after) = (&line[..*at], &line[at + wanted.len()..]);
        !before.ends_with(word) && !after.starts_with(word)
    };
    line.match_indices(wanted).map(|(at, _)| at).filter(alone).collect()
}

#[test]
fn the_reader_of_code_sees_code_only() {
    let text = "a // unsafe\nlet s = \"unsafe \\\" {\"; 'x'; b'\\''; &'a T\n/* unsafe\n */ r#\"un\"safe\"# c";
    let lines = code(text);
    let seen: Vec<_> =
        lines.iter().map(|line| line.split_whitespace().collect::<String>()).collect();
    assert_eq!(seen, ["a", "lets=;;b;&'aT", "", "c"]);
    assert_eq!(lines.len(), text.lines().count());
    assert_eq!(words("unsafe { not_unsafe, unsafe_op } unsafe", "unsafe").len(), 2);
}

#[test]
fn unsafe_stands_only_in_kernels_and_at_the_arena() {
    let mut seen = BTreeSet::new();
    for (name, text) in rust_sources() {
        let lines = code(&text);
        for (number, line) in lines.iter().enumerate() {
            if words(line, "unsafe").is_empty() {
                continue;
            }
            let place = UNSAFE.iter().find(|place| name.starts_with(**place));
            let place = place.unwrap_or_else(|| panic!("{name}:{}: unsafe", number + 1));
            seen.insert(*place);
        }
        if name == "engine/src/state.rs" {
            let count: usize = lines.iter().map(|line| words(line, "unsafe").len()).sum();
            assert_eq!(count, 1, "{name}: the one call of a kernel");
        }
    }
    // A place that needs none any more is to leave the list.
    assert_eq!(seen, UNSAFE.into_iter().collect());
}

/// Whether a `SAFETY:` comment belongs to the statement that holds a line: it
/// stands directly above the line, or above the lines of the same statement.
fn has_reason(text: &[&str], code: &[String], line: usize) -> bool {
    let is_comment = |i: usize| text[i].trim_start().starts_with("//");
    for i in (0..line).rev() {
        if is_comment(i) {
            let comment = (0..=i).rev().take_while(|i| is_comment(*i));
            return comment.into_iter().any(|i| text[i].contains("SAFETY:"));
        }
        // The end of another statement, or the head of the block.
        if code[i].trim_end().ends_with([';', '{', '}']) || text[i].trim().is_empty() {
            return false;
        }
    }
    false
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut blocks = 0;
    for (name, text) in rust_sources() {
        let (lines, code) = (text.lines().collect::<Vec<_>>(), code(&text));
        for (number, line) in code.iter().enumerate() {
            let opens = |at: &usize| {
                let rest = line[at + "unsafe".len()..].trim_start();
                rest.starts_with('{') || !words(rest, "impl").is_empty() && rest.starts_with("impl")
            };
            for _ in words(line, "unsafe").into_iter().filter(opens) {
                blocks += 1;
                let why = has_reason(&lines, &code, number);
                assert!(why, "{name}:{}: no SAFETY comment: {}", number + 1, lines[number].trim());
            }
        }
    }
    assert!(blocks > 50, "{blocks}");
}

/// The names of the Rust files of a folder, without their ending, but `mod` and
/// some.
fn stems(folder: &str, but: &[&str]) -> BTreeSet<String> {
    let inside = |name: &str| {
        let stem = name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
        let kept = !stem.contains('/') && stem != "mod" && !but.contains(&stem);
        kept.then(|| stem.to_owned())
    };
    sources().keys().filter_map(|name| inside(name)).collect()
}

#[test]
fn every_op_file_is_in_the_registry() {
    // What several ops share.
    let files = stems("engine/src/ops", &["pointwise", "reduction"]);
    let registered: BTreeSet<_> = ops::ALL.iter().map(|op| op.name.to_owned()).collect();
    let mut described = BTreeSet::new();
    let sources = sources();
    for file in files {
        let text = &sources[&format!("engine/src/ops/{file}.rs")];
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let names = lines.windows(2).filter(|pair| pair[1].starts_with("formula: "));
        // A text, or a constant of the registry that is called like it.
        let names = names.filter_map(|pair| {
            let name = pair[0].strip_prefix("name: ")?.strip_suffix(',')?;
            Some(name.trim_start_matches("super::").trim_matches('"').to_lowercase())
        });
        let names: Vec<_> = names.collect();
        assert!(!names.is_empty(), "{file}.rs describes no op");
        for name in names {
            assert!(registered.contains(&name), "{file}.rs: `{name}` is not in the registry");
            assert!(described.insert(name.clone()), "{name} is described twice");
        }
    }
    assert_eq!(described, registered);
}

#[test]
fn every_file_of_a_registry_is_an_entry() {
    let all = registries();
    let named = |entries: &[RegistryEntry]| -> BTreeSet<String> {
        entries.iter().map(|entry| entry.name.to_owned()).collect()
    };
    let shared =
        ["activation", "layers", "lib", "pool", "regularization", "residual", "settings", "tests"];
    assert_eq!(stems("models/src", &shared), named(&all.models));
    assert_eq!(stems("harness/src/batteries", &[]), named(&all.batteries));
    assert_eq!(stems("harness/src/protocols", &[]), named(&all.protocols));
    assert_eq!(stems("harness/src/regimens", &["layers", "tests"]), named(&all.regimens));
    let files = |entries: &[RegistryEntry]| -> BTreeSet<String> {
        named(entries).into_iter().map(|name| name.replace('-', "_")).collect()
    };
    let shared = ["eigenvalues", "lanczos", "products", "tests"];
    assert_eq!(stems("harness/src/diagnostics", &shared), files(&all.diagnostics));
    assert_eq!(stems("harness/src/ensembles", &["evaluate", "tests"]), files(&all.ensembles));
    let optimizers = optimizers::ALL.iter().map(|entry| entry.name.to_owned());
    assert_eq!(stems("learners/src/gradient/optimizers", &[]), optimizers.collect());
    let schedules = schedules::ALL.iter().map(|entry| entry.name.to_owned());
    assert_eq!(stems("learners/src/gradient/schedules", &[]), schedules.collect());
}

#[test]
fn every_registry_entry_is_documented() {
    // A summary is one line that neither shouts nor ends like a sentence.
    let told = |what: &str, name: &str, text: &str| {
        let good = text.trim() == text && text.len() > 2 && !text.contains('\n');
        assert!(good && !text.ends_with('.'), "{what} `{name}`: {text:?}");
    };
    let unique = |what: &str, names: &[&str]| {
        assert!(!names.is_empty(), "{what}");
        let set: BTreeSet<_> = names.iter().collect();
        assert_eq!(set.len(), names.len(), "{what}: {names:?}");
    };
    for op in ops::ALL {
        told("op", op.name, op.formula);
        match op.gradient {
            Gradient::Product(text) => assert!(!text.trim().is_empty(), "op `{}`", op.name),
            Gradient::Zero(text) | Gradient::Stated(text) | Gradient::None(text) => {
                told("op", op.name, text)
            }
        }
        op.rule.into_iter().for_each(|rule| told("op", op.name, rule));
    }
    unique("ops", &ops::ALL.iter().map(|op| op.name).collect::<Vec<_>>());
    let pairs = passes::ALL.iter().map(|entry| ("pass", entry.name, entry.summary));
    let pairs =
        pairs.chain(metrics::LIST.iter().map(|entry| ("metric", entry.name, entry.summary)));
    let pairs = pairs.chain(optimizers::ALL.iter().map(|e| ("optimizer", e.name, e.summary)));
    let pairs = pairs.chain(schedules::ALL.iter().map(|e| ("schedule", e.name, e.summary)));
    let pairs = pairs.chain(losses::ALL.iter().map(|e| ("loss", e.name, e.summary)));
    pairs.for_each(|(what, name, summary)| told(what, name, summary));

    let all = registries();
    let data = vec![all.data];
    for (what, entries) in [
        ("model", &all.models),
        ("learner", &all.learners),
        ("battery", &all.batteries),
        ("protocol", &all.protocols),
        ("regimen", &all.regimens),
        ("diagnostic", &all.diagnostics),
        ("ensemble", &all.ensembles),
        ("data", &data),
    ] {
        unique(what, &entries.iter().map(|entry| entry.name).collect::<Vec<_>>());
        for entry in entries {
            told(what, entry.name, entry.summary);
            let names: Vec<_> = entry.dimensions.iter().map(|dimension| dimension.name).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
            for dimension in entry.dimensions {
                told(entry.name, dimension.name, dimension.doc);
                let default = dimension.default.value();
                let checked = dimension.kind.check(&default);
                assert_eq!(checked, Ok(default), "{} of {}", dimension.name, entry.name);
            }
        }
    }
}

#[test]
fn every_experiment_can_be_read() {
    let registries = registries();
    let experiments = sources().into_keys().filter(|name| name.starts_with("experiments/"));
    let mut names = BTreeSet::new();
    for name in experiments.filter(|name| name.ends_with(".toml")) {
        let experiment = Experiment::load(&root().join(&name), &registries);
        let experiment = experiment.unwrap_or_else(|error| panic!("{error}"));
        assert!(!experiment.runs.is_empty(), "{name}");
        assert!(names.insert(experiment.name.clone()), "{name}: {} is taken", experiment.name);
    }
    assert!(names.contains("first"), "{names:?}");
}

#[test]
fn files_are_tidy() {
    for (name, text) in sources() {
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}: how it ends");
        assert!(!text.contains('\r') && !text.contains('\t'), "{name}: a tab or a carriage return");
        let lines = text.lines().count();
        assert!(lines < MOST_LINES || name.ends_with(".md"), "{name} has {lines} lines");
        let trailing = text.lines().position(|line| line.ends_with(' '));
        assert!(trailing.is_none(), "{name}: a space at the end of line {trailing:?}");
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")] {
            assert!(words(&text, word).is_empty(), "{name}: {word}");
        }
    }
}

#[test]
fn every_rust_file_begins_with_what_it_is_for() {
    // Unit tests in a file of their own belong to the file above.
    let without: Vec<_> = rust_sources()
        .filter(|(name, text)| !name.ends_with("/tests.rs") && !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(without.is_empty(), "{without:?}");
}
