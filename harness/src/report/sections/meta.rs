//! Meta-generalization: what adapting to one value of a dimension does for
//! other values and other dimensions.

use maud::{Markup, html};

use crate::report::cells::{Shade, cases, gain_cell, value_cell};
use crate::report::data::{Experiment, Group, Run, ordered_union};
use crate::report::format::{Unit, setting};
use crate::report::page::{Section, model, run_links, scrolling, source};
use crate::report::statistics::{Estimate, Observation, mean};

/// How the names of the phases begin.
pub(crate) const PREFIX: &str = "meta";

/// One retraining: a row of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retraining<'a> {
    phase: &'a str,
    /// The first part of the phase's name, with the hash of the settings.
    protocol: &'a str,
    dimension: &'a str,
    value: &'a str,
}

impl<'a> Retraining<'a> {
    /// Reads "meta-HASH/DIMENSION/VALUE".
    fn read(phase: &'a str) -> Option<Self> {
        let mut parts = phase.splitn(3, '/');
        Some(Self {
            phase,
            protocol: parts.next()?,
            dimension: parts.next()?,
            value: parts.next()?,
        })
    }
}

fn retrainings(experiment: &Experiment) -> Vec<Retraining<'_>> {
    experiment.phases(PREFIX).into_iter().filter_map(Retraining::read).collect()
}

/// Dimension and value of what was measured: "background=white".
fn parts(cell: &str) -> (&str, &str) {
    cell.split_once('=').unwrap_or((cell, ""))
}

/// The mean gain over everything but the value retrained on: what adapting
/// does elsewhere, in the leading protocol. The number of cases is that of the
/// gains.
pub(crate) fn gain_elsewhere(experiment: &Experiment, group: &Group) -> Estimate {
    let mut retrainings = retrainings(experiment);
    let protocol = experiment.leading(PREFIX);
    retrainings.retain(|one| Some(one.protocol) == protocol);
    let observe = |run: &Run| {
        let gains: Vec<f64> = retrainings
            .iter()
            .filter_map(|one| Some((one, run.phase(one.phase)?)))
            .flat_map(|(one, phase)| {
                let own = (one.dimension, one.value);
                phase
                    .results
                    .scores
                    .iter()
                    .filter(move |score| score.metric == "gain" && parts(&score.cell) != own)
                    .filter_map(|score| score.value)
            })
            .collect();
        Some(Observation {
            run: run.record.id.clone(),
            value: Some(mean(gains.iter().copied())?),
            cases: gains.len() as u64,
        })
    };
    Estimate { observations: group.runs.iter().filter_map(observe).collect() }
}

/// A section for every protocol that a run has finished a part of.
pub(crate) fn sections(experiment: &Experiment) -> Vec<Section> {
    let all = retrainings(experiment);
    let protocols = ordered_union(std::iter::once(all.iter().map(|one| one.protocol)));
    protocols
        .iter()
        .map(|protocol| {
            let rows: Vec<Retraining<'_>> =
                all.iter().copied().filter(|one| one.protocol == *protocol).collect();
            section(experiment, protocol, protocols.len() > 1, &rows)
        })
        .collect()
}

