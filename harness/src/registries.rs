//! The registries of all crates, as experiment files and listings see them.

use crate::config::{Registries, RegistryEntry};
use crate::{batteries, data, protocols};

/// Every model, learner, data dimension, battery and protocol.
pub fn registries() -> Registries {
    let models = speck_models::ALL
        .iter()
        .map(|m| RegistryEntry::new(m.name, m.summary, m.dimensions).checked_by(m.check))
        .collect();
    let learners = speck_learners::ALL
        .iter()
        .map(|l| RegistryEntry::new(l.name, l.summary, l.dimensions).only_for(l.only_models))
        .collect();
    Registries {
        models,
        learners,
        protocols: protocols::entries(),
        data: data::entry(),
        batteries: batteries::entries(),
    }
}
