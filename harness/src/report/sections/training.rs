//! Training: the curves, what it cost, and what was trained.

use maud::{Markup, html};

use crate::report::cells::{Shade, value_cell};
use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group};
use crate::report::format::{Unit, thousands};
use crate::report::page::{Section, drawing, figure, legend, model, run_links, scrolling, source};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::Estimate;

/// The phase in which a model is trained.
pub(crate) const PHASE: &str = "train";

/// The cell of its scores on all positions trained on.
pub(crate) const CELL: &str = "training positions";

/// The curves and the cost of training.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    if experiment.phases(PHASE).is_empty() {
        return None;
    }
    let mut losses: Vec<Loss> = experiment.groups.iter().map(Loss::of).collect();
    losses.dedup();
    let mut kinds: Vec<Loss> = Vec::new();
    for loss in losses {
        if !kinds.contains(&loss) {
            kinds.push(loss);
        }
    }
    let everyone: Vec<&Group> = experiment.groups.iter().collect();
    Some(Section {
        id: "training".to_string(),
        title: "Training".to_string(),
        lead: html! { p {
            "Performance on fresh random screens of the training data, and the loss, against "
            "training steps. Line: mean over seeds. Band: from the lowest to the highest seed. A "
            "run that stopped early keeps its last value. Learners with different losses are drawn "
            "apart: their losses cannot be compared."
        } },
        body: html! {
            (legend(experiment.groups.iter()))
            div.pair {
                @for (series, label) in [("exact hit", "exact hits"), ("f1", "F1")] {
                    @if has(&everyone, series) {
                        (figure(&format!("While training: {label}"),
                            &chart(&everyone, series, label, Scale::Fraction, None), &html! {}))
                    }
                }
                @for loss in &kinds {
                    @let members: Vec<&Group> =
                        experiment.groups.iter().filter(|group| Loss::of(group) == *loss).collect();
                    @if has(&members, "loss") {
                        (figure(&loss.title,
                            &chart(&members, "loss", loss.axis, Scale::Free, loss.silence),
                            &silence(loss)))
                    }
                }
            }
            (numbers(experiment))
            (source(experiment, &[PHASE]))
            (super::ledger::ledgers(experiment, PHASE))
            (programs(experiment))
        },
    })
}

/// What a learner reports as its loss.
#[derive(Clone, Debug, PartialEq)]
struct Loss {
    title: String,
    axis: &'static str,
    /// The loss of an answer that says nothing, where that is known.
    silence: Option<f64>,
}

impl Loss {
    fn of(group: &Group) -> Self {
        let config = group.runs.first().map(|run| &run.config);
        let text = |path| config?.pointer(path)?.as_str();
        match text("/learner/settings/loss") {
            Some("cross-entropy") => {
                let count = config.and_then(|config| config.pointer("/data/count")?.as_u64());
                Self {
                    title: "Loss: softmax cross-entropy, rows and columns added".to_string(),
                    axis: "loss, nats",
                    // −ln(1/64) for the row and as much for the column.
                    silence: (count == Some(1)).then(|| 2.0 * 64f64.ln()),
                }
            }
            Some(name) => Self { title: format!("Loss: {name}"), axis: "loss", silence: None },
            None => {
                let kind = text("/learner/kind").unwrap_or("unknown");
                Self {
                    title: format!("What the {kind} learner reports as its error"),
                    axis: "error",
                    silence: None,
                }
            }
        }
    }
}

fn silence(loss: &Loss) -> Markup {
    html! { @if let Some(level) = loss.silence {
        "Dashed: " (Unit::Plain.text(level)) " = 2 ln 64, the loss of an answer that lights all "
        "rows and columns alike. A line that stays there has learned nothing."
    } }
}

/// The loss of a group at a point of its curve.
fn loss_at(group: &Group, point: fn(&[(f64, f64)]) -> Option<&(f64, f64)>) -> Estimate {
    group.collect(PHASE, |phase| {
        let curve = phase.curve("loss");
        let (_, value) = *point(&curve)?;
        Some((Some(value).filter(|value| value.is_finite()), 1))
    })
}

