//! One rise and one long fall.

use super::{CYCLE, Place, Schedule, ScheduleEntry, cycled, half_cosine, length, momenta};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "one_cycle",
    summary: "from max_lr / div_factor up to max_lr at pct_start of the steps, then down to max_lr / (div_factor · final_div_factor)",
    source: "Smith and Topin, \"Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates\", 2017, as PyTorch's OneCycleLR, but that momentum stays unless cycle_momentum is set",
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
        CYCLE,
        momenta(0.85, 0.95)[0],
        momenta(0.85, 0.95)[1],
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
            momenta: cycled(settings),
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
    /// The highest and the lowest, if momentum is cycled.
    momenta: Option<[f64; 2]>,
}

impl OneCycle {
    /// A number at a place on its way through values: `three` or two ways, each
    /// from one to the next.
    fn along(&self, place: Place, two: [f64; 3], three: [f64; 4]) -> f64 {
        let total = place.length(self.length) as f64;
        let (top, end) = (self.rise * total - 1.0, total - 1.0);
        let step = (place.step as f64).min(end);
        // Where each way ends.
        let (ends, values) = match self.three {
            true => ([top, 2.0 * top, end], &three[..]),
            false => ([top, end, end], &two[..]),
        };
        let mut start = 0.0;
        for (end, ends) in ends.into_iter().zip(values.windows(2)) {
            if step <= end {
                let length: f64 = end - start;
                let done = if length > 0.0 { (step - start) / length } else { 1.0 };
                return (self.way)(ends[0], ends[1], done);
            }
            start = end;
        }
        values[values.len() - 1]
    }
}

impl Schedule for OneCycle {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let highest = if self.highest == 0.0 { place.base } else { self.highest };
        let first = highest / self.factors[0];
        let last = first / self.factors[1];
        self.along(place, [first, highest, last], [first, highest, first, last])
    }

    fn momentum(&self, place: Place) -> Option<f64> {
        let [most, least] = self.momenta?;
        Some(self.along(place, [most, least, most], [most, least, most, most]))
    }
}
