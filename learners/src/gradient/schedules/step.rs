//! A fall at equal distances.

use super::{Place, Schedule, ScheduleEntry, gamma};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "step",
    summary: "rate · gamma^⌊step / step_size⌋",
    source: "PyTorch's StepLR",
    dimensions: &[
        Dimension::int("step_size", "steps from fall to fall", (1, 100_000_000), 1000),
        gamma("what the rate is multiplied by at a fall", 0.1),
    ],
    make: |settings| {
        Box::new(Step { size: settings.usize("step_size") as u64, gamma: settings.float("gamma") })
    },
};

struct Step {
    size: u64,
    gamma: f64,
}

impl Schedule for Step {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        place.base * self.gamma.powf((place.step / self.size) as f64)
    }
}
