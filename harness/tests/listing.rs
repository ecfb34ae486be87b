//! What can be listed and printed is complete: the registries are the one
//! source, and what a user reads comes from them.

mod support;

use serde_json::Value;
use speck_engine::kernels::gpu::{FAMILIES, Gpu};
use speck_engine::{compositions, kernels, ops, passes};
use speck_harness::config::RegistryEntry;
use speck_harness::{metrics, registries};
use speck_learners::gradient::{
    initializers, losses, optimizers, pretexts, regularizers, schedules,
};
use support::Place;

/// Every listing with the names it is to hold, in their order.
fn listings() -> Vec<(&'static str, Vec<&'static str>)> {
    let all = registries();
    let names = |entries: &[RegistryEntry]| entries.iter().map(|entry| entry.name).collect();
    vec![
        ("ops", ops::ALL.iter().map(|op| op.name).collect()),
        ("compositions", compositions::all().map(|entry| entry.name).collect()),
        ("kernels", kernels::all().iter().map(|kernel| kernel.name).collect()),
        ("devices", devices()),
        ("passes", passes::names().map(|(name, _)| name).collect()),
        ("models", names(&all.models)),
        ("learners", names(&all.learners)),
        ("optimizers", optimizers::ALL.iter().map(|entry| entry.name).collect()),
        ("schedules", schedules::ALL.iter().map(|entry| entry.name).collect()),
        ("initializers", initializers::ALL.iter().map(|entry| entry.name).collect()),
        ("losses", losses::ALL.iter().map(|entry| entry.name).collect()),
        ("regularizers", regularizers::ALL.iter().map(|entry| entry.name).collect()),
        ("pretexts", pretexts::ALL.iter().map(|entry| entry.name).collect()),
        ("data", vec![all.data.name]),
        ("batteries", names(&all.batteries)),
        ("protocols", names(&all.protocols)),
        ("regimens", names(&all.regimens)),
        ("diagnostics", names(&all.diagnostics)),
        ("ensembles", names(&all.ensembles)),
        ("metrics", metrics::LIST.iter().map(|metric| metric.name).collect()),
    ]
}

/// The names of the processor and of the GPUs there are.
fn devices() -> Vec<&'static str> {
    let numbers = 0..Gpu::list().len();
    let gpus = numbers.map(|number| &*format!("gpu:{number}").leak());
    std::iter::once("cpu").chain(gpus).collect()
}

fn json(place: &Place, words: &[&str]) -> Value {
    let outcome = place.succeed(words);
    serde_json::from_str(&outcome.out).expect("JSON")
}

#[test]
fn every_listing_holds_its_registry() {
    let place = Place::new();
    for (what, names) in listings() {
        assert!(!names.is_empty(), "{what}");
        let value = json(&place, &["list", what, "--json"]);
        let entries = value.as_array().expect("a list");
        // Behind the kernels stand those that have several shaders.
        let (shaded, entries): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.get("shaders").is_some());
        let listed = |entries: &[&Value]| -> Vec<Option<String>> {
            entries.iter().map(|entry| entry["name"].as_str().map(str::to_owned)).collect()
        };
        let families = FAMILIES.iter().filter(|_| what == "kernels");
        let families: Vec<_> = families.map(|family| Some(family.kernel.to_owned())).collect();
        assert_eq!(listed(&shaded), families, "{what}");
        let listed = listed(&entries);
        assert_eq!(
            listed,
            names.iter().map(|name| Some(name.to_string())).collect::<Vec<_>>(),
            "{what}"
        );
        // In the text an entry begins at the left, what belongs to it is indented,
        // and what holds for all stands below an empty line.
        let text = place.succeed(&["list", what]).out;
        let entries = text.split("\n\n").next().unwrap_or_default();
        let listed: Vec<_> = entries.lines().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(listed.len(), names.len(), "{what}: {text}");
        for (line, name) in listed.iter().zip(&names) {
            let rest = line.strip_prefix(name).unwrap_or_else(|| panic!("{name}: {line}"));
            let rest = rest.trim_start_matches(':');
            assert!(rest.starts_with(' ') && !rest.trim().is_empty(), "{name}: {line}");
        }
    }
    assert!(place.names().is_empty());
}

#[test]
fn the_command_knows_no_other_listing() {
    let help = Place::new().succeed(&["list", "--help"]).out;
    let listed: Vec<_> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .filter_map(|line| line.split_once(':'))
        .collect();
    let wanted: Vec<_> = listings().into_iter().map(|(what, _)| what).collect();
    assert_eq!(listed.iter().map(|(what, _)| *what).collect::<Vec<_>>(), wanted);
    assert!(listed.iter().all(|(_, summary)| !summary.trim().is_empty()));
}

