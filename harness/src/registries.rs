//! The registries of all crates, as experiment files and listings see them.

use crate::config::{Registries, RegistryEntry};
use crate::{batteries, data, diagnostics, ensembles, protocols, regimens};
use speck_models::{SettingError, Settings};

/// Every model, learner, data dimension, battery, protocol, regimen, diagnostic and
/// ensemble.
pub fn registries() -> Registries {
    let models = speck_models::ALL
        .iter()
        .map(|m| RegistryEntry::new(m.name, m.summary, m.dimensions).checked_by(buildable))
        .collect();
    let learners = speck_learners::ALL
        .iter()
        .map(|l| RegistryEntry {
            models: l.models,
            check: learnable,
            ..RegistryEntry::new(l.name, l.summary, l.dimensions)
        })
        .collect();
    Registries {
        models,
        learners,
        protocols: protocols::entries(),
        regimens: regimens::entries(),
        data: data::entry(),
        batteries: batteries::entries(),
        diagnostics: diagnostics::entries(),
        ensembles: ensembles::entries(),
    }
}

/// Whether there can be a model with such settings.
fn buildable(name: &str, settings: &Settings) -> Result<(), SettingError> {
    speck_models::find(name).map_or(Ok(()), |model| (model.make)(settings).map(drop))
}

/// Whether training can begin with such settings.
fn learnable(_: &str, settings: &Settings) -> Result<(), SettingError> {
    let taught = settings.get("distillation").is_some_and(|_| settings.float("distillation") > 0.0);
    if !taught {
        return Ok(());
    }
    let message = "a new network has no teacher; the regimen `born_again` sets it ([[regimen]])";
    Err(SettingError::new("distillation", message))
}