/// What the loss of a group that did not learn has done, in words.
pub(crate) fn stuck(group: &Group) -> Option<String> {
    let first = loss_at(group, |curve| curve.first()).mean()?;
    let last = loss_at(group, |curve| curve.last()).mean()?;
    let text = |value| Unit::Plain.text(value);
    let change = format!("loss {} at first, {} at the end", text(first), text(last));
    Some(match Loss::of(group).silence {
        Some(silence) => format!("{change}; lighting everything alike costs {}", text(silence)),
        None => change,
    })
}

fn has(groups: &[&Group], series: &str) -> bool {
    let mut phases = groups.iter().flat_map(|group| group.finished(PHASE));
    phases.any(|(_, phase)| phase.results.curves.iter().any(|point| point.series == series))
}

fn chart(groups: &[&Group], series: &str, label: &str, scale: Scale, level: Option<f64>) -> Markup {
    let lines: Vec<Series> = groups
        .iter()
        .map(|group| {
            let bundle = bundle(group.finished(PHASE).map(|(_, phase)| phase), series);
            Series { colour: group.number, line: Line::Own, points: bundle.mean, band: bundle.band }
        })
        .collect();
    let frame = Frame {
        size: (560, 320),
        x_label: "training steps",
        x_text: thousands,
        begin: 0.0,
        y_label: label,
        scale,
        level,
        description: &format!("{label} against training steps, one line per model"),
    };
    drawing(&line_chart(&frame, &lines))
}

/// One row a group: size of the model, length, success and time of the training.
fn numbers(experiment: &Experiment) -> Markup {
    let scaled = |group: &Group, artefact: &str, key: &str, factor: f64| {
        let mut estimate = group.artefact_number(artefact, key);
        for observation in &mut estimate.observations {
            observation.value = observation.value.map(|value| value * factor);
        }
        estimate
    };
    type Column<'a> = (&'a str, Unit, &'a dyn Fn(&Group) -> Estimate);
    let columns: [Column<'_>; 8] = [
        ("loss at first", Unit::Plain, &|group| loss_at(group, |curve| curve.first())),
        ("loss at the end", Unit::Plain, &|group| loss_at(group, |curve| curve.last())),
        ("parameters", Unit::Steps, &|group| group.artefact_number("model", "parameters")),
        ("million floating point operations a step", Unit::Plain, &|group| {
            scaled(group, "model", "flops_per_step", 1e-6)
        }),
        ("steps", Unit::Steps, &|group| group.artefact_number("timing", "steps")),
        ("best after steps", Unit::Steps, &|group| group.artefact_number("timing", "best_step")),
        ("time of the steps, s", Unit::Plain, &|group| group.artefact_number("timing", "seconds")),
        ("time a step, ms", Unit::Plain, &|group| {
            group.artefact_number("timing", "milliseconds_per_step")
        }),
    ];
    scrolling(&html! {
        table.stacked {
            caption { "Training in numbers" }
            thead { tr {
                th scope="col" { "model" }
                @for (title, _, _) in columns { th scope="col" { (title) } }
                th.left scope="col" { "runs" }
            } }
            tbody { @for group in &experiment.groups { tr {
                th scope="row" { (model(group)) }
                @for (_, unit, estimate) in columns {
                    (value_cell(&estimate(group), unit, Shade::None))
                }
                td { (run_links(group.finished(PHASE).map(|(run, _)| run))) }
            } } }
        }
    })
}

/// The printed program of every group, where it left one; the same text once.
fn programs(experiment: &Experiment) -> Markup {
    let program = |group: &Group| {
        group.finished(PHASE).find_map(|(_, phase)| {
            let text = phase.artefact("model")?.get("program")?.as_str()?;
            Some(text.to_string())
        })
    };
    let mut texts: Vec<(Vec<&str>, Option<String>)> = Vec::new();
    for group in &experiment.groups {
        let text = program(group);
        match texts.iter_mut().find(|(_, other)| *other == text) {
            Some((names, _)) => names.push(&group.name),
            None => texts.push((vec![&group.name], text)),
        }
    }
    html! {
        details.metric {
            summary { "Programs: every operation of a training step" }
            @for (names, text) in &texts {
                details.program {
                    summary { (names.join("; ")) }
                    @match text {
                        Some(text) => { pre { (text) } }
                        None => { p.missing { "None was left in the store." } }
                    }
                }
            }
        }
    }
}
