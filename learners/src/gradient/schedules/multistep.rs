//! A fall at given steps.

use super::{Place, Schedule, ScheduleEntry, gamma};
use speck_models::Dimension;
use speck_models::settings::{DefaultValue, Kind};

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "multistep",
    summary: "rate · gamma^n, n the milestones that are passed",
    source: "PyTorch's MultiStepLR; He et al., \"Deep Residual Learning for Image Recognition\", 2015",
    dimensions: &[
        Dimension {
            name: "milestones",
            doc: "steps at which the rate falls",
            kind: Kind::IntList { min: 0, max: 100_000_000, shortest: 1, longest: 100 },
            default: DefaultValue::IntList(&[500, 800]),
        },
        gamma("what the rate is multiplied by at a milestone", 0.1),
    ],
    make: |settings| {
        Box::new(MultiStep {
            milestones: settings.int_list("milestones"),
            gamma: settings.float("gamma"),
        })
    },
};

struct MultiStep {
    milestones: Vec<usize>,
    gamma: f64,
}

impl Schedule for MultiStep {
    fn rate(&self, place: Place, _: &[f64]) -> f64 {
        let passed = self.milestones.iter().filter(|at| **at as u64 <= place.step).count();
        place.base * self.gamma.powf(passed as f64)
    }
}
