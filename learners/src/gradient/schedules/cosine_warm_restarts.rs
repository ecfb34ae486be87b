//! Half cosines one after another.

use super::{LOWEST, Place, Schedule, ScheduleEntry, half_cosine};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cosine_warm_restarts",
    summary: "eta_min + (rate - eta_min) · (1 + cos(π · t / T)) / 2, t the steps since the last restart, T = t_0, t_0 · t_mult, t_0 · t_mult², …",
    source: "Loshchilov and Hutter, \"SGDR: Stochastic Gradient Descent with Warm Restarts\", 2016, equation 5",
    dimensions: &[
        Dimension::int("t_0", "steps to the first restart", (1, 100_000_000), 100),
        Dimension::int("t_mult", "what the distance grows by at a restart", (1, 1000), 1),
        LOWEST,
    ],
    make: |settings| {
        Box::new(WarmRestarts {
            first: settings.usize("t_0") as u64,
            factor: settings.usize("t_mult") as u64,
            lowest: settings.float("eta_min"),
        })
    },
};

struct WarmRestarts {
    first: u64,
    factor: u64,
    lowest: f64,
}

impl Schedule for WarmRestarts {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let (mut since, mut length) = (place.step, self.first);
        if self.factor == 1 {
            since %= length;
        }
        while since >= length {
            since -= length;
            length = length.saturating_mul(self.factor);
        }
        half_cosine(place.base, self.lowest, since as f64 / length as f64)
    }
}
