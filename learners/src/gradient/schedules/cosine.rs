//! Half a cosine from the first rate to the last.

use super::{LOWEST, Place, Schedule, ScheduleEntry, half_cosine, length};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cosine",
    summary: "last + (rate - last) · (1 + cos(π · step / t_max)) / 2, last = eta_min + final_rate · rate",
    source: "Loshchilov and Hutter, \"SGDR\", 2016, equation 5, without restarts; where t_max is given, the rate rises again behind it, as in PyTorch",
    dimensions: &[
        length("t_max", "steps of the fall; 0 for all"),
        LOWEST,
        Dimension::float(
            "final_rate",
            "rate at the last step, as a share of the first",
            (0.0, 1.0),
            0.0,
        ),
    ],
    make: |settings| {
        Box::new(Cosine {
            length: settings.usize("t_max") as u64,
            lowest: settings.float("eta_min"),
            last: settings.float("final_rate"),
        })
    },
};

struct Cosine {
    length: u64,
    lowest: f64,
    last: f64,
}

impl Schedule for Cosine {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let done = match self.length {
            0 => place.done(0),
            length => place.step as f64 / length as f64,
        };
        half_cosine(place.base, self.lowest + self.last * place.base, done)
    }
}
