//! Ensembles: several networks from one run's settings that answer together.
//!
//! An ensemble says which members are trained and how, and what of them is averaged.
//! The runner trains the members, with checkpoints like all training, and tests the
//! ensemble, each member and the run's own network on the same samples. One file an
//! ensemble, one line in [`ALL`].

mod bagging;
pub mod evaluate;
mod outputs;
mod snapshots;
#[cfg(test)]
mod tests;
mod weights;

use crate::config::{RegistryEntry, RunConfig};
use crate::data::DataSettings;
use crate::run::evaluate::seed_for;
use speck_models::settings::{Dimension, SettingError, Settings, Value};

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// What members answer: brightness values, for most losses probabilities.
    Outputs,
    /// Their weights and running statistics, which makes one network.
    Weights,
}

/// Where a member starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From new weights, and goes through the run's regimen.
    Scratch,
    /// From the run's trained network, and is trained on plainly.
    Trained,
}

/// A training that members come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Unique in the ensemble; part of file names.
    pub name: String,
    /// Decides initial values, batches, and what is random in steps.
    pub seed: u64,
    /// The learner's settings, steps included.
    pub learner: Settings,
    /// Where it starts.
    pub start: Start,
    /// Draws the positions that it is trained on, as many as there are, with
    /// replacement.
    pub bootstrap: bool,
    /// How many members: after equal shares of the steps, the last at the end.
    pub members: usize,
}

impl Training {
    /// The run that a member is, which starts from new weights.
    pub fn run(&self, run: &RunConfig) -> RunConfig {
        let learner = (run.learner.0.clone(), self.learner.clone());
        RunConfig { seed: self.seed, learner, ..run.clone() }
    }
}

/// An ensemble in the registry.
pub struct Ensemble {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// What is averaged.
    pub combination: Combination,
    /// The trainings for a run.
    pub trainings: fn(&RunConfig, &Settings) -> Result<Vec<Training>, SettingError>,
}

/// Every ensemble.
pub static ALL: &[Ensemble] =
    &[outputs::ENSEMBLE, weights::ENSEMBLE, snapshots::ENSEMBLE, bagging::ENSEMBLE];

/// The ensemble called `name`.
pub fn find(name: &str) -> Option<&'static Ensemble> {
    ALL.iter().find(|ensemble| ensemble.name == name)
}

/// The registry as experiment files and listings see it.
pub fn entries() -> Vec<RegistryEntry> {
    let entry = |e: &Ensemble| RegistryEntry {
        applies: |name, settings, run| {
            let Some(ensemble) = find(name) else { return Ok(()) };
            let trainings = (ensemble.trainings)(run, settings)?;
            // A regimen may not fit into other numbers of steps.
            let steps = |error: SettingError| SettingError::new("steps", error.to_string());
            let Some(training) = trainings.first().filter(|own| own.start == Start::Scratch) else {
                return Ok(());
            };
            crate::regimens::stretches(&training.run(run)).map(drop).map_err(steps)
        },
        ..RegistryEntry::new(e.name, e.summary, e.dimensions)
    };
    ALL.iter().map(entry).collect()
}

const MEMBERS: Dimension = Dimension::int("members", "networks that answer together", (2, 100), 5);

const STEPS: Dimension = Dimension::int(
    "steps",
    "steps of each training; 0 for as many as the run's",
    (0, 100_000_000),
    0,
);

/// As many trainings as there are members, each with a seed of its own.
fn alike(run: &RunConfig, settings: &Settings, start: Start, bootstrap: bool) -> Vec<Training> {
    let learner = match settings.int("steps") {
        0 => run.learner.1.clone(),
        steps => run.learner.1.with("steps", Value::Int(steps)),
    };
    let training = |number| Training {
        name: format!("member {number}"),
        seed: seed_for(run.seed, &format!("ensemble, member {number}")),
        learner: learner.clone(),
        start,
        bootstrap,
        members: 1,
    };
    (1..=settings.usize("members")).map(training).collect()
}

/// Whether positions can be drawn one by one, in every part of the training.
fn drawn_singly(run: &RunConfig) -> Result<(), SettingError> {
    for stretch in crate::regimens::stretches(run)? {
        if !DataSettings::new(&stretch.data)?.arrangement.places_singly() {
            let message = "bagging: the data's specks are placed by their arrangement, not drawn \
                           from a set of positions";
            return Err(SettingError::new("kind", message));
        }
    }
    Ok(())
}
