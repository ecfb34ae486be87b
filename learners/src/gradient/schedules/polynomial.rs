//! A fall to zero along a power.

use super::{Place, Schedule, ScheduleEntry, length};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "polynomial",
    summary: "rate · (1 - min(1, step / total_iters))^power",
    source: "PyTorch's PolynomialLR; Chen et al., \"DeepLab\", 2016, with power 0.9",
    dimensions: &[
        length("total_iters", "steps of the fall; 0 for all"),
        Dimension::float("power", "the power", (0.0, 100.0), 1.0),
    ],
    make: |settings| {
        Box::new(Polynomial {
            length: settings.usize("total_iters") as u64,
            power: settings.float("power"),
        })
    },
};

struct Polynomial {
    length: u64,
    power: f64,
}

impl Schedule for Polynomial {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        place.base * (1.0 - place.done(self.length)).powf(self.power)
    }
}
