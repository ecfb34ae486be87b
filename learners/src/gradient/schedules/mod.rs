//! Schedules: how the rate changes over the steps. One file each.
//!
//! They run outside the step's program, which has the rate as an input: pure
//! functions of the step, or small machines that watch the loss.

mod constant;
mod cosine;
mod cosine_warm_restarts;
mod cyclic;
mod exponential;
mod inverse_square_root;
mod linear;
mod multistep;
mod one_cycle;
mod polynomial;
mod range_test;
mod reduce_on_plateau;
mod step;
mod warmup_stable_decay;

use speck_models::settings::Part;
use speck_models::{Dimension, Settings};

/// Where a schedule is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The rate that the settings give.
    pub base: f64,
    /// The step, from 0.
    pub step: u64,
    /// How many steps are planned.
    pub total: u64,
}

impl Place {
    /// How much of `length` steps is done, at most all; a length of 0 stands for
    /// the planned steps.
    fn done(&self, length: u64) -> f64 {
        let length = self.length(length);
        self.step.min(length) as f64 / length as f64
    }

    fn length(&self, length: u64) -> u64 {
        if length == 0 { self.total.max(1) } else { length }
    }
}

/// A schedule with its settings.
pub trait Schedule: Send + Sync {
    /// The rate at a place; `memory` is what [`Schedule::observe`] made of it.
    fn rate(&self, place: Place, memory: &[f64]) -> f64;

    /// What stands in place of the optimizer's momentum at a place; `None` for its
    /// own.
    fn momentum(&self, place: Place) -> Option<f64> {
        let _ = place;
        None
    }

    /// What is remembered before the first step: nothing, if all follows from
    /// the step.
    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Takes note of the loss of the step at a place.
    fn observe(&self, place: Place, loss: f64, memory: &mut [f64]) {
        let _ = (place, loss, memory);
    }
}

/// A schedule in the registry.
pub struct ScheduleEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Makes it from the settings of the gradient learner.
    pub make: fn(&Settings) -> Box<dyn Schedule>,
}

/// Every schedule.
pub const ALL: &[ScheduleEntry] = &[
    constant::ENTRY,
    step::ENTRY,
    multistep::ENTRY,
    exponential::ENTRY,
    linear::ENTRY,
    polynomial::ENTRY,
    cosine::ENTRY,
    cosine_warm_restarts::ENTRY,
    one_cycle::ENTRY,
    cyclic::ENTRY,
    inverse_square_root::ENTRY,
    warmup_stable_decay::ENTRY,
    reduce_on_plateau::ENTRY,
    range_test::ENTRY,
];

/// As parts of the gradient learner.
pub(super) const PARTS: &[Part] = &{
    let mut parts = [Part { name: "", dimensions: &[] }; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        parts[i] = Part { name: ALL[i].name, dimensions: ALL[i].dimensions };
        i += 1;
    }
    parts
};

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static ScheduleEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The schedule that the settings of the gradient learner name, behind the
/// warm-up that they want.
pub fn make(settings: &Settings) -> Box<dyn Schedule> {
    // Resolved settings name an entry.
    let schedule = (find(settings.text("schedule")).unwrap_or(&ALL[0]).make)(settings);
    match settings.usize("warmup_steps") as u64 {
        0 => schedule,
        steps => Box::new(WarmUp {
            steps,
            factor: settings.float("warmup_factor"),
            rise: match settings.text("warmup") {
                "constant" => |factor, _| factor,
                "exponential" => |factor, done| factor.powf(1.0 - done),
                _ => |factor, done| factor + (1.0 - factor) * done,
            },
            then: schedule,
        }),
    }
}

/// The dimensions of a warm-up in front of any schedule.
pub(super) const WARM_UP: [Dimension; 3] = [
    Dimension::int(
        "warmup_steps",
        "steps of warm-up; the schedule begins behind them",
        (0, 100_000_000),
        0,
    ),
    Dimension::choice(
        "warmup",
        "how the rate rises in the warm-up, from warmup_factor of its first value to all of it",
        &["linear", "exponential", "constant"],
        "linear",
    ),
    Dimension::float("warmup_factor", "share of the rate in the first step", (1e-9, 1.0), 0.1),
];

/// A warm-up (Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2).
struct WarmUp {
    steps: u64,
    factor: f64,
    /// The share of the rate, of the factor and what is done of the warm-up.
    rise: fn(f64, f64) -> f64,
    then: Box<dyn Schedule>,
}

impl WarmUp {
    fn behind(&self, place: Place) -> Place {
        let step = place.step.saturating_sub(self.steps);
        Place { step, total: place.total.saturating_sub(self.steps).max(1), ..place }
    }
}

impl Schedule for WarmUp {
    fn rate(&self, place: Place, memory: &[f64]) -> f64 {
        let rate = self.then.rate(self.behind(place), memory);
        match place.step < self.steps {
            true => rate * (self.rise)(self.factor, place.step as f64 / self.steps as f64),
            false => rate,
        }
    }

    fn momentum(&self, place: Place) -> Option<f64> {
        self.then.momentum(self.behind(place))
    }

    fn memory(&self) -> Vec<f64> {
        self.then.memory()
    }

    fn observe(&self, place: Place, loss: f64, memory: &mut [f64]) {
        if place.step >= self.steps {
            self.then.observe(self.behind(place), loss, memory);
        }
    }
}

/// A number of steps that stands for the planned ones if it is 0.
const fn length(name: &'static str, doc: &'static str) -> Dimension {
    Dimension::int(name, doc, (0, 100_000_000), 0)
}

const fn gamma(doc: &'static str, default: f64) -> Dimension {
    Dimension::float("gamma", doc, (0.0, 1.0), default)
}

const LOWEST: Dimension = Dimension::float("eta_min", "the lowest rate", (0.0, 1e6), 0.0);

const HIGHEST: Dimension =
    Dimension::float("max_lr", "the highest rate; 0 for ten times the rate", (0.0, 1e6), 0.0);

const CYCLE: Dimension = Dimension::bool(
    "cycle_momentum",
    "whether momentum (or beta1) falls while the rate rises and rises while it falls, in place of the optimizer's own",
    false,
);

const fn momenta(lowest: f64, highest: f64) -> [Dimension; 2] {
    const RANGE: (f64, f64) = (0.0, 0.999_999);
    [
        Dimension::float("base_momentum", "the momentum at the highest rate", RANGE, lowest),
        Dimension::float("max_momentum", "the momentum at the lowest rate", RANGE, highest),
    ]
}

/// The highest and the lowest momentum, if it is to be cycled.
fn cycled(settings: &Settings) -> Option<[f64; 2]> {
    let both = ["max_momentum", "base_momentum"].map(|name| settings.float(name));
    settings.bool("cycle_momentum").then_some(both)
}

/// From `from` to `to` along half a cosine.
fn half_cosine(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}
