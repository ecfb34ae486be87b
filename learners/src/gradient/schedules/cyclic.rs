//! Up and down again and again.

use super::{HIGHEST, Place, Schedule, ScheduleEntry};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cyclic",
    summary: "rate + (max_lr - rate) · height · share, height from 0 to 1 in step_size_up steps and back in step_size_down; share = 1, 1/2 less in each cycle, or gamma^step",
    source: "Smith, \"Cyclical Learning Rates for Training Neural Networks\", 2015, as PyTorch's CyclicLR without the cycle of the momentum",
    dimensions: &[
        HIGHEST,
        Dimension::int("step_size_up", "steps of a rise", (1, 100_000_000), 2000),
        Dimension::int("step_size_down", "steps of a fall; 0 for as many", (0, 100_000_000), 0),
        Dimension::choice(
            "cycle_mode",
            "all cycles alike, each half as high as the last, or falling with the steps",
            &["triangular", "triangular2", "exp_range"],
            "triangular",
        ),
        Dimension::float("gamma", "what the height is multiplied by (exp_range)", (0.0, 1.0), 1.0),
    ],
    make: |settings| {
        let up = settings.usize("step_size_up") as u64;
        Box::new(Cyclic {
            highest: settings.float("max_lr"),
            up,
            down: Some(settings.usize("step_size_down") as u64)
                .filter(|down| *down > 0)
                .unwrap_or(up),
            gamma: settings.float("gamma"),
            share: match settings.text("cycle_mode") {
                "triangular2" => |_, cycle, _| 0.5f64.powf(cycle),
                "exp_range" => |gamma, _, step| gamma.powf(step),
                _ => |_, _, _| 1.0,
            },
        })
    },
};

struct Cyclic {
    highest: f64,
    up: u64,
    down: u64,
    gamma: f64,
    /// Of gamma, the cycle from 0, the step.
    share: fn(f64, f64, f64) -> f64,
}

impl Schedule for Cyclic {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let highest = if self.highest == 0.0 { 10.0 * place.base } else { self.highest };
        let length = self.up + self.down;
        let (cycle, at) = (place.step / length, place.step % length);
        let height = match at <= self.up {
            true => at as f64 / self.up as f64,
            false => (length - at) as f64 / self.down as f64,
        };
        let share = (self.share)(self.gamma, cycle as f64, place.step as f64);
        place.base + (highest - place.base) * height * share
    }
}