#[test]
fn listings_hold_every_dimension() {
    let place = Place::new();
    let all = registries();
    let lists = [
        ("models", all.models),
        ("learners", all.learners),
        ("data", vec![all.data]),
        ("batteries", all.batteries),
        ("protocols", all.protocols),
    ];
    for (what, entries) in lists {
        let value = json(&place, &["list", what, "--json"]);
        let text = place.succeed(&["list", what]).out;
        for (i, entry) in entries.iter().enumerate() {
            assert_eq!(value[i]["summary"], entry.summary);
            let dimensions = value[i]["dimensions"].as_array().expect("a list");
            let names: Vec<_> = dimensions.iter().map(|d| d["name"].as_str()).collect();
            let wanted: Vec<_> = entry.dimensions.iter().map(|d| Some(d.name)).collect();
            assert_eq!(names, wanted, "{}", entry.name);
            for (listed, dimension) in dimensions.iter().zip(entry.dimensions) {
                assert_eq!(listed["doc"], dimension.doc);
                assert!(!listed["kind"].is_null() && !listed["default"].is_null());
                let about = format!(
                    "{} [{}; default {}]",
                    dimension.doc,
                    dimension.kind,
                    dimension.default.value()
                );
                assert!(text.contains(&about), "{about}");
            }
        }
    }
}