fn section(
    experiment: &Experiment,
    protocol: &str,
    several: bool,
    rows: &[Retraining<'_>],
) -> Section {
    let phases: Vec<&str> = rows.iter().map(|row| row.phase).collect();
    let mut columns = ordered_union(rows.iter().map(|row| experiment.cells(row.phase).into_iter()));
    // Values of one dimension side by side, dimensions as they are first met.
    let dimensions = ordered_union(std::iter::once(columns.iter().map(|cell| parts(cell).0)));
    columns.sort_by_key(|cell| dimensions.iter().position(|other| *other == parts(cell).0));
    Section {
        id: protocol.to_string(),
        title: match several {
            true => format!("Meta-generalization {}", protocol.trim_start_matches("meta-")),
            false => "Meta-generalization".to_string(),
        },
        lead: html! { p {
            "Does adapting to one value of a dimension help on its other values, and on other "
            "dimensions? Every row is one retraining of the trained model, on the value that it "
            "names; every column is what was then measured, all else as in training. A number is the "
            "gain over the model before retraining, in percentage points of "
            (metric(experiment, rows)) ", mean over seeds, and below it ± half of its 95 % confidence "
            "interval: blue is better than before, orange is worse, bold where the interval has a "
            "width and leaves out 0. Framed: the value retrained on. The first row is where the model "
            "stood before, in per cent; a dot marks "
            "the values of the first training. Point at a number for every seed."
        } },
        body: html! {
            @let changes = experiment.changes(&phases, "learner", "/learner/settings");
            @if !changes.is_empty() {
                p.note { "The retraining differs from the training in: " (changes.join("; or ")) "." }
            }
            @for group in &experiment.groups {
                @if rows.iter().any(|row| group.finished(row.phase).next().is_some()) {
                    (matrix(group, rows, &columns, &dimensions))
                }
            }
            (source(experiment, &phases))
        },
    }
}

/// What the gain is a gain of, where a run says so.
fn metric(experiment: &Experiment, rows: &[Retraining<'_>]) -> String {
    experiment
        .runs()
        .flat_map(|run| rows.iter().filter_map(|row| run.phase(row.phase)))
        .find_map(|phase| phase.artefact("description")?.get("metric")?.as_str())
        .unwrap_or("performance")
        .to_string()
}

/// Gains of one model.
fn matrix(group: &Group, rows: &[Retraining<'_>], columns: &[&str], dimensions: &[&str]) -> Markup {
    let width = |dimension: &str| columns.iter().filter(|cell| parts(cell).0 == dimension).count();
    let ran = |run: &&Run| rows.iter().any(|row| run.phase(row.phase).is_some());
    let before: Vec<Estimate> = columns.iter().map(|cell| before(group, rows, cell)).collect();
    html! {
        (scrolling(&html! { table.compact.meta {
            caption {
                (model(group)) " "
                small {
                    @if let Some(cases) = cases(before.iter()) { (cases) " cases a cell and run: " }
                    (run_links(group.runs.iter().filter(ran)))
                }
            }
            thead {
                tr {
                    th scope="col" rowspan="2" { "retrained on" }
                    @for dimension in dimensions {
                        th.group scope="colgroup" colspan=(width(dimension)) { "measured on: " (dimension) }
                    }
                }
                tr { @for cell in columns {
                    th scope="col" { (parts(cell).1) @if trained_on(group, cell) { " •" } }
                } }
            }
            tbody {
                tr.before {
                    th scope="row" { "nothing yet, %" }
                    @for estimate in &before { (value_cell(estimate, Unit::Fraction, Shade::None)) }
                }
                @for row in rows { tr {
                    th scope="row" { (row.dimension) " = " (row.value) }
                    @for cell in columns {
                        @let own = parts(cell) == (row.dimension, row.value);
                        (gain(group, row, cell, own))
                    }
                } }
            }
        } }))
    }
}

/// Where the trained model stood before any retraining, from the first of them
/// that says so: all start from the same model.
fn before(group: &Group, rows: &[Retraining<'_>], cell: &str) -> Estimate {
    let mut estimates = rows.iter().map(|row| group.estimate(row.phase, cell, "before"));
    estimates.find(|estimate| estimate.mean().is_some()).unwrap_or_default()
}

/// Whether a cell measures what the group was trained on first.
fn trained_on(group: &Group, cell: &str) -> bool {
    let (dimension, value) = parts(cell);
    let config = group.runs.first().map(|run| &run.config);
    let own = config.and_then(|config| config.get("data")?.get(dimension));
    own.map(setting).as_deref() == Some(value)
}

/// One gain, with what it is the difference of.
fn gain(group: &Group, row: &Retraining<'_>, cell: &str, own: bool) -> Markup {
    let estimate = |metric| group.estimate(row.phase, cell, metric);
    let remark = match (estimate("before").mean(), estimate("after").mean()) {
        (Some(before), Some(after)) => format!(
            "before {} %, after {} %; ",
            Unit::Fraction.text(before),
            Unit::Fraction.text(after)
        ),
        _ => String::new(),
    };
    gain_cell(&estimate("gain"), own, &remark)
}
