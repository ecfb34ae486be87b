//! Up and down again and again.

use super::{CYCLE, HIGHEST, Place, Schedule, ScheduleEntry, cycled, momenta};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cyclic",
    summary: "rate + (max_lr - rate) · height · share, height from 0 to 1 in step_size_up steps and back in step_size_down; share = 1, 1/2 less in each cycle, or gamma^step",
    source: "Smith, \"Cyclical Learning Rates for Training Neural Networks\", 2015, as PyTorch's CyclicLR, but that momentum stays unless cycle_momentum is set",
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
        CYCLE,
        momenta(0.8, 0.9)[0],
        momenta(0.8, 0.9)[1],
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
            momenta: cycled(settings),
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
    /// The highest and the lowest, if momentum is cycled.
    momenta: Option<[f64; 2]>,
}

impl Cyclic {
    /// How high the rate is, from 0 to 1.
    fn height(&self, step: u64) -> f64 {
        let length = self.up + self.down;
        let (cycle, at) = (step / length, step % length);
        let height = match at <= self.up {
            true => at as f64 / self.up as f64,
            false => (length - at) as f64 / self.down as f64,
        };
        height * (self.share)(self.gamma, cycle as f64, step as f64)
    }
}

impl Schedule for Cyclic {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let highest = if self.highest == 0.0 { 10.0 * place.base } else { self.highest };
        place.base + (highest - place.base) * self.height(place.step)
    }

    fn momentum(&self, place: Place) -> Option<f64> {
        let [most, least] = self.momenta?;
        Some(most - (most - least) * self.height(place.step))
    }
}
