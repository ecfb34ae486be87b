//! Schedules: how the rate changes over the steps. One file each.

mod constant;
mod cosine;

use speck_models::Settings;

/// A schedule with its settings.
pub trait Schedule: Send + Sync {
    /// What the rate is multiplied by at `step` (from 0) of `total`.
    fn factor(&self, step: u64, total: u64) -> f64;
}

/// A schedule in the registry.
pub struct ScheduleEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// Formula and source.
    pub summary: &'static str,
    /// Makes it from the settings of the gradient learner.
    pub make: fn(&Settings) -> Box<dyn Schedule>,
}

/// Every schedule.
pub static ALL: &[ScheduleEntry] = &[constant::ENTRY, cosine::ENTRY];

/// Their names.
pub const NAMES: &[&str] = &[constant::ENTRY.name, cosine::ENTRY.name];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static ScheduleEntry> {
    ALL.iter().find(|entry| entry.name == name)
}
