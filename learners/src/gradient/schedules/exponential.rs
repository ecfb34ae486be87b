//! The same fall at every step.

use super::{Place, Schedule, ScheduleEntry, gamma};

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "exponential",
    summary: "rate · gamma^step",
    source: "PyTorch's ExponentialLR",
    dimensions: &[gamma("what the rate is multiplied by at every step", 0.999)],
    make: |settings| Box::new(Exponential { gamma: settings.float("gamma") }),
};

struct Exponential {
    gamma: f64,
}

impl Schedule for Exponential {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        place.base * self.gamma.powf(place.step as f64)
    }
}
