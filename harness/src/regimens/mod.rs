//! Regimens: how a network is trained over the whole of a run.
//!
//! A regimen turns a run into *stretches*: parts of the training with settings
//! of the learner, data and a way to begin of their own. They follow each other
//! as one training (the runner's `Course`), with as many steps together as
//! the learner's `steps`, so that regimens are compared at an equal budget. One
//! file a regimen, one line in [`ALL`].

mod born_again;
mod curriculum;
mod fine_tuning;
mod freezing;
mod layers;
mod llf;
mod maml;
mod plain;
mod probing;
mod reptile;
mod seal;
mod unfreezing;

use crate::config::{RegistryEntry, RunConfig};
use speck_models::settings::{Dimension, SettingError, Settings, Value, applicable, resolve};

pub use layers::{Layer, layers};

/// The regimen of a run that names none.
pub const DEFAULT: &str = "plain";

/// How a stretch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the weights that the stretch before ended with, all but those of
    /// some layers, which are new; with new moments and a count of steps from 0.
    Weights {
        /// Names of the layers that are new; see [`Layer::name`].
        renewed: Vec<String>,
    },
    /// Exactly where the stretch before ended: weights, moments and the count of
    /// steps.
    Everything,
}

impl Start {
    /// All weights, and new moments.
    pub fn weights() -> Self {
        Start::Weights { renewed: Vec::new() }
    }
}

/// A part of the training.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// What it is, for people.
    pub name: String,
    /// Its length.
    pub steps: u64,
    /// The learner's settings. Their `steps` are those that the schedule spans.
    pub learner: Settings,
    /// The data.
    pub data: Settings,
    /// How it begins; of no meaning for the first one, which begins anew.
    pub start: Start,
    /// Tasks of a batch; 1 where there is one for all of its samples.
    pub tasks: usize,
}

impl Stretch {
    /// The run's own settings and data.
    pub fn of(run: &RunConfig, name: impl Into<String>, steps: u64) -> Self {
        Stretch {
            name: name.into(),
            steps,
            learner: run.learner.1.clone(),
            data: run.data.clone(),
            start: Start::weights(),
            tasks: 1,
        }
    }

    /// With a schedule of its own over so many steps, of which some are over.
    #[must_use]
    pub fn scheduled(mut self, total: u64, offset: u64) -> Self {
        self.learner = self.learner.with("steps", Value::Int(total as i64));
        if self.learner.get("schedule_offset").is_some() {
            self.learner = self.learner.with("schedule_offset", Value::Int(offset as i64));
        }
        self
    }

    /// With other settings of the learner, some of which bring settings along.
    ///
    /// # Errors
    /// Settings that the learner does not have.
    pub fn changed(
        mut self,
        run: &RunConfig,
        changes: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self, SettingError> {
        let changes: Vec<_> = changes.into_iter().collect();
        let kept = self.learner.iter().filter(|(key, _)| changes.iter().all(|(new, _)| new != key));
        let mut given: Vec<_> = kept.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        given.extend(changes);
        let entry = speck_learners::find(&run.learner.0);
        let dimensions = entry.map_or(&[][..], |entry| entry.dimensions);
        self.learner = resolve(dimensions, &applicable(dimensions, &given))?;
        Ok(self)
    }

    /// With groups of parameters before those of the run.
    #[must_use]
    pub fn grouped(mut self, groups: impl IntoIterator<Item = String>) -> Self {
        let own = self.learner.text_list("groups").into_iter().map(str::to_owned);
        let all = groups.into_iter().chain(own).map(Value::Text).collect();
        self.learner = self.learner.with("groups", Value::List(all));
        self
    }
}

/// A regimen in the registry.
pub struct Regimen {
    /// Its name in experiments.
    pub name: &'static str,
    /// What it does, as a formula where there is one.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// The stretches of a run.
    pub stretches: fn(&RunConfig, &Settings) -> Result<Vec<Stretch>, SettingError>,
}

/// Every regimen.
pub static ALL: &[Regimen] = &[
    plain::REGIMEN,
    llf::REGIMEN,
    seal::REGIMEN,
    born_again::REGIMEN,
    curriculum::REGIMEN,
    unfreezing::REGIMEN,
    freezing::REGIMEN,
    probing::REGIMEN,
    fine_tuning::REGIMEN,
    maml::REGIMEN,
    reptile::REGIMEN,
];

/// The regimen called `name`.
pub fn find(name: &str) -> Option<&'static Regimen> {
    ALL.iter().find(|regimen| regimen.name == name)
}

/// The stretches of a run with the regimen it names.
///
/// # Errors
/// Settings that do not fit the run's model or learner.
pub fn stretches(run: &RunConfig) -> Result<Vec<Stretch>, SettingError> {
    let (name, settings) = &run.regimen;
    let regimen = find(name)
        .ok_or_else(|| SettingError::unknown(name, ALL.iter().map(|known| known.name)))?;
    (regimen.stretches)(run, settings)
}

/// The registry as experiment files and listings see it.
pub fn entries() -> Vec<RegistryEntry> {
    let entry = |regimen: &Regimen| RegistryEntry {
        applies: |name, settings, run| {
            find(name).map_or(Ok(()), |regimen| (regimen.stretches)(run, settings).map(drop))
        },
        ..RegistryEntry::new(regimen.name, regimen.summary, regimen.dimensions)
    };
    ALL.iter().map(entry).collect()
}

/// The steps of a run.
fn total(run: &RunConfig) -> u64 {
    run.learner.1.usize("steps") as u64
}

/// Steps in parts as equal as can be, of which each has one at least.
fn parts(run: &RunConfig, key: &str, count: usize) -> Result<Vec<u64>, SettingError> {
    let (total, count) = (total(run), count as u64);
    if count > total {
        let message = format!("{count} parts of {total} steps; {total} is the most");
        return Err(SettingError::new(key, message));
    }
    Ok((0..count).map(|i| total * (i + 1) / count - total * i / count).collect())
}

/// Whether a run has the usual regimen, for what knows no other; `why` says why.
///
/// # Errors
/// It has another one.
pub fn only_plain(run: &RunConfig, why: &str) -> Result<(), SettingError> {
    if run.regimen.0 == DEFAULT {
        return Ok(());
    }
    let message = format!("{why}: it goes with the regimen `{DEFAULT}`, not `{}`", run.regimen.0);
    Err(SettingError::new("kind", message))
}

/// A share of the steps, and the rest.
fn share_of(run: &RunConfig, share: f64) -> [u64; 2] {
    let first = (total(run) as f64 * share).round() as u64;
    [first, total(run) - first]
}

/// Whether the run's learner has a setting that a regimen needs.
fn needs(run: &RunConfig, regimen: &str, setting: &str) -> Result<(), SettingError> {
    if run.learner.1.get(setting).is_some() {
        return Ok(());
    }
    let message = format!(
        "{regimen} needs `{setting}`, which the {} learner does not have; `gradient` has it",
        run.learner.0
    );
    Err(SettingError::new("kind", message))
}

/// Whether the run's learner can treat layers differently.
fn needs_groups(run: &RunConfig, regimen: &str) -> Result<(), SettingError> {
    needs(run, regimen, "groups")
}

#[cfg(test)]
mod tests;
