//! A fall whenever the loss has stopped falling.

use super::{Place, Schedule, ScheduleEntry};
use speck_models::Dimension;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "reduce_on_plateau",
    summary: "rate ← max(factor · rate, min_lr) when the loss was not better than its best for more than plateau_patience measurements; the loss is the mean over plateau_steps steps",
    source: "PyTorch's ReduceLROnPlateau",
    dimensions: &[
        Dimension::float("factor", "what the rate is multiplied by", (0.0, 0.999_999), 0.1),
        Dimension::int(
            "plateau_patience",
            "measurements that may be no better",
            (0, 1_000_000),
            10,
        ),
        Dimension::float("threshold", "by how much a loss must be better", (0.0, 1e6), 1e-4),
        Dimension::choice("threshold_mode", "as a share, or an amount", &["rel", "abs"], "rel"),
        Dimension::int(
            "cooldown",
            "measurements after a fall that do not count",
            (0, 1_000_000),
            0,
        ),
        Dimension::float("min_lr", "the lowest rate", (0.0, 1e6), 0.0),
        Dimension::float(
            "smallest_fall",
            "a smaller change of the rate is not made",
            (0.0, 1.0),
            1e-8,
        ),
        Dimension::choice("mode", "whether small or large is good", &["min", "max"], "min"),
        Dimension::int("plateau_steps", "steps of a measurement", (1, 100_000_000), 100),
    ],
    make: |settings| {
        Box::new(Plateau {
            factor: settings.float("factor"),
            patience: settings.int("plateau_patience") as f64,
            threshold: settings.float("threshold"),
            relative: settings.text("threshold_mode") == "rel",
            cooldown: settings.int("cooldown") as f64,
            lowest: settings.float("min_lr"),
            smallest: settings.float("smallest_fall"),
            sign: if settings.text("mode") == "max" { -1.0 } else { 1.0 },
            steps: settings.int("plateau_steps") as f64,
        })
    },
};

struct Plateau {
    factor: f64,
    patience: f64,
    threshold: f64,
    relative: bool,
    cooldown: f64,
    lowest: f64,
    smallest: f64,
    /// Larger is better if negative.
    sign: f64,
    steps: f64,
}

/// What is remembered, in its order.
const SHARE: usize = 0;
const BEST: usize = 1;
const BAD: usize = 2;
const COOLING: usize = 3;
const SUM: usize = 4;
const COUNT: usize = 5;

impl Plateau {
    /// Whether a loss is better than the best, both with the sign of the mode.
    fn better(&self, loss: f64, best: f64) -> bool {
        match self.relative {
            // best · (1 ∓ threshold) with the sign of the mode on both sides.
            true => loss < best * (1.0 - self.sign * self.threshold),
            false => loss < best - self.threshold,
        }
    }
}

impl Schedule for Plateau {
    fn rate(&self, place: Place, memory: &[f64]) -> f64 {
        // The rate itself is not remembered, so that it can be changed in between.
        place.base * memory[SHARE]
    }

    fn memory(&self) -> Vec<f64> {
        vec![1.0, f64::INFINITY, 0.0, 0.0, 0.0, 0.0]
    }

    fn observe(&self, place: Place, loss: f64, memory: &mut [f64]) {
        memory[SUM] += loss;
        memory[COUNT] += 1.0;
        if memory[COUNT] < self.steps {
            return;
        }
        let loss = self.sign * memory[SUM] / memory[COUNT];
        (memory[SUM], memory[COUNT]) = (0.0, 0.0);
        if self.better(loss, memory[BEST]) {
            (memory[BEST], memory[BAD]) = (loss, 0.0);
        } else {
            memory[BAD] += 1.0;
        }
        if memory[COOLING] > 0.0 {
            memory[COOLING] -= 1.0;
            memory[BAD] = 0.0;
        }
        if memory[BAD] > self.patience {
            (memory[COOLING], memory[BAD]) = (self.cooldown, 0.0);
            let rate = self.rate(place, memory);
            let lower = (rate * self.factor).max(self.lowest);
            if rate - lower > self.smallest {
                memory[SHARE] = lower / place.base;
            }
        }
    }
}
