//! Half a cosine from the first rate to the last (Loshchilov and Hutter,
//! "SGDR", 2016, equation 5, without restarts).

use super::{Schedule, ScheduleEntry};
use speck_models::Settings;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cosine",
    summary: "last + (first - last) · (1 + cos(π · step / total)) / 2",
    make: |settings: &Settings| Box::new(Cosine { last: settings.float("final_rate") }),
};

struct Cosine {
    last: f64,
}

impl Schedule for Cosine {
    fn factor(&self, step: u64, total: u64) -> f64 {
        let done = step.min(total) as f64 / total.max(1) as f64;
        self.last + (1.0 - self.last) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}
