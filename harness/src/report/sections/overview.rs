//! The head of the report and its verdict: one row a model.

use maud::{Markup, html};

use super::verdict::{Verdict, verdicts};
use super::{batteries, findings, meta, samples, training, transfer};
use crate::report::cells::{Shade, cases, value_cell};
use crate::report::data::Experiment;
use crate::report::format::Unit;
use crate::report::page::{Section, count, model, run_links, scrolling};

/// The head of the page: what was run, and on what task.
pub(crate) fn header(experiment: &Experiment) -> Markup {
    let mut seeds: Vec<u64> = experiment.runs().map(|run| run.record.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    html! {
        header {
            p.kicker { "Experiment" }
            h1 { (experiment.name) }
            p.facts {
                span { (count(experiment.groups.len(), "model")) }
                span { (count(experiment.runs().count(), "run")) }
                span { "seeds " (seeds.join(", ")) }
                span { "from " code { (experiment.store) } }
            }
            div.task {
                p {
                    "The task: on a screen of 64 × 64 pixels a few pixels, the specks, differ from "
                    "the background. A model sees the screen and answers with 64 values for the "
                    "rows and 64 for the columns; those of every speck should light up, and no "
                    "others. What is asked: does what was learned on one kind of screen hold on "
                    "others, and what does it help to learn the next kind?"
                }
                @if let Some(example) = samples::example(experiment) { (example) }
            }
            @if !experiment.absent.is_empty() {
                p.warning {
                    (count(experiment.absent.len(), "planned run")) " not begun: "
                    @for id in &experiment.absent { code { (id) } " " }
                }
            }
            @if experiment.superseded > 0 {
                p.warning {
                    "The store also holds " (count(experiment.superseded, "run"))
                    " of earlier versions of this experiment, not shown here."
                }
            }
        }
    }
}

/// The verdict, and what is missing.
pub(crate) fn section(experiment: &Experiment) -> Section {
    let verdicts = verdicts(experiment);
    let failed = findings::failed(experiment);
    Section {
        id: "verdict".to_string(),
        title: "Verdict".to_string(),
        lead: html! { p {
            "Mean over seeds, and below it ± half of its 95 % confidence interval over seeds. "
            "“–” means that there is nothing to measure, or not yet. Percentages are written as 100 "
            "only where every case was right."
        } },
        body: html! {
            @if !failed.is_empty() {
                p.warning {
                    "Not learned: "
                    @for (place, group) in failed.iter().enumerate() {
                        @if place > 0 { ", " }
                        b { (group.name) }
                    }
                    ". Under 50 % of its own training positions are right, so its other numbers "
                    "show an untrained answer and say nothing about generalization."
                }
            }
            (table(experiment, &verdicts))
            dl.meanings { @for verdict in &verdicts {
                dt { (verdict.title) } dd { (verdict.meaning) }
            } }
            (findings::findings(experiment))
            (reading(experiment))
            (missing(experiment))
        },
    }
}

fn table(experiment: &Experiment, verdicts: &[Verdict]) -> Markup {
    let heading = |verdict: &Verdict| {
        html! {
            (verdict.title)
            @if !verdict.unit.sign().is_empty() && verdict.unit != Unit::Steps {
                small { " " (verdict.unit.sign()) }
            }
        }
    };
    let counted = |verdict: &Verdict| match verdict.case {
        "" => None,
        case => Some(format!("{} {case}", cases(verdict.estimates.iter())?)),
    };
    scrolling(&html! { table.verdict {
        thead {
            tr {
                th scope="col" { "model" }
                @for verdict in verdicts {
                    th scope="col" title=(verdict.meaning) { (heading(verdict)) }
                }
                th.left scope="col" { "runs" }
            }
            tr.cases {
                td { "cases in each run" }
                @for verdict in verdicts { td { @if let Some(text) = counted(verdict) { (text) } } }
                td {}
            }
        }
        tbody { @for (place, group) in experiment.groups.iter().enumerate() { tr {
            th scope="row" { (model(group)) }
            @for verdict in verdicts {
                (value_cell(&verdict.estimates[place], verdict.unit, Shade::of(verdict.unit)))
            }
            td { (run_links(group.runs.iter())) }
        } } }
    } })
}

/// How the intervals are to be read.
fn reading(experiment: &Experiment) -> Markup {
    let most = experiment.groups.iter().map(|group| group.runs.len()).max().unwrap_or(0);
    html! {
        details.metric open[most == 2] {
            summary { "How far the intervals can be trusted" }
            div.lead { p {
                "± is Student's 95 % interval of the mean, t · s / √n over n seeds, with n − 1 degrees "
                "of freedom. "
                @if most == 2 {
                    "Here n is 2: one degree of freedom, t = 12.7. Two seeds that are 2 points "
                    "apart already give ±12.7, 16 points give ±102, more than all there is; and two "
                    "equal ones give ±0. So a wide interval here says that two seeds are few rather "
                    "than that the model is erratic, and ±0 is no certainty. More "
                    code { "seeds" } " in the experiment narrow it: with 5, t is 2.8. "
                }
                "The interval covers the seeds, not the finite number of cases in each: a share of "
                "256 random screens is known to about ±6 points, of 4096 to ±1.5, and 256 right out "
                "of 256 still leave room for 1 % of errors."
            } }
        }
    }
}

/// Says which parts of the report have nothing to show.
fn missing(experiment: &Experiment) -> Markup {
    let parts = [
        (training::PHASE, "training"),
        (batteries::PREFIX, "batteries"),
        (transfer::PREFIX, "transfer"),
        (meta::PREFIX, "meta-generalization"),
    ];
    let absent: Vec<&str> = parts
        .iter()
        .filter(|(prefix, _)| experiment.phases(prefix).is_empty())
        .map(|(_, name)| *name)
        .collect();
    html! {
        @if !absent.is_empty() {
            p.note { "No run has finished anything of: " (absent.join(", ")) "." }
        }
    }
}
