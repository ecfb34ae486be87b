//! Every diagnostic and ensemble says on a GPU what it says on the processor, with the
//! plain regimen and with another.
//!
//! Where there is no GPU this test says so and counts what it left out; with
//! `SPECK_REQUIRE_GPU=1` that is a failure.

mod support;

use rusqlite::Connection;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_harness::{diagnostics, ensembles};
use std::collections::BTreeMap;
use std::path::Path;
use support::Place;

/// An experiment with every diagnostic and every ensemble, as small as they go.
fn text() -> String {
    let mut text = "name = \"all\"\n[data]\npositions = \"fraction\"\nfraction = 0.3\n\
        [learner.sgd]\nkind = \"gradient\"\noptimizer = \"momentum\"\nrate = 0.02\n\
        steps = 4\nbatch = 8\n\
        [[model]]\nkind = \"mlp\"\nhidden = [6, 6]\n\
        [[regimen]]\nkind = \"plain\"\n"
        .to_owned();
    let set = |text: &mut String, dimensions: &[speck_models::Dimension], few: &[(&str, i64)]| {
        for (name, few) in few.iter().filter(|(name, _)| dimensions.iter().any(|d| d.name == *name))
        {
            *text += &format!("{name} = {few}\n");
        }
    };
    for entry in diagnostics::ALL {
        text += &format!("[[diagnostic]]\nkind = \"{}\"\n", entry.name);
        set(&mut text, entry.dimensions, &[("every", 4), ("samples", 64), ("iterations", 4)]);
    }
    for entry in ensembles::ALL {
        text += &format!("[[ensemble]]\nkind = \"{}\"\n", entry.name);
        set(&mut text, entry.dimensions, &[("members", 2)]);
    }
    text
}

/// The same with a regimen, the update ratio, and an ensemble that goes through it.
fn with_a_regimen() -> String {
    let whole = text();
    let head = whole.split("[[regimen]]").next().unwrap_or_default();
    format!(
        "{head}[[regimen]]\nkind = \"llf\"\ngenerations = 2\n\
         [[diagnostic]]\nkind = \"update-ratio\"\nevery = 1\n\
         [[ensemble]]\nkind = \"bagging\"\nmembers = 2\n"
    )
}

/// (phase, series or cell, step or metric) → value.
fn stored(path: &Path) -> BTreeMap<[String; 3], f64> {
    let store = Connection::open(path).expect("a store");
    let read = |query: &str| -> Vec<([String; 3], f64)> {
        let mut rows = store.prepare(query).expect("a query");
        let rows = rows.query_map([], |row| {
            Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get::<_, Option<f64>>(3)?))
        });
        let rows = rows.expect("rows").map(|row| row.expect("a row"));
        rows.filter_map(|(key, value)| Some((key, value?))).collect()
    };
    let curves = "SELECT phase, series, CAST(step AS TEXT), value FROM curves";
    let scores = "SELECT phase, cell, metric, value FROM scores";
    read(curves).into_iter().chain(read(scores)).collect()
}

#[test]
fn a_gpu_measures_what_the_processor_measures() {
    let experiments = [text(), with_a_regimen()];
    match Gpu::open(0, false) {
        Ok(_) => {}
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: {} experiments, for there is no GPU", experiments.len());
            return;
        }
        Err(error) => panic!("{error}"),
    }
    for text in experiments {
        let [wanted, found] = ["cpu", "gpu"].map(|device| {
            let place = Place::with("all.toml", &text);
            place.succeed(&["run", "all.toml", "--quiet", "--device", device]);
            stored(&place.path("runs/all.sqlite"))
        });
        assert!(wanted.keys().eq(found.keys()), "the same is measured");
        assert!(wanted.keys().any(|[phase, ..]| phase.starts_with("diagnostic/")));
        assert!(wanted.keys().any(|[phase, ..]| phase.starts_with("ensemble/")));
        for (key, wanted) in &wanted {
            let found = found[key];
            // A sample or two of 64 may be answered otherwise.
            let near = (found - wanted).abs() <= 0.02 * wanted.abs().max(1.0);
            assert!(near, "{key:?}: {found} instead of {wanted}");
        }
    }
}
