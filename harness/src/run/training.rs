//! The first phase of a run: training, and what the trained network does.

use super::evaluate::{Probe, headline, scores, seed_for};
use super::stage::{Record, Watch};
use crate::RunError;
use crate::data::{DataSettings, Source, Split};
use crate::store::PhaseResults;
use serde_json::{Value, json};
use speck_learners::{Learner, SCREEN, TARGETS};
use speck_models::settings::Settings;

/// Measurements over the first training.
pub const MEASUREMENTS: u64 = 25;
/// Measurements over a retraining.
pub const LEG_MEASUREMENTS: u64 = 12;
/// Samples of the validation during training.
const VALIDATION: usize = 512;

/// What is watched during training: fresh samples of the training data.
pub fn watches(data: &DataSettings, seed: u64) -> Vec<Watch> {
    let probe = Probe::random(data, VALIDATION, seed_for(seed, "validation"));
    let metric = headline(data);
    vec![Watch { series: metric, metric, probe }]
}

/// The results of the phase: scores on every training and held-out position,
/// the error by position, pictures, the program and its price.
///
/// # Errors
/// The learner cannot predict.
pub fn results(
    learner: &mut dyn Learner,
    data: &Settings,
    record: &Record,
    seed: u64,
) -> Result<PhaseResults, RunError> {
    let data = DataSettings::new(data)?;
    let mut results = PhaseResults { curves: record.points(), ..PhaseResults::default() };
    let everywhere = DataSettings { split: Split::Any, ..data.clone() };
    let seed_map = seed_for(seed, "positions");
    let sets = data.position_sets();
    for (cell, split, positions) in [
        ("training positions", Split::Training, &sets.training),
        ("held-out positions", Split::HeldOut, &sets.held_out),
    ] {
        if !positions.is_empty() {
            let part = DataSettings { split, ..data.clone() };
            let metrics = Probe::all_positions(&part, seed_map).measure(learner)?;
            results.scores.extend(scores("train", cell, &metrics.finish()));
        }
    }
    let (_, map) = Probe::all_positions(&everywhere, seed_map).map(learner)?;
    let map = json!({
        "exact": map.exact_hit(),
        "distance": map.pixel_distance(),
        "brightness": map.brightness(),
    });
    let description = learner.describe();
    let per_step = 1e3 * record.seconds / record.steps.max(1) as f64;
    results.artefacts = vec![
        ("error map".to_owned(), map),
        ("samples".to_owned(), pictures(learner, &everywhere, seed)?),
        (
            "model".to_owned(),
            json!({
                "parameters": description.parameters,
                "flops_per_step": description.step.flops,
                "program": description.program,
                "plan": crate::ledger::plan(&description.plan),
                "ledger": crate::ledger::ledger(&description.ledger),
            }),
        ),
        (
            "timing".to_owned(),
            json!({
                "seconds": record.seconds,
                "steps": record.steps,
                "best_step": record.best_step,
                "milliseconds_per_step": per_step,
            }),
        ),
    ];
    Ok(results)
}

/// Screens with what the learner answers: the task itself, then harder ones.
fn pictures(learner: &mut dyn Learner, data: &DataSettings, seed: u64) -> Result<Value, RunError> {
    use crate::data::{Arrangement, Background, SpeckColour};
    let trained = DataSettings { trained: Some(data.speck), ..data.clone() };
    let several =
        |count| DataSettings { count, arrangement: Arrangement::Random, ..trained.clone() };
    let cases = [
        ("the task", trained.clone()),
        ("another colour", DataSettings { speck: SpeckColour::Other, ..trained.clone() }),
        ("near the background", DataSettings { speck: SpeckColour::Near, ..trained.clone() }),
        (
            "a random background",
            DataSettings {
                background: Background::RandomSample,
                speck: SpeckColour::Contrast,
                ..trained.clone()
            },
        ),
        ("two specks", several(2)),
        ("four specks", several(4)),
    ];
    let mut all = Vec::new();
    for (title, data) in cases {
        if data.check().is_err() {
            continue;
        }
        let probe = Probe::random(&data, 1, seed_for(seed, title));
        probe.visit(learner, |brightness, batch| {
            let slots = batch.positions.chunks_exact(2).zip(batch.colours.chunks_exact(3));
            let shown: Vec<_> = slots.filter(|(position, _)| position[0] >= 0).collect();
            all.push(json!({
                "title": title,
                "positions": shown.iter().map(|(position, _)| *position).collect::<Vec<_>>(),
                "colours": shown.iter().map(|(_, colour)| *colour).collect::<Vec<_>>(),
                "background": batch.background_of(0),
                "size": batch.shape.size,
                "falloff": batch.shape.falloff,
                "rows": &brightness[..SCREEN],
                "columns": &brightness[SCREEN..TARGETS],
            }));
        })?;
    }
    Ok(Value::Array(all))
}

/// The source of a stage's batches.
///
/// # Errors
/// Data that cannot be.
pub fn source(data: &Settings, batch: usize, seed: u64, purpose: &str) -> Result<Source, RunError> {
    let data = DataSettings::new(data)?;
    Ok(Source::new(&data, batch, seed_for(seed, purpose)))
}
