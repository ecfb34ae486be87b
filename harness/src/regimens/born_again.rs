//! Born-again networks: each generation is a new network of the same kind that
//! learns from the one before, besides the task.

use super::layers::{layers, names};
use super::llf::GENERATIONS;
use super::{Regimen, Start, Stretch, needs, parts};
use crate::config::RunConfig;
use speck_models::settings::{Dimension, SettingError, Settings, Value};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "born_again",
    summary: "self-distillation: each generation is new and its loss (1 - d) loss + d T² loss(y / T, readout(teacher / T)), the teacher being the generation before",
    source: "Furlanello et al., \"Born Again Neural Networks\", 2018",
    dimensions: &[
        GENERATIONS,
        Dimension::float("distillation", "d: share of the teacher in the loss", (0.0, 1.0), 0.5),
        Dimension::float(
            "temperature",
            "T: what outputs are divided by before they are compared",
            (0.01, 1e3),
            1.0,
        ),
    ],
    stretches,
};

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    needs(run, REGIMEN.name, "distillation")?;
    let all = names(&layers(run)?);
    let lengths = parts(run, GENERATIONS.name, settings.usize(GENERATIONS.name))?;
    let generation = |(number, steps): (usize, u64)| {
        let name = format!("generation {}", number + 1);
        let mut stretch = Stretch::of(run, name, steps).scheduled(steps, 0);
        if number > 0 {
            for key in ["distillation", "temperature"] {
                let value = Value::Float(settings.float(key));
                stretch.learner = stretch.learner.with(key, value);
            }
        }
        Stretch { start: Start::Weights { renewed: all.clone() }, ..stretch }
    };
    Ok(lengths.into_iter().enumerate().map(generation).collect())
}
