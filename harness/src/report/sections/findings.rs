//! The findings in words: which model learned its task, and where it fails.

use maud::{Markup, html};

use super::{batteries, training};
use crate::report::data::{Experiment, Group};
use crate::report::format::Unit;
use crate::report::page::{model, scrolling};
use crate::report::statistics::Estimate;

/// From this share of the training positions on, the task counts as learned.
const LEARNED: f64 = 0.99;

/// Below this share a condition counts as failed, and on the training
/// positions the task as not learned.
const HALF: f64 = 0.5;

/// What became of the training of a group.
pub(crate) enum Outcome {
    /// Nothing is known yet.
    Unknown,
    Learned,
    Partly,
    /// What is measured elsewhere is an untrained answer.
    Not,
}

/// What became of the training of a group, and the share that says so.
pub(crate) fn outcome(group: &Group) -> (Outcome, &'static str, Estimate) {
    // Where several specks are trained on, no case has a single one.
    let (metric, estimate) = ["exact hit", "f1"]
        .map(|metric| (metric, group.estimate(training::PHASE, training::CELL, metric)))
        .into_iter()
        .find(|(_, estimate)| estimate.mean().is_some())
        .unwrap_or_default();
    let outcome = match estimate.mean() {
        None => Outcome::Unknown,
        Some(share) if share >= LEARNED => Outcome::Learned,
        Some(share) if share >= HALF => Outcome::Partly,
        Some(_) => Outcome::Not,
    };
    (outcome, metric, estimate)
}

/// The groups that did not learn their task.
pub(crate) fn failed(experiment: &Experiment) -> Vec<&Group> {
    let failed = |group: &&Group| matches!(outcome(group).0, Outcome::Not);
    experiment.groups.iter().filter(failed).collect()
}

/// A line for every group; nothing before anything was trained.
pub(crate) fn findings(experiment: &Experiment) -> Markup {
    let phases = experiment.phases(batteries::PREFIX);
    let phases: Vec<&str> =
        phases.into_iter().filter(|phase| !experiment.cells(phase).is_empty()).collect();
    if experiment.phases(training::PHASE).is_empty() {
        return html! {};
    }
    html! {
        h3 { "Where each model stands" }
        (scrolling(&html! { table.findings {
            thead { tr {
                th scope="col" { "model" }
                th.left scope="col" { "Did it learn its task?" }
                @for phase in &phases {
                    th.left scope="col" {
                        "Where it fails in the battery " (batteries::name(experiment, phase))
                    }
                }
            } }
            tbody { @for group in &experiment.groups {
                @let (outcome, metric, estimate) = outcome(group);
                tr {
                    th scope="row" { (model(group)) }
                    td { (learned(group, &outcome, metric, &estimate)) }
                    @for phase in &phases {
                        td { @match outcome {
                            Outcome::Not => { span.soft { "says nothing: the task was not learned" } }
                            _ => (weaknesses(experiment, group, phase)),
                        } }
                    }
                }
            } }
        } }))
        p.note {
            "Learned: at least 99 % on the training positions, mean over seeds. Failed: under 50 %."
        }
    }
}

fn learned(group: &Group, outcome: &Outcome, metric: &str, estimate: &Estimate) -> Markup {
    let share = estimate.mean().map(|mean| Unit::Fraction.text(mean)).unwrap_or_default();
    let metric = match metric {
        "exact hit" => "exact hits",
        _ => "F1",
    };
    html! {
        @match outcome {
            Outcome::Unknown => "not trained yet",
            Outcome::Learned => { b.yes { "yes" } " " (share) " % " (metric) }
            Outcome::Partly => { b.partly { "partly" } " " (share) " % " (metric) }
            Outcome::Not => {
                b.no { "no" } " " (share) " % " (metric)
                @if let Some(text) = training::stuck(group) { ": " (text) }
            }
        }
    }
}

/// The conditions of a battery that fail: by name, or counted where there are
/// many conditions.
fn weaknesses(experiment: &Experiment, group: &Group, phase: &str) -> Markup {
    if group.finished(phase).next().is_none() {
        return html! { "not measured yet" };
    }
    let cells = experiment.cells(phase);
    let metric = batteries::foremost(&experiment.metrics(phase));
    let mut values: Vec<(&str, f64)> = cells
        .iter()
        .filter_map(|cell| Some((*cell, group.estimate(phase, cell, metric).mean()?)))
        .collect();
    let all = values.len();
    values.retain(|(_, value)| *value < HALF);
    let few = all <= 20;
    html! {
        @if values.is_empty() {
            "in none of " (all) " conditions"
        } @else if few {
            (values.len()) " of " (all) ": "
            @for (place, (cell, value)) in values.iter().enumerate() {
                @if place > 0 { "; " }
                (cell) " " small { (Unit::Fraction.text(*value)) "\u{a0}%" }
            }
        } @else {
            (batteries::short_name(metric)) " under 50 % in " (values.len()) " of " (all) " conditions"
            @if let Some(failures) = ranking_failures(experiment, group, phase) {
                "; " (batteries::short_name("map")) " in " (failures)
            }
        }
    }
}

/// In how many conditions the ranking of the 64 values fails too: where it
/// does not, the model sees the specks and only the cut at half of the
/// brightest is wrong.
fn ranking_failures(experiment: &Experiment, group: &Group, phase: &str) -> Option<usize> {
    let means: Vec<f64> = experiment
        .cells(phase)
        .iter()
        .filter_map(|cell| group.estimate(phase, cell, "map").mean())
        .collect();
    (!means.is_empty()).then(|| means.iter().filter(|mean| **mean < HALF).count())
}
