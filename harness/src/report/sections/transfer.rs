//! Transfer: how much retraining buys how much, next to training from scratch.

use maud::{Markup, html};
use serde_json::Value;

use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group, Run};
use crate::report::format::Unit;
use crate::report::page::{Section, Shade, drawing, scrolling, source, swatch, value_cell};
use crate::report::plots::{COLOURS, Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::{Estimate, Observation};

/// How the names of the phases begin.
pub(crate) const PREFIX: &str = "transfer";

const RETRAIN: &str = "retrain";
const SCRATCH: &str = "scratch";
const STEPS: &str = "steps to threshold";

/// The colours of the curves in the small charts.
const RETRAIN_COLOUR: usize = 0;
const SCRATCH_COLOUR: usize = 1;
const OLD_COLOUR: usize = COLOURS - 1;

/// A task and a learning setting of one protocol: two starts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trial<'a> {
    /// The first part of the phases' names, with the hash of the settings.
    protocol: &'a str,
    task: &'a str,
    setting: &'a str,
}

impl<'a> Trial<'a> {
    /// Reads "transfer-HASH/TASK/SETTING/START".
    fn read(phase: &'a str) -> Option<Self> {
        let mut parts = phase.split('/');
        let trial = Self { protocol: parts.next()?, task: parts.next()?, setting: parts.next()? };
        parts.next()?;
        Some(trial)
    }

    fn phase(&self, start: &str) -> String {
        format!("{}/{}/{}/{start}", self.protocol, self.task, self.setting)
    }

    fn cell(&self, start: &str) -> String {
        format!("{}, {}, {start}", self.task, self.setting)
    }

    /// A score of one run.
    fn score(&self, run: &Run, start: &str, metric: &str) -> Option<(Option<f64>, u64)> {
        let score = run.phase(&self.phase(start))?.score(&self.cell(start), metric)?;
        Some((score.value, score.cases))
    }

    fn estimate(&self, group: &Group, start: &str, metric: &str) -> Estimate {
        group.estimate(&self.phase(start), &self.cell(start), metric)
    }

    /// What is made of the scores of both starts, run by run, so that each is
    /// compared with its own twin.
    fn compare(&self, group: &Group, metric: &str, join: impl Fn(f64, f64) -> f64) -> Estimate {
        let observe = |run: &Run| {
            let (retrain, cases) = self.score(run, RETRAIN, metric)?;
            let (scratch, _) = self.score(run, SCRATCH, metric)?;
            let value = match (retrain, scratch) {
                (Some(retrain), Some(scratch)) => Some(join(retrain, scratch)),
                _ => None,
            };
            Some(Observation {
                run: run.record.id.clone(),
                value: value.filter(|value| value.is_finite()),
                cases,
            })
        };
        Estimate { observations: group.runs.iter().filter_map(observe).collect() }
    }

    fn title(&self) -> String {
        let task = match self.task {
            "count" => "other numbers of specks",
            "colour" => "other colours",
            "both" => "other numbers and colours",
            other => other,
        };
        format!("{task}, {} learning settings", self.setting)
    }
}

/// All trials, in the order in which they are first met.
fn trials(experiment: &Experiment) -> Vec<Trial<'_>> {
    let mut trials = Vec::new();
    for phase in experiment.phases(PREFIX) {
        if let Some(trial) = Trial::read(phase)
            && !trials.contains(&trial)
        {
            trials.push(trial);
        }
    }
    trials
}

/// How many times fewer steps retraining takes to the threshold than training
/// from scratch: over all trials in which both reach it, steps from scratch by
/// steps of retraining. The number of cases is that of these trials.
pub(crate) fn speed_up(experiment: &Experiment, group: &Group) -> Estimate {
    let trials = trials(experiment);
    let observe = |run: &Run| {
        let pairs: Vec<(Option<f64>, Option<f64>)> = trials
            .iter()
            .filter_map(|trial| {
                let (retrain, _) = trial.score(run, RETRAIN, STEPS)?;
                let (scratch, _) = trial.score(run, SCRATCH, STEPS)?;
                Some((retrain, scratch))
            })
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let reached: Vec<(f64, f64)> =
            pairs.into_iter().filter_map(|(retrain, scratch)| Some((retrain?, scratch?))).collect();
        let retrain: f64 = reached.iter().map(|pair| pair.0).sum();
        let scratch: f64 = reached.iter().map(|pair| pair.1).sum();
        Some(Observation {
            run: run.record.id.clone(),
            value: (retrain > 0.0).then(|| scratch / retrain),
            cases: reached.len() as u64,
        })
    };
    Estimate { observations: group.runs.iter().filter_map(observe).collect() }
}

/// A section for every transfer protocol that a run has finished a part of.
pub(crate) fn sections(experiment: &Experiment) -> Vec<Section> {
    let trials = trials(experiment);
    let mut protocols: Vec<&str> = Vec::new();
    for trial in &trials {
        if !protocols.contains(&trial.protocol) {
            protocols.push(trial.protocol);
        }
    }
    protocols
        .iter()
        .map(|protocol| {
            let trials: Vec<&Trial<'_>> =
                trials.iter().filter(|trial| trial.protocol == *protocol).collect();
            section(experiment, protocol, protocols.len() > 1, &trials)
        })
        .collect()
}

