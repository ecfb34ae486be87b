//! The registries of the gradient learner are whole: what a file defines is in
//! its registry, and settings of parts that are chosen together differ in name.

use speck_models::settings::{Kind, Part, all_dimensions};
use std::collections::BTreeSet;
use std::path::Path;

const REGISTRIES: [&str; 5] = ["losses", "optimizers", "regularizers", "schedules", "initializers"];

#[test]
fn what_a_file_defines_is_in_its_registry() {
    for registry in REGISTRIES {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/gradient")).join(registry);
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        let list = text(&folder.join("mod.rs"));
        let (_, list) = list.split_once("pub const ALL: &").unwrap();
        let (_, list) = list.split_once("= &[").unwrap();
        let (list, _) = list.split_once("];").unwrap();
        let listed: Vec<_> = list.split(',').map(str::trim).collect();
        let mut files = 0;
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "mod" || path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            files += 1;
            let source = text(&path);
            let mut entries = 0;
            for line in source.lines().filter_map(|line| line.split_once("const ")) {
                let Some((constant, ty)) = line.1.split_once(": ") else { continue };
                if !ty.ends_with("Entry {") || line.0.trim_start().starts_with("//") {
                    continue;
                }
                entries += 1;
                let wanted = format!("{name}::{constant}");
                assert!(listed.contains(&&*wanted), "{registry}: {wanted} is not in ALL");
            }
            assert!(entries > 0, "{registry}/{name}.rs defines no entry");
        }
        assert!(files > 1, "{registry}");
    }
}

#[test]
fn parts_that_are_chosen_together_share_no_name() {
    let dimensions = speck_learners::find("gradient").unwrap().dimensions;
    let names = |parts: &'static [Part]| -> BTreeSet<&'static str> {
        let own = parts.iter().flat_map(|part| all_dimensions(part.dimensions));
        own.map(|dimension| dimension.name).collect()
    };
    let mut seen = BTreeSet::new();
    for dimension in dimensions {
        assert!(seen.insert(dimension.name), "{} is there twice", dimension.name);
    }
    for dimension in dimensions {
        if let Kind::Entry(parts) = dimension.kind {
            for name in names(parts) {
                assert!(seen.insert(name), "{name} of {} is that of another", dimension.name);
            }
        }
    }
    for part in dimensions.iter().filter_map(|d| match d.kind {
        Kind::Entry(parts) => Some(parts),
        _ => None,
    }) {
        let mut own = BTreeSet::new();
        assert!(part.iter().all(|part| own.insert(part.name)));
    }
}
