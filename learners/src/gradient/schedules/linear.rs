//! A straight line.

use super::{Place, Schedule, ScheduleEntry, length};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "linear",
    summary: "rate · (start_factor + (end_factor - start_factor) · min(1, step / total_iters))",
    source: "PyTorch's LinearLR; by default from the rate to 0",
    dimensions: &[
        Dimension::float("start_factor", "share of the rate at the first step", (0.0, 1e3), 1.0),
        Dimension::float("end_factor", "share of the rate at the last step", (0.0, 1e3), 0.0),
        length("total_iters", "steps of the change; 0 for all"),
    ],
    make: |settings| {
        Box::new(Linear {
            factors: [settings.float("start_factor"), settings.float("end_factor")],
            length: settings.usize("total_iters") as u64,
        })
    },
};

struct Linear {
    factors: [f64; 2],
    length: u64,
}

impl Schedule for Linear {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let [start, end] = self.factors;
        place.base * (start + (end - start) * place.done(self.length))
    }
}
