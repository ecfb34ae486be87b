//! The columns of the verdict: one number for each thing that was asked.

use super::{batteries, meta, training, transfer};
use crate::report::data::{Experiment, Group};
use crate::report::format::Unit;
use crate::report::statistics::Estimate;

/// One column of the verdict.
pub(crate) struct Verdict {
    pub title: &'static str,
    pub unit: Unit,
    /// What exactly the number is.
    pub meaning: String,
    /// What its cases are; empty where counting them says nothing.
    pub case: &'static str,
    /// One for every group, in their order.
    pub estimates: Vec<Estimate>,
}

/// How a column is made but for its estimates.
struct Column {
    title: &'static str,
    unit: Unit,
    meaning: String,
    case: &'static str,
}

impl Column {
    fn of(self, experiment: &Experiment, estimate: impl Fn(&Group) -> Estimate) -> Verdict {
        let Self { title, unit, meaning, case } = self;
        let estimates = experiment.groups.iter().map(estimate).collect();
        Verdict { title, unit, meaning, case, estimates }
    }
}

/// The columns of the verdict for which there is anything.
pub(crate) fn verdicts(experiment: &Experiment) -> Vec<Verdict> {
    let score =
        |title, meaning: String| Column { title, unit: Unit::Fraction, meaning, case: "screens" };
    let mut verdicts = Vec::new();
    for (title, cell, meaning) in [
        ("training positions", training::CELL, "the positions trained on"),
        ("held-out positions", "held-out positions", "the positions held out from training"),
    ] {
        let meaning = format!("exact hits (row and column both right) on {meaning}");
        let estimate = |group: &Group| group.estimate(training::PHASE, cell, "exact hit");
        verdicts.push(score(title, meaning).of(experiment, estimate));
    }
    let general = experiment.phases("battery/general");
    for (title, word) in [("random colours", "random"), ("corners", "corner")] {
        let found = general.iter().find_map(|phase| {
            let cells = experiment.cells(phase);
            let cell = cells
                .into_iter()
                .find(|cell| cell.contains(word) && batteries::Condition::read(cell).is_none())?;
            Some((*phase, cell))
        });
        if let Some((phase, cell)) = found {
            let battery = batteries::name(experiment, phase);
            let meaning =
                format!("exact hits under the condition “{cell}” of the battery {battery}");
            let estimate = |group: &Group| group.estimate(phase, cell, "exact hit");
            verdicts.push(score(title, meaning).of(experiment, estimate));
        }
    }
    for (title, specks) in [("2 specks, F1", 2), ("4 specks, F1", 4)] {
        let found = experiment.phases("battery/generalization").into_iter().find_map(|phase| {
            let cell = experiment.cells(phase).into_iter().find(|cell| {
                batteries::Condition::read(cell)
                    .is_some_and(|read| read.count == specks && read.is_plain())
            })?;
            Some((phase, cell))
        });
        if let Some((phase, cell)) = found {
            let battery = batteries::name(experiment, phase);
            let meaning = format!(
                "F1 of the lit rows and columns under the condition “{cell}” of the battery \
                 {battery}; lit is what is at least half as bright as the brightest"
            );
            let estimate = |group: &Group| group.estimate(phase, cell, "f1");
            verdicts.push(score(title, meaning).of(experiment, estimate));
        }
    }
    // Which protocol it is where there are several.
    let which = |prefix: &str| match experiment.leading(prefix) {
        Some(name) if experiment.phases(prefix).iter().any(|phase| !phase.starts_with(name)) => {
            format!(" (protocol {name})")
        }
        _ => String::new(),
    };
    verdicts.push(
        Column {
            title: "transfer gain",
            unit: Unit::Gain,
            meaning: "performance of the retrained model less that of a new one trained on the \
                      same data, averaged over the steps of retraining and over all trials: above \
                      0 the first training was worth something"
                .to_string()
                + &which(transfer::PREFIX),
            case: "trials",
        }
        .of(experiment, |group| transfer::gain(experiment, group)),
    );
    verdicts.push(
        Column {
            title: "gain elsewhere",
            unit: Unit::Gain,
            meaning: "change of performance by a retraining on one value of a dimension, \
                      averaged over everything but that value: below 0 it has cost more than it \
                      brought"
                .to_string()
                + &which(meta::PREFIX),
            case: "gains",
        }
        .of(experiment, |group| meta::gain_elsewhere(experiment, group)),
    );
    verdicts.push(
        Column {
            title: "parameters",
            unit: Unit::Steps,
            meaning: "numbers that training can change".to_string(),
            case: "",
        }
        .of(experiment, |group| group.artefact_number("model", "parameters")),
    );
    verdicts.retain(|verdict| {
        let mut estimates = verdict.estimates.iter();
        estimates.any(|estimate| !estimate.observations.is_empty())
    });
    verdicts
}
