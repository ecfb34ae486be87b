//! One training with a rate that falls again and again, and the networks at its ends.

use super::{Combination, Ensemble, MEMBERS, STEPS, Start, Training};
use crate::config::RunConfig;
use crate::run::evaluate::seed_for;
use speck_models::settings::{SettingError, Settings, Value, all_dimensions, applicable, resolve};

pub(super) const ENSEMBLE: Ensemble = Ensemble {
    name: "snapshots",
    summary: "y = 1/M Σ yₘ, the mean answer of the networks at the ends of the M cycles of one training, the rate of which falls along half a cosine in each: rate / 2 · (1 + cos(π t / T)), T = steps / M",
    source: "Huang, Li, Pleiss, Liu, Hopcroft and Weinberger, \"Snapshot Ensembles: Train 1, Get M for Free\", 2017, equation 2",
    dimensions: &[MEMBERS, STEPS],
    combination: Combination::Outputs,
    trainings,
};

fn trainings(run: &RunConfig, settings: &Settings) -> Result<Vec<Training>, SettingError> {
    crate::regimens::only_plain(run, "snapshots: the cycles are the course of the training")?;
    if run.learner.1.get("schedule").is_none() {
        let message = format!("snapshots: the {} learner has no schedule", run.learner.0);
        return Err(SettingError::new("kind", message));
    }
    let steps = match settings.int("steps") {
        0 => run.learner.1.int("steps"),
        steps => steps,
    };
    let members = settings.int("members");
    if steps % members != 0 {
        let message = format!("{steps} steps are no whole number of {members} cycles");
        return Err(SettingError::new("members", message));
    }
    Ok(vec![Training {
        name: "cycles".to_owned(),
        seed: seed_for(run.seed, "ensemble, cycles"),
        learner: cyclic(run, steps, steps / members)?,
        start: Start::Scratch,
        bootstrap: false,
        members: members as usize,
    }])
}

/// The learner's settings with the schedule of cycles in place of its own.
fn cyclic(run: &RunConfig, steps: i64, cycle: i64) -> Result<Settings, SettingError> {
    let entry = speck_learners::find(&run.learner.0);
    let dimensions = entry.map_or(&[][..], |entry| entry.dimensions);
    let changed = [
        ("schedule", Value::Text("cosine_warm_restarts".to_owned())),
        ("t_0", Value::Int(cycle)),
        ("t_mult", Value::Int(1)),
        ("warmup_steps", Value::Int(0)),
        ("steps", Value::Int(steps)),
        // It must not end within a cycle.
        ("patience", Value::Int(0)),
    ];
    let own = run.learner.1.iter().filter(|(key, _)| changed.iter().all(|(name, _)| name != key));
    let mut given: Vec<(String, Value)> =
        own.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    for (key, value) in changed {
        if all_dimensions(dimensions).any(|known| known.name == key) {
            given.push((key.to_owned(), value));
        }
    }
    resolve(dimensions, &applicable(dimensions, &given))
}
