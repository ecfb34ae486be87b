//! Simulated annealing of early layers.
//!
//! As in later-layer forgetting, training is a row of generations, but no weight is
//! ever drawn anew: at the start of each generation but the first the early layers
//! climb the loss for a while, at a small share of the rate and without weight
//! decay, while the later ones go on descending; then all descend.
//!
//! The authors' code has one schedule over a generation and a new optimizer at its
//! start and where the ascent ends, so that no momentum of the ascent is left.

use super::layers::{groups, split};
use super::llf::{EARLY, GENERATIONS};
use super::{Regimen, Stretch, needs_groups, parts};
use crate::config::RunConfig;
use speck_models::settings::{Dimension, SettingError, Settings};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "seal",
    summary: "simulated annealing of early layers: for the first share of a generation w_early ← w_early + S · rate · ∂L/∂w_early, all else descends as ever",
    source: "Sarfi et al., \"Simulated Annealing in Early Layers Leads to Better Generalization\", 2023",
    dimensions: &[
        GENERATIONS,
        EARLY,
        Dimension::float(
            "ascent_rate",
            "S: the rate of the ascent as a share of the learner's rate",
            (0.0, 1e3),
            0.01,
        ),
        Dimension::float(
            "ascent_share",
            "share of a generation's steps that climb",
            (0.0, 1.0),
            0.25,
        ),
    ],
    stretches,
};

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    needs_groups(run, REGIMEN.name)?;
    let (early, _) = split(run, EARLY.name, settings.usize(EARLY.name))?;
    let rate = settings.float("ascent_rate") * run.learner.1.float("rate");
    let mut text = format!("ascend, rate={rate:?}");
    if run.learner.1.get("weight_decay").is_some() {
        text.push_str(", weight_decay=0");
    }
    let ascent = groups(&early, &text);
    let mut stretches = Vec::new();
    let lengths = parts(run, GENERATIONS.name, settings.usize(GENERATIONS.name))?;
    for (number, steps) in lengths.into_iter().enumerate() {
        let name = format!("generation {}", number + 1);
        let climbing = match number {
            0 => 0,
            _ => (steps as f64 * settings.float("ascent_share")).round() as u64,
        };
        if climbing > 0 {
            let stretch = Stretch::of(run, format!("{name}, ascent"), climbing);
            stretches.push(stretch.scheduled(steps, 0).grouped(ascent.clone()));
        }
        if climbing < steps {
            let stretch = Stretch::of(run, name, steps - climbing);
            stretches.push(stretch.scheduled(steps, climbing));
        }
    }
    Ok(stretches)
}
