//! Specks that fade, from the experiment's file to the pictures of a run.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Place, results};

const EXPERIMENT: &str = r#"
seeds = [0]
batteries = ["general"]

[data]
size = [4, 9]
falloff = 1.5

[learner.adam]
kind = "gradient"
steps = 30
batch = 16

[[model]]
kind = "cnn"
channels = [4, 4]
learner = "adam"
"#;

#[test]
fn they_are_trained_on_in_both_modes_and_drawn() {
    let mut curves: Vec<BTreeMap<_, _>> = Vec::new();
    for mode in ["dense", "structured"] {
        let place = Place::with("fading.toml", EXPERIMENT);
        place.succeed(&["run", "fading.toml", "--mode", mode, "--quiet"]);
        let all = results(&place.path("runs/fading.sqlite"));
        let mut losses = BTreeMap::new();
        for ((run, phase), bits) in &all {
            if phase != "train" {
                continue;
            }
            for (series, step, value) in &bits.curves {
                if series == "loss" {
                    losses.insert((run.clone(), *step), f64::from_bits(*value));
                }
            }
            let samples = bits.artefacts.iter().find(|(name, _)| name == "samples");
            let samples: Value = serde_json::from_str(&samples.expect("samples").1).expect("JSON");
            let falloff = samples.as_array().into_iter().flatten().map(|s| &s["falloff"]);
            assert!(falloff.clone().count() > 0 && falloff.clone().all(|f| *f == 1.5), "{samples}");
        }
        place.succeed(&["report", "fading"]);
        curves.push(losses);
    }
    let [dense, structured] = curves.as_slice() else { panic!("two modes") };
    assert!(dense.len() >= 2 && dense.keys().eq(structured.keys()));
    for (step, wanted) in dense {
        let found = structured[step];
        assert!((found - wanted).abs() <= 1e-4, "{step:?}: {found} instead of {wanted}");
    }
}
