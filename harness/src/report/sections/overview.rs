//! The head of the report and its verdict: one row a model.

use maud::{Markup, html};

use super::{batteries, meta, transfer};
use crate::report::data::{Experiment, Group};
use crate::report::format::Unit;
use crate::report::page::{
    NOTHING, Section, Shade, count, margin, run_links, scrolling, swatch, value_cell,
};
use crate::report::statistics::Estimate;

/// One column of the verdict.
pub(crate) struct Verdict {
    pub title: &'static str,
    pub unit: Unit,
    /// What exactly the number is.
    pub meaning: String,
    /// One for every group, in their order.
    pub estimates: Vec<Estimate>,
}

impl Verdict {
    fn of(
        experiment: &Experiment,
        title: &'static str,
        unit: Unit,
        meaning: impl Into<String>,
        estimate: impl Fn(&Group) -> Estimate,
    ) -> Self {
        Self {
            title,
            unit,
            meaning: meaning.into(),
            estimates: experiment.groups.iter().map(estimate).collect(),
        }
    }
}

/// The columns of the verdict for which there is anything.
pub(crate) fn verdicts(experiment: &Experiment) -> Vec<Verdict> {
    let training = |title, cell: &'static str, meaning: &str| {
        Verdict::of(experiment, title, Unit::Fraction, meaning, move |group| {
            group.estimate("train", cell, "exact hit")
        })
    };
    let mut verdicts = vec![
        training(
            "training positions",
            "training positions",
            "exact hits on all positions trained on",
        ),
        training(
            "held-out positions",
            "held-out positions",
            "exact hits on the positions held out",
        ),
    ];
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
            let meaning = format!("exact hits, {phase}: {cell}");
            let estimate = |group: &Group| group.estimate(phase, cell, "exact hit");
            verdicts.push(Verdict::of(experiment, title, Unit::Fraction, meaning, estimate));
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
            let meaning = format!("F1, {phase}: {cell}");
            let estimate = |group: &Group| group.estimate(phase, cell, "f1");
            verdicts.push(Verdict::of(experiment, title, Unit::Fraction, meaning, estimate));
        }
    }
    verdicts.push(Verdict::of(
        experiment,
        "transfer speed-up",
        Unit::Plain,
        "steps to the threshold from scratch by those of retraining, summed over all trials in \
         which both reach it; 2 is twice as fast",
        |group| transfer::speed_up(experiment, group),
    ));
    verdicts.push(Verdict::of(
        experiment,
        "gain elsewhere",
        Unit::Gain,
        "mean gain of a retraining on everything but the value retrained on, in percentage points",
        |group| meta::gain_elsewhere(experiment, group),
    ));
    verdicts.push(Verdict::of(
        experiment,
        "parameters",
        Unit::Steps,
        "numbers that training can change",
        |group| group.artefact_number("model", "parameters"),
    ));
    verdicts.retain(|verdict| {
        let mut estimates = verdict.estimates.iter();
        estimates.any(|estimate| !estimate.observations.is_empty())
    });
    verdicts
}

/// The head of the page.
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
    Section {
        id: "verdict".to_string(),
        title: "Verdict".to_string(),
        lead: html! { p {
            "Mean over seeds ± half of its 95 % confidence interval (Student's t; with two seeds "
            "that is 12.7 standard errors, so wide intervals say “few seeds”). "
            "Percentages are written as 100 only where every case was right. “–” means that there "
            "is no value."
        } },
        body: html! {
            (scrolling(&html! { table.verdict {
                thead { tr {
                    th scope="col" { "model" }
                    @for verdict in &verdicts {
                        th scope="col" title=(verdict.meaning) {
                            (verdict.title)
                            @if !verdict.unit.sign().is_empty() && verdict.unit != Unit::Steps {
                                small { " " (verdict.unit.sign()) }
                            }
                        }
                    }
                    th.left scope="col" { "runs" }
                } }
                tbody { @for (place, group) in experiment.groups.iter().enumerate() { tr {
                    th scope="row" { (swatch(group.number)) (group.name) }
                    @for verdict in &verdicts {
                        (value_cell(&verdict.estimates[place], verdict.unit, Shade::of(verdict.unit)))
                    }
                    td { (run_links(group.runs.iter())) }
                } } }
            } }))
            dl.meanings { @for verdict in &verdicts {
                dt { (verdict.title) } dd { (verdict.meaning) }
            } }
            (missing(experiment))
        },
    }
}

/// Says which parts of the report have nothing to show.
fn missing(experiment: &Experiment) -> Markup {
    let parts = [
        ("train", "training"),
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

/// The verdict as aligned plain text.
pub(crate) fn text(experiment: &Experiment) -> String {
    let verdicts = verdicts(experiment);
    let mut table: Vec<Vec<String>> = Vec::new();
    let heading = |verdict: &Verdict| match verdict.unit {
        Unit::Fraction => format!("{} %", verdict.title),
        _ => verdict.title.to_string(),
    };
    let first = std::iter::once("model".to_string());
    table.push(first.chain(verdicts.iter().map(heading)).collect());
    for (place, group) in experiment.groups.iter().enumerate() {
        let cell = |verdict: &Verdict| {
            let estimate = &verdict.estimates[place];
            match (estimate.mean(), margin(estimate, verdict.unit)) {
                (Some(mean), Some(margin)) => format!("{} {margin}", verdict.unit.text(mean)),
                (Some(mean), None) => verdict.unit.text(mean),
                (None, _) => NOTHING.to_string(),
            }
        };
        let first = std::iter::once(group.name.clone());
        table.push(first.chain(verdicts.iter().map(cell)).collect());
    }
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=verdicts.len()).map(width).collect();
    let mut text = String::new();
    for row in &table {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            match column {
                0 => line.extend([cell.as_str(), &padding]),
                _ => line.extend(["  ", &padding, cell.as_str()]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