#[test]
fn ops_are_listed_with_formula_gradient_rule_and_kernels() {
    let place = Place::new();
    let value = json(&place, &["list", "ops", "--json"]);
    let text = place.succeed(&["list", "ops"]).out;
    for (entry, op) in value.as_array().expect("a list").iter().zip(ops::ALL) {
        assert_eq!(entry["formula"], op.formula);
        assert!(entry["gradient"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(entry["rule"].as_str(), op.rule);
        let kernels = entry["kernels"].as_array().expect("a list");
        let names: Vec<_> = kernels.iter().map(|kernel| kernel["name"].as_str()).collect();
        let wanted = (op.kernels)();
        assert_eq!(names, wanted.iter().map(|kernel| Some(kernel.name)).collect::<Vec<_>>());
        assert!(text.contains(op.formula) && op.rule.is_none_or(|rule| text.contains(rule)));
    }
}

#[test]
fn kernels_are_listed_with_their_variants_and_what_runs_here() {
    let place = Place::new();
    let value = json(&place, &["list", "kernels", "--json"]);
    let text = place.succeed(&["list", "kernels"]).out;
    for (entry, kernel) in value.as_array().expect("a list").iter().zip(kernels::all()) {
        for (dtype, variants) in [("f32", &kernel.f32), ("f64", &kernel.f64)] {
            let listed = entry[dtype].as_array().expect("a list");
            assert_eq!(listed.len(), variants.len(), "{}", kernel.name);
            for (listed, variant) in listed.iter().zip(variants) {
                assert_eq!(listed["name"], variant.name);
                assert_eq!(listed["isa"], variant.isa.to_string());
                assert_eq!(listed["refused"].as_str(), variant.refused);
            }
        }
        // The one that runs is in brackets.
        let line = text.lines().find(|line| line.split(' ').next() == Some(kernel.name));
        let runs = kernel.f32.iter().find(|variant| variant.refused.is_none());
        let runs = format!("[{}]", runs.expect("scalar at least").name);
        assert!(line.is_some_and(|line| line.contains(&runs)), "{}", kernel.name);
    }
}

#[test]
fn the_printed_program_shows_every_node_with_shape_kernel_and_cost() {
    let place = Place::with("whole.toml", support::whole());
    let known: Vec<String> = kernels::all()
        .iter()
        .flat_map(|kernel| {
            let variants = kernel.f32.iter().chain(&kernel.f64);
            variants.map(|variant| format!("{}:{}", kernel.name, variant.name)).collect::<Vec<_>>()
        })
        .collect();
    for run in ["1", "2", "3"] {
        let text = place.succeed(&["print", "whole.toml", "--run", run]).out;
        let nodes: Vec<_> =
            text.lines().filter(|line| line.contains(") ") && line.contains(" = ")).collect();
        let mut computed = 0;
        for (i, line) in nodes.iter().enumerate() {
            let node = line.trim_start_matches(['┌', '│', '└', ' ']);
            let rest = node.strip_prefix(&format!("%{i} = ")).unwrap_or_else(|| panic!("{line}"));
            let (name, rest) = rest.split_once('(').expect("an op");
            let op = ops::ALL.iter().find(|op| op.name == name);
            assert!(op.is_some(), "{line}");
            let (_, shape) = rest.split_once(" : ").expect("a type");
            assert!(["f32[", "i32["].iter().any(|dtype| shape.starts_with(dtype)), "{line}");
            // Where it was written: FILE.rs:LINE.
            let (file, number) = line.rsplit_once(':').expect("a place");
            assert!(file.ends_with(".rs") && number.parse::<usize>().is_ok(), "{line}");
            // Sources and pure changes of shape run no kernel and cost nothing.
            let free = ["input", "state", "constant", "reshape", "part"].contains(&name);
            let kernel =
                line.split_whitespace().find(|word| known.iter().any(|known| known == word));
            assert_eq!(kernel.is_none(), free, "{line}");
            assert_eq!(line.contains("FLOP "), !free, "{line}");
            computed += usize::from(!free);
        }
        assert!(computed > 5, "{text}");
        let last = text.lines().last().expect("a last line").trim_start();
        assert!(last.starts_with(&format!("{} nodes in ", nodes.len())), "{last}");
        for word in [" steps, ", "FLOP, ", "B moved by nodes", "arena "] {
            assert!(last.contains(word), "{last}");
        }
    }
    assert_eq!(place.names().len(), 1);
}

#[test]
fn the_print_says_why_and_what_is_skipped() {
    let place = Place::with("whole.toml", support::whole());
    let print = |flags: &[&str]| {
        let arguments = [&["print", "whole.toml", "--run", "3"], flags].concat();
        place.succeed(&arguments).out
    };
    let text = print(&["--mode", "structured"]);
    for said in ["structured, as asked for", "structured: windows", "% of positions", "skipped"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(print(&["--mode", "dense"]).contains("dense, as asked for"));
    assert!(print(&[]).contains("predicted work"));
    let json: serde_json::Value =
        serde_json::from_str(&print(&["--mode", "structured", "--json"])).expect("an object");
    assert_eq!(json["plan"]["structured"], true);
    assert!(json["plan"]["ops"][0]["window"].is_array(), "{json}");
    let total = &json["ledger"]["total"];
    let number = |path: &str| total.pointer(path).and_then(serde_json::Value::as_i64);
    assert_eq!(
        number("/skipped/flops"),
        Some(number("/dense/flops").unwrap_or(0) - number("/executed/flops").unwrap_or(0))
    );
    assert!(number("/skipped/flops") > Some(0), "{total}");
}

#[test]
fn printing_twice_gives_the_same_text() {
    let place = Place::with("whole.toml", support::whole());
    // The one with a large constant, the coordinates.
    let print = || place.succeed(&["print", "whole.toml", "--run", "3"]).out;
    assert!(print() == print());
}

#[test]
fn a_run_can_be_named_by_its_number_or_its_id() {
    let place = Place::with("whole.toml", support::whole());
    let listed = place.succeed(&["run", "whole.toml", "--dry-run"]).out;
    let ids: Vec<_> = listed.lines().filter_map(|line| line.split_once(' ')).map(|l| l.0).collect();
    assert_eq!(ids.len(), 3);
    for (number, id) in ["1", "2"].iter().zip(ids) {
        let print = |run: &str| place.succeed(&["print", "whole.toml", "--run", run]).out;
        assert!(print(number) == print(id), "{id}");
    }
    // A dry run makes nothing.
    assert_eq!(place.names().len(), 1);
}

#[test]
fn a_forced_kernel_shows_in_the_print() {
    let place = Place::with("whole.toml", support::whole());
    let print = |kernel: &str| place.succeed(&["print", "whole.toml", "--kernel", kernel]).out;
    assert!(print("matmul:scalar").contains("  matmul:scalar  "));
    let text = print("*:scalar");
    for variant in ["avx2", "avx512", "neon", "tiled", "matrixmultiply", "painted"] {
        assert!(!text.contains(&format!(":{variant}  ")), "{variant}");
    }
}

#[test]
fn the_help_of_every_command_mentions_every_flag() {
    let place = Place::new();
    let commands: [(&str, &[&str]); 5] = [
        (
            "run",
            &[
                "<EXPERIMENT>",
                "--runs",
                "--report",
                "--threads",
                "--jobs",
                "--kernel",
                "--mode",
                "--checkpoint-every",
                "--dry-run",
                "--quiet",
            ],
        ),
        ("report", &["<STORE>", "--runs", "--out"]),
        ("list", &["<WHAT>", "--json"]),
        ("print", &["<EXPERIMENT>", "--run", "--kernel", "--mode", "--json", "--time"]),
        ("conform", &["<PATH>", "--device", "--kernel", "--mode", "--json"]),
    ];
    let all = place.succeed(&["--help"]).out;
    for (command, flags) in commands {
        assert!(all.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
        let help = place.succeed(&[command, "--help"]).out;
        for flag in flags.iter().chain(&["--help", "--version"]) {
            assert!(help.split_whitespace().any(|word| word == *flag), "{command} {flag}: {help}");
        }
    }
    assert!(place.succeed(&["--version"]).out.starts_with("speck "));
    // Without a command there is the same help, on the error stream.
    let nothing = place.speck(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.err.contains("Usage: speck <COMMAND>"), "{}", nothing.err);
}

// The page lists the variants of this architecture.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_page_of_ops_is_what_the_registry_says() {
    let page = Place::new().succeed(&["list", "ops", "--markdown"]).out;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ops.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == kept, "docs/ops.md is old: `cargo run -- list ops --markdown > docs/ops.md`");
    assert!(!page.contains("WRONG"));
}
