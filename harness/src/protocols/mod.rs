//! Protocols: what is done with a trained network beyond testing it.
//!
//! A protocol turns a run into *legs*: stretches of retraining with what is
//! measured before, during and after. The runner trains the legs (with
//! checkpoints, like all training) and the protocol turns each outcome into
//! results. One file a protocol, one line in [`ALL`].

mod meta;
mod transfer;

use crate::config::{RegistryEntry, RunConfig};
use crate::data::DataSettings;
use crate::run::stage::Record;
use crate::store::PhaseResults;
use speck_models::settings::{Dimension, SettingError, Settings};

/// Where a leg starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the trained network.
    Trained,
    /// From new weights.
    Scratch,
}

/// Something measured on a leg.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Its name.
    pub name: String,
    /// The data.
    pub data: DataSettings,
    /// How many samples.
    pub samples: usize,
}

/// A stretch of retraining.
pub struct Leg {
    /// Unique within the protocol; part of the phase's name.
    pub name: String,
    /// The data to train on.
    pub data: Settings,
    /// The learner's settings, steps included.
    pub learner: Settings,
    /// Where it starts.
    pub start: Start,
    /// Measured along the way: the curve's name and what is measured.
    pub watched: Vec<(&'static str, Measurement)>,
    /// Measured before the first step and after the last.
    pub compared: Vec<Measurement>,
    /// What the outcome means.
    pub results: Box<dyn Fn(&Outcome) -> PhaseResults + Send + Sync>,
}

/// What came of a leg.
pub struct Outcome {
    /// The curves of the leg.
    pub record: Record,
    /// Value and cases of each compared measurement, before.
    pub before: Vec<(Option<f64>, u64)>,
    /// The same after.
    pub after: Vec<(Option<f64>, u64)>,
}

/// A protocol in the registry.
pub struct Protocol {
    /// Its name in experiments.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// The legs for a run.
    pub legs: fn(&RunConfig, &Settings) -> Result<Vec<Leg>, SettingError>,
}

/// Every protocol.
pub static ALL: &[Protocol] = &[transfer::PROTOCOL, meta::PROTOCOL];

/// The protocol called `name`.
pub fn find(name: &str) -> Option<&'static Protocol> {
    ALL.iter().find(|protocol| protocol.name == name)
}

/// The registry as experiment files and listings see it.
pub fn entries() -> Vec<RegistryEntry> {
    let entry = |p: &Protocol| RegistryEntry {
        applies: |name, settings, run| {
            find(name).map_or(Ok(()), |protocol| (protocol.legs)(run, settings).map(drop))
        },
        ..RegistryEntry::new(p.name, p.summary, p.dimensions)
    };
    ALL.iter().map(entry).collect()
}
