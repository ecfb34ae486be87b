//! A fall with the root of the steps.

use super::{Place, Schedule, ScheduleEntry};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "inverse_square_root",
    summary: "rate · √(timescale / (timescale + step))",
    source: "Vaswani et al., \"Attention Is All You Need\", 2017, section 5.3: with warmup_steps = timescale its schedule but for the constant in front",
    dimensions: &[Dimension::int(
        "timescale",
        "steps in which the rate falls to 0.7 of the first",
        (1, 100_000_000),
        1000,
    )],
    make: |settings| Box::new(InverseSquareRoot { scale: settings.usize("timescale") as f64 }),
};

struct InverseSquareRoot {
    scale: f64,
}

impl Schedule for InverseSquareRoot {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        place.base * (self.scale / (self.scale + place.step as f64)).sqrt()
    }
}
