//! The same rate at every step.

use super::{Schedule, ScheduleEntry};

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "constant",
    summary: "the same rate at every step",
    make: |_| Box::new(Constant),
};

struct Constant;

impl Schedule for Constant {
    fn factor(&self, _: u64, _: u64) -> f64 {
        1.0
    }
}
