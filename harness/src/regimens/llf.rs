//! Later-layer forgetting.
//!
//! Training is a row of generations. At the start of each but the first the later
//! layers get new weights, drawn as the first ones were, while the early ones keep
//! theirs: what the early layers have learned has to serve later layers that know
//! nothing yet, generation after generation. Each generation has a new optimizer
//! and the whole schedule.

use super::layers::{names, split};
use super::{Regimen, Start, Stretch, parts};
use crate::config::RunConfig;
use speck_models::settings::{Dimension, SettingError, Settings};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "llf",
    summary: "later-layer forgetting: each generation begins with w_later ~ initialization, w_early kept, and a new optimizer and schedule",
    source: "Zhou, Vani, Larochelle, Courville, \"Fortuitous Forgetting in Connectionist Networks\", 2022",
    dimensions: &[GENERATIONS, EARLY],
    stretches,
};

/// Generations that the steps are divided into.
pub(super) const GENERATIONS: Dimension =
    Dimension::int("generations", "generations that the steps are divided into", (1, 10_000), 4);

/// Layers that count as early.
pub(super) const EARLY: Dimension = Dimension::int(
    "early_layers",
    "layers from the image on that are the early ones; a norm goes with the layer before it",
    (1, 1000),
    1,
);

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    let (_, later) = split(run, EARLY.name, settings.usize(EARLY.name))?;
    let lengths = parts(run, GENERATIONS.name, settings.usize(GENERATIONS.name))?;
    let generation = |(number, steps): (usize, u64)| Stretch {
        start: Start::Weights { renewed: names(&later) },
        ..Stretch::of(run, format!("generation {}", number + 1), steps).scheduled(steps, 0)
    };
    Ok(lengths.into_iter().enumerate().map(generation).collect())
}
