//! Transfer: how much retraining buys how much, next to training from scratch.

use maud::{Markup, html};
use serde_json::Value;

use super::batteries::short_name;
use super::bounds::{Bounds, bounds_cell};
use crate::report::cells::{Shade, cases, value_cell};
use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group, Run};
use crate::report::format::{Unit, thousands};
use crate::report::page::{Section, drawing, model, scrolling, source};
use crate::report::plots::{COLOURS, Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::{Estimate, Observation, mean};

/// How the names of the phases begin.
pub(crate) const PREFIX: &str = "transfer";

const RETRAIN: &str = "retrain";
const SCRATCH: &str = "scratch";
const STEPS: &str = "steps to threshold";
const AREA: &str = "area";
const NEW: &str = "new task";

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

    /// The steps a run took to the threshold, or those after which it had not
    /// reached it.
    fn reached(&self, run: &Run, start: &str) -> Option<Bounds> {
        match self.score(run, start, STEPS)?.0 {
            Some(steps) => Some(Bounds::exactly(steps)),
            None => {
                let curve = run.phase(&self.phase(start))?.curve(NEW);
                Some(Bounds::above(curve.last()?.0))
            }
        }
    }

    /// Performance on the new task before the first step.
    fn begin(&self, group: &Group, start: &str) -> Estimate {
        group.collect(&self.phase(start), |phase| {
            let (step, value) = *phase.curve(NEW).first()?;
            let cases = phase.score(&self.cell(start), AREA)?.cases;
            (step == 0.0).then_some((Some(value).filter(|value| value.is_finite()), cases))
        })
    }

    fn title(&self) -> String {
        let task = match self.task {
            "count" => "another number of specks",
            "colour" => "another colour",
            "both" => "another number and colour",
            other => other,
        };
        let setting = match self.setting {
            "same" => "the learning settings of the training",
            "other" => "another learning rate",
            other => other,
        };
        format!("New task: {task}, with {setting}")
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

/// What the first training is worth: the area between the curves of the
/// retrained model and of the one from scratch, averaged over all trials of the
/// leading protocol. The number of cases is that of the trials.
pub(crate) fn gain(experiment: &Experiment, group: &Group) -> Estimate {
    let mut trials = trials(experiment);
    let protocol = experiment.leading(PREFIX);
    trials.retain(|trial| Some(trial.protocol) == protocol);
    let observe = |run: &Run| {
        let differences: Vec<f64> = trials
            .iter()
            .filter_map(|trial| {
                let (retrain, _) = trial.score(run, RETRAIN, AREA)?;
                let (scratch, _) = trial.score(run, SCRATCH, AREA)?;
                Some(retrain? - scratch?).filter(|difference| difference.is_finite())
            })
            .collect();
        Some(Observation {
            run: run.record.id.clone(),
            value: Some(mean(differences.iter().copied())?),
            cases: differences.len() as u64,
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
    // Models that have not come to this protocol yet are left out.
    let begun = |group: &&Group| phases.iter().any(|phase| group.finished(phase).next().is_some());
    let groups: Vec<&Group> = experiment.groups.iter().filter(begun).collect();
    Section {
        id: protocol.to_string(),
        title: match several {
            true => format!("Transfer {}", protocol.trim_start_matches("transfer-")),
            false => "Transfer".to_string(),
        },
        lead: html! { p {
            "A trained model is retrained on a new task, and beside it a new model is trained on the "
            "same data with the same settings. The charts show performance on the new task against "
            "the steps of this training, mean over seeds, band from the lowest to the highest seed."
        } },
        body: html! {
            ul.legend {
                li { (key("s0")) "retrained, in the model's colour" }
                li { (key("s7 dashed")) "new model, from scratch" }
                li { (key("s7 dotted")) "old task while retraining" }
                li { (key("level")) "threshold" }
            }
            @for (place, trial) in trials.iter().enumerate() {
                // The first learning setting is seen at once, others on demand.
                @let first = trials[..place].iter().all(|other| other.task != trial.task);
                @let charts = html! {
                    (description(experiment, trial))
                    div.charts { @for group in &groups { (chart(group, trial)) } }
                };
                @if first {
                    h3 { (trial.title()) }
                    (charts)
                } @else {
                    details.metric { summary { (trial.title()) } (charts) }
                }
            }
            h3 { "In numbers" }
            p.note {
                "Steps to threshold: of the first measurement that reached it; 0 means before any "
                "retraining, “> n” that it was not reached in n steps. Saved: steps from scratch less "
                "those of the retrained model, “–” where neither reached it. No ratio is made of "
                "them, as it has no value with a 0 or a “> n”. The mean over the steps, which is "
                "the area under the curve, always has one: its difference is what the first "
                "training is worth. Forgetting: what the old task lost by the end of the "
                "retraining; below 0 it has gained."
            }
            (table(experiment, trials, &groups))
            (source(experiment, &phases))
        },
    }
}

/// A line of the legend.
fn key(class: &str) -> Markup {
    html! {
        svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
            line class=(class) x1="1" y1="4" x2="23" y2="4" {}
        }
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

/// What was changed, what is measured and on how many cases, as far as the
/// store says.
fn description(experiment: &Experiment, trial: &Trial<'_>) -> Markup {
    let described = described(experiment.runs(), trial);
    let metric = described.and_then(|described| described.get("metric")?.as_str());
    let estimates: Vec<Estimate> =
        experiment.groups.iter().map(|group| trial.estimate(group, RETRAIN, AREA)).collect();
    // The same change of the data for all; one of the learning for each learner.
    let phase = trial.phase(RETRAIN);
    let change = |key, path| experiment.changes(&[&phase], key, path).join("; or ");
    let changes = [change("data", "/data"), change("learner", "/learner/settings")];
    let changes: Vec<&str> =
        changes.iter().map(String::as_str).filter(|change| !change.is_empty()).collect();
    let parts = [
        metric.map(|metric| format!("vertical: {}", short_name(metric))),
        cases(estimates.iter()).map(|cases| format!("{cases} screens a measurement")),
        (!changes.is_empty()).then(|| format!("changed: {}", changes.join("; "))),
    ];
    let text: Vec<String> = parts.into_iter().flatten().collect();
    html! { @if !text.is_empty() { p.note { (text.join("; ")) } } }
}

/// The threshold of a trial, where a run says so.
fn threshold<'a>(runs: impl Iterator<Item = &'a Run>, trial: &Trial<'_>) -> Option<f64> {
    described(runs, trial)?.get("threshold")?.as_f64()
}

/// The curves of one model in one trial.
fn chart(group: &Group, trial: &Trial<'_>) -> Markup {
    let line = |start: &str, series: &str, line| {
        let phase = trial.phase(start);
        let bundle = bundle(group.finished(&phase).map(|(_, phase)| phase), series);
        // Always solid: what is dashed here is the model from scratch.
        let colour = group.number % COLOURS;
        Series { colour, line, points: bundle.mean, band: bundle.band }
    };
    let lines = [
        line(RETRAIN, "old task", Line::Dotted),
        line(SCRATCH, NEW, Line::Dashed),
        line(RETRAIN, NEW, Line::Own),
    ];
    let frame = Frame {
        size: (230, 166),
        x_label: "steps",
        x_text: thousands,
        begin: 0.0,
        y_label: "",
        scale: Scale::Fraction,
        level: threshold(group.runs.iter(), trial),
        description: &format!("{}: {}", group.name, trial.title()),
    };
    html! {
        figure {
            figcaption { b { (model(group)) } }
            (drawing(&line_chart(&frame, &lines)))
        }
    }
}

/// All trials of all models.
fn table(experiment: &Experiment, trials: &[&Trial<'_>], groups: &[&Group]) -> Markup {
    scrolling(&html! {
        table.stacked {
            thead {
                tr {
                    th scope="col" rowspan="2" { "model" }
                    th.group scope="colgroup" colspan="3" { "steps to threshold" }
                    th.group scope="colgroup" colspan="3" { "mean over the steps, %" }
                    th.group scope="colgroup" colspan="3" { "new task, %" }
                    th scope="col" rowspan="2" { "forgetting of the old task, points" }
                }
                tr {
                    th scope="col" { "retrained" } th scope="col" { "from scratch" }
                    th scope="col" { "saved" }
                    th scope="col" { "retrained" } th scope="col" { "from scratch" }
                    th scope="col" { "difference, points" }
                    th scope="col" { "retrained, before" } th scope="col" { "retrained, at the end" }
                    th scope="col" { "from scratch, at the end" }
                }
            }
            @for trial in trials {
                tbody {
                    tr { th.group colspan="11" scope="rowgroup" {
                        (trial.title())
                        @if let Some(level) = threshold(experiment.runs(), trial) {
                            small { "; threshold " (Unit::Fraction.text(level)) " %" }
                        }
                    } }
                    @for group in groups { (row(group, trial)) }
                }
            }
        }
    })
}

/// One model in one trial.
fn row(group: &Group, trial: &Trial<'_>) -> Markup {
    let steps = |value: &dyn Fn(&Run) -> Option<Bounds>| {
        let values =
            group.runs.iter().filter_map(|run| Some((run.record.id.as_str(), value(run)?)));
        bounds_cell(&values.collect::<Vec<_>>())
    };
    let score =
        |start, metric, unit| value_cell(&trial.estimate(group, start, metric), unit, Shade::None);
    let saved = |run: &Run| Some(trial.reached(run, SCRATCH)?.less(trial.reached(run, RETRAIN)?));
    let between = trial.compare(group, AREA, |retrain, scratch| retrain - scratch);
    html! { tr {
        th scope="row" { (model(group)) }
        (steps(&|run| trial.reached(run, RETRAIN)))
        (steps(&|run| trial.reached(run, SCRATCH)))
        (steps(&saved))
        (score(RETRAIN, AREA, Unit::Fraction))
        (score(SCRATCH, AREA, Unit::Fraction))
        (value_cell(&between, Unit::Gain, Shade::Gain))
        (value_cell(&trial.begin(group, RETRAIN), Unit::Fraction, Shade::None))
        (score(RETRAIN, "final", Unit::Fraction))
        (score(SCRATCH, "final", Unit::Fraction))
        (score(RETRAIN, "forgetting", Unit::Shortfall))
    } }
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