fn section(
    experiment: &Experiment,
    protocol: &str,
    several: bool,
    trials: &[&Trial<'_>],
) -> Section {
    let phases: Vec<String> =
        experiment.phases(&format!("{protocol}/")).into_iter().map(str::to_string).collect();
    let phases: Vec<&str> = phases.iter().map(String::as_str).collect();
    Section {
        id: protocol.to_string(),
        title: match several {
            true => format!("Transfer ({protocol})"),
            false => "Transfer".to_string(),
        },
        lead: html! { p {
            "A trained model is retrained on a new task, and a fresh one is trained on the same "
            "data. Horizontal: steps of retraining. Vertical: performance, 0 to 100 %. Mean over seeds, band from the lowest "
            "to the highest."
        } },
        body: html! {
            ul.legend {
                li { (swatch(RETRAIN_COLOUR)) "new task, retrained" }
                li { (swatch(SCRATCH_COLOUR)) "new task, from scratch" }
                li { svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
                    line class={ "s" (OLD_COLOUR) " dotted" } x1="1" y1="4" x2="23" y2="4" {}
                } "old task while retraining" }
                li { svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
                    line.level x1="1" y1="4" x2="23" y2="4" {}
                } "threshold" }
            }
            @for trial in trials {
                h3 { (trial.title()) @if let Some(text) = description(experiment, trial) { small { " — " (text) } } }
                div.charts { @for group in &experiment.groups { (chart(group, trial)) } }
            }
            h3 { "In numbers" }
            (table(experiment, trials))
            (source(experiment, &phases))
        },
    }
}

/// The artefact that says what was measured, of the first run that has it.
fn described<'a>(runs: impl Iterator<Item = &'a Run>, trial: &Trial<'_>) -> Option<&'a Value> {
    let phases = [trial.phase(RETRAIN), trial.phase(SCRATCH)];
    for run in runs {
        for phase in &phases {
            let found = run.phase(phase).and_then(|phase| phase.artefact("description"));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

fn description(experiment: &Experiment, trial: &Trial<'_>) -> Option<String> {
    let described = described(experiment.runs(), trial)?;
    let metric = described.get("metric")?.as_str()?;
    let threshold = described.get("threshold").and_then(Value::as_f64);
    Some(match threshold {
        Some(threshold) => format!("{metric}, threshold {} %", Unit::Fraction.text(threshold)),
        None => metric.to_string(),
    })
}

/// The curves of one model in one trial.
fn chart(group: &Group, trial: &Trial<'_>) -> Markup {
    let line = |start: &str, series: &str, colour, line| {
        let phase = trial.phase(start);
        let bundle = bundle(group.finished(&phase).map(|(_, phase)| phase), series);
        Series { colour, line, points: bundle.mean, band: bundle.band }
    };
    let lines = [
        line(RETRAIN, "old task", OLD_COLOUR, Line::Dotted),
        line(SCRATCH, "new task", SCRATCH_COLOUR, Line::Solid),
        line(RETRAIN, "new task", RETRAIN_COLOUR, Line::Solid),
    ];
    let level = described(group.runs.iter(), trial)
        .and_then(|described| described.get("threshold")?.as_f64());
    let frame = Frame {
        size: (230, 150),
        x_label: "steps",
        begin: 0.0,
        y_label: "",
        scale: Scale::Fraction,
        level,
        description: &format!("{}: {}", group.name, trial.title()),
    };
    html! {
        figure {
            figcaption { b { (group.name) } }
            (drawing(&line_chart(&frame, &lines)))
        }
    }
}

/// All trials of all models.
fn table(experiment: &Experiment, trials: &[&Trial<'_>]) -> Markup {
    scrolling(&html! {
        table {
            thead {
                tr {
                    th scope="col" rowspan="2" { "model" }
                    th scope="colgroup" colspan="3" { "steps to threshold" }
                    th scope="colgroup" colspan="3" { "area under the curve" }
                    th scope="colgroup" colspan="2" { "at the end, %" }
                    th scope="col" rowspan="2" { "forgetting of the old task, points" }
                }
                tr {
                    th scope="col" { "retrained" } th scope="col" { "from scratch" }
                    th scope="col" { "times fewer" }
                    th scope="col" { "retrained" } th scope="col" { "from scratch" }
                    th scope="col" { "between" }
                    th scope="col" { "retrained" } th scope="col" { "from scratch" }
                }
            }
            @for trial in trials {
                tbody {
                    tr { th.group colspan="10" scope="rowgroup" { (trial.title()) } }
                    @for group in &experiment.groups { tr {
                        @let both = |metric, unit| html! {
                            (value_cell(&trial.estimate(group, RETRAIN, metric), unit, Shade::None))
                            (value_cell(&trial.estimate(group, SCRATCH, metric), unit, Shade::None))
                        };
                        th scope="row" { (swatch(group.number)) (group.name) }
                        (both(STEPS, Unit::Steps))
                        (value_cell(
                            &trial.compare(group, STEPS, |retrain, scratch| scratch / retrain),
                            Unit::Plain, Shade::None))
                        (both("area", Unit::Plain))
                        (value_cell(
                            &trial.compare(group, "area", |retrain, scratch| retrain - scratch),
                            Unit::Plain, Shade::None))
                        (both("final", Unit::Fraction))
                        (value_cell(&trial.estimate(group, RETRAIN, "forgetting"), Unit::Shortfall, Shade::None))
                    } }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_name_their_trial() {
        let trial = Trial::read("transfer-0a1b/count/same/retrain").unwrap();
        assert_eq!(trial.phase("scratch"), "transfer-0a1b/count/same/scratch");
        assert_eq!(trial.cell("scratch"), "count, same, scratch");
        assert_eq!(Trial::read("transfer-0a1b/count/same"), None);
    }
}
