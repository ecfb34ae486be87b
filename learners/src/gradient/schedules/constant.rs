//! The same rate at every step.

use super::{Place, Schedule, ScheduleEntry};

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "constant",
    summary: "the same rate at every step",
    source: "Robbins and Monro, \"A Stochastic Approximation Method\", 1951, without the fall",
    dimensions: &[],
    make: |_| Box::new(Constant),
};

struct Constant;

impl Schedule for Constant {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        place.base
    }
}
