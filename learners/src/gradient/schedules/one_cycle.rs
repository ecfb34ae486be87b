//! One rise and one long fall.

use super::{Place, Schedule, ScheduleEntry, half_cosine, length};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "one_cycle",
    summary: "from max_lr / div_factor up to max_lr at pct_start of the steps, then down to max_lr / (div_factor · final_div_factor)",
    source: "Smith and Topin, \"Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates\", 2017, as PyTorch's OneCycleLR without the cycle of the momentum",
    dimensions: &[
        Dimension::float("max_lr", "the highest rate; 0 for the rate", (0.0, 1e6), 0.0),
        length("total_steps", "steps of the cycle; 0 for all"),
        Dimension::float(
            "pct_start",
            "share of the steps in which the rate rises",
            (0.0, 1.0),
            0.3,
        ),
        Dimension::choice("anneal", "along half a cosine, or a line", &["cos", "linear"], "cos"),
        Dimension::float("div_factor", "highest over first rate", (1e-6, 1e12), 25.0),
        Dimension::float("final_div_factor", "first over last rate", (1e-6, 1e12), 1e4),
        Dimension::bool("three_phase", "whether the fall mirrors the rise before it ends", false),
    ],
    make: |settings| {
        Box::new(OneCycle {
            highest: settings.float("max_lr"),
            length: settings.usize("total_steps") as u64,
            rise: settings.float("pct_start"),
            way: match settings.text("anneal") {
                "linear" => |from, to, done| from + (to - from) * done,
                _ => half_cosine,
            },
            factors: [settings.float("div_factor"), settings.float("final_div_factor")],
            three: settings.bool("three_phase"),
        })
    },
};

struct OneCycle {
    highest: f64,
    length: u64,
    rise: f64,
    way: fn(f64, f64, f64) -> f64,
    factors: [f64; 2],
    three: bool,
}

impl Schedule for OneCycle {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let highest = if self.highest == 0.0 { place.base } else { self.highest };
        let first = highest / self.factors[0];
        let last = first / self.factors[1];
        let total = place.length(self.length) as f64;
        let (top, end) = (self.rise * total - 1.0, total - 1.0);
        let step = (place.step as f64).min(end);
        // Where each phase ends, from which to which rate it leads.
        let two = [(top, first, highest), (end, highest, last), (end, last, last)];
        let three = [(top, first, highest), (2.0 * top, highest, first), (end, first, last)];
        let mut start = 0.0;
        for (end, from, to) in if self.three { three } else { two } {
            if step <= end {
                let length: f64 = end - start;
                let done = if length > 0.0 { (step - start) / length } else { 1.0 };
                return (self.way)(from, to, done);
            }
            start = end;
        }
        last
    }
}
