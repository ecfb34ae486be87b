//! Training: the curves, what it cost, and what was trained.

use maud::{Markup, html};

use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group};
use crate::report::format::Unit;
use crate::report::page::{
    Section, Shade, drawing, figure, legend, run_links, scrolling, source, swatch, value_cell,
};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart};

const PHASE: &str = "train";

/// The curves and the cost of training.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    if experiment.phases(PHASE).is_empty() {
        return None;
    }
    let remark = html! { "Line: mean over seeds. Band: from the lowest to the highest seed. A run that stopped early keeps its last value." };
    Some(Section {
        id: "training".to_string(),
        title: "Training".to_string(),
        lead: html! { p {
            "Loss and share of exact hits on the training positions against training steps."
        } },
        body: html! {
            (legend(experiment.groups.iter()))
            div.pair {
                (figure("Loss", &chart(experiment, "loss", "loss", Scale::Free), &remark))
                (figure("Exact hits while training",
                    &chart(experiment, "exact hit", "exact hits", Scale::Fraction), &remark))
            }
            (cost(experiment))
            (source(experiment, &[PHASE]))
            (programs(experiment))
        },
    })
}

fn chart(experiment: &Experiment, series: &str, label: &str, scale: Scale) -> Markup {
    let lines: Vec<Series> = experiment
        .groups
        .iter()
        .map(|group| {
            let bundle = bundle(group.finished(PHASE).map(|(_, phase)| phase), series);
            Series {
                colour: group.number,
                line: Line::Solid,
                points: bundle.mean,
                band: bundle.band,
            }
        })
        .collect();
    let frame = Frame {
        size: (560, 320),
        x_label: "training steps",
        begin: 0.0,
        y_label: label,
        scale,
        level: None,
        description: &format!("{label} against training steps, one line per model"),
    };
    drawing(&line_chart(&frame, &lines))
}

/// One row a group: size of the model, length and time of the training.
fn cost(experiment: &Experiment) -> Markup {
    let columns: [(&str, &str, &str); 5] = [
        ("parameters", "model", "parameters"),
        ("floating point operations a step", "model", "flops_per_step"),
        ("steps", "timing", "steps"),
        ("seconds", "timing", "seconds"),
        ("milliseconds a step", "timing", "milliseconds_per_step"),
    ];
    scrolling(&html! {
        table {
            caption { "What training cost" }
            thead { tr {
                th scope="col" { "model" }
                @for (title, _, _) in columns { th scope="col" { (title) } }
                th.left scope="col" { "runs" }
            } }
            tbody { @for group in &experiment.groups { tr {
                th scope="row" { (swatch(group.number)) (group.name) }
                @for (_, artefact, key) in columns {
                    @let unit = match key { "seconds" | "milliseconds_per_step" => Unit::Plain, _ => Unit::Steps };
                    (value_cell(&group.artefact_number(artefact, key), unit, Shade::None))
                }
                td { (run_links(group.finished(PHASE).map(|(run, _)| run))) }
            } } }
        }
    })
}

/// The printed program of every group, where it left one.
fn programs(experiment: &Experiment) -> Markup {
    let program = |group: &Group| {
        group.finished(PHASE).find_map(|(_, phase)| {
            let text = phase.artefact("model")?.get("program")?.as_str()?;
            Some(text.to_string())
        })
    };
    html! {
        details.metric {
            summary { "Programs: every operation of a training step" }
            @for group in &experiment.groups {
                details.program {
                    summary { (group.name) }
                    @match program(group) {
                        Some(text) => { pre { (text) } }
                        None => { p.missing { "None was left in the store." } }
                    }
                }
            }
        }
    }
}
