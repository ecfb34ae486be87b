//! A long plateau and a short fall.

use super::{Place, Schedule, ScheduleEntry, half_cosine};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "warmup_stable_decay",
    summary: "rate, and in the last decay_share of the steps down to final_rate · rate: linear, half a cosine, or 1 - √; the warm-up is that of any schedule",
    source: "Hu et al., \"MiniCPM\", 2024; 1 - √: Hägele et al., \"Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations\", 2024",
    dimensions: &[
        Dimension::float(
            "decay_share",
            "share of the steps in which the rate falls",
            (0.0, 1.0),
            0.2,
        ),
        Dimension::choice("decay", "form of the fall", &["linear", "cosine", "sqrt"], "linear"),
        Dimension::float("final_rate", "last rate, as a share of the first", (0.0, 1.0), 0.0),
    ],
    make: |settings| {
        Box::new(StableDecay {
            share: settings.float("decay_share"),
            last: settings.float("final_rate"),
            left: match settings.text("decay") {
                "cosine" => |done| half_cosine(1.0, 0.0, done),
                "sqrt" => |done| 1.0 - done.sqrt(),
                _ => |done| 1.0 - done,
            },
        })
    },
};

struct StableDecay {
    share: f64,
    last: f64,
    /// What is left of the way to fall.
    left: fn(f64) -> f64,
}

impl Schedule for StableDecay {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let length = self.share * place.total as f64;
        let into = place.step as f64 - (place.total as f64 - length);
        let done = if into > 0.0 && length > 0.0 { (into / length).min(1.0) } else { 0.0 };
        place.base * (self.last + (1.0 - self.last) * (self.left)(done))
    }
}
