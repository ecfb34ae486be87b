//! Diagnostics: what was measured about the networks while they were trained.

use maud::{Markup, html};
use serde_json::Value;

use crate::diagnostics::{self, Diagnostic, Drawn, Figure};
use crate::report::cells::{Shade, value_cell};
use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group, Phase, without_hash};
use crate::report::format::{Unit, percent, setting, thousands};
use crate::report::page::{Section, drawing, figure, legend, model, scrolling, source, swatch};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart, short_number};

const PREFIX: &str = "diagnostic/";

/// One section a diagnostic and its settings.
pub(crate) fn sections(experiment: &Experiment) -> Vec<Section> {
    let phases = experiment.phases(PREFIX);
    let slugs: Vec<&str> = phases.iter().map(|phase| &phase[PREFIX.len()..]).collect();
    let section = |(phase, slug): (&&str, &&str)| {
        let name = without_hash(slug, &slugs);
        let diagnostic = diagnostics::find(without_hash(slug, &[]))?;
        let groups: Vec<&Group> = experiment
            .groups
            .iter()
            .filter(|group| group.finished(phase).next().is_some())
            .collect();
        Some(Section {
            id: format!("diagnostic-{slug}"),
            title: format!("Diagnostic: {}", name.replace('-', " ")),
            lead: html! {
                p { (capitalized(diagnostic.summary)) "." }
                p { small { (diagnostic.source) ". " (settings(&groups, phase)) } }
            },
            body: html! {
                @if lines(diagnostic) { (legend(groups.iter().copied())) }
                div.pair {
                    @for figure in diagnostic.figures { (drawn(figure, &groups, phase)) }
                }
                (source(experiment, &[phase]))
            },
        })
    };
    phases.iter().zip(&slugs).filter_map(section).collect()
}

/// The text with a capital first letter.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Whether models are told apart by the colours of their lines.
fn lines(diagnostic: &Diagnostic) -> bool {
    diagnostic.figures.iter().any(|figure| matches!(figure, Figure::Curve(_)))
}

/// The settings a diagnostic was made with.
fn settings(groups: &[&Group], phase: &str) -> String {
    let description = groups.iter().flat_map(|group| group.finished(phase)).next();
    let description = description.and_then(|(_, phase)| phase.artefact("description"));
    let Some(Value::Object(settings)) = description.and_then(|text| text.get("settings")) else {
        return String::new();
    };
    let all: Vec<_> =
        settings.iter().map(|(key, value)| format!("{key} {}", setting(value))).collect();
    format!("With {}.", all.join(", "))
}

fn drawn(what: &Figure, groups: &[&Group], phase: &str) -> Markup {
    match what {
        Figure::Curve(drawn) => curve(drawn, groups, phase),
        Figure::Layers(drawn) => each(groups, |group| layers(drawn, group, phase)),
        Figure::Density(drawn) => each(groups, |group| density(drawn, group, phase)),
        Figure::Matrix(drawn) => each(groups, |group| matrix(drawn, group, phase)),
        Figure::Facts(drawn) => facts(drawn, groups, phase),
    }
}

fn each(groups: &[&Group], one: impl Fn(&Group) -> Markup) -> Markup {
    html! { @for group in groups { (one(group)) } }
}

fn frame<'a>(drawn: &Drawn, description: &'a str, label: &'a str) -> Frame<'a> {
    Frame {
        size: (560, 320),
        x_label: "training steps",
        x_text: thousands,
        begin: 0.0,
        y_label: label,
        scale: if drawn.fraction { Scale::Fraction } else { Scale::Free },
        level: None,
        description,
    }
}

/// One line a model.
fn curve(drawn: &Drawn, groups: &[&Group], phase: &str) -> Markup {
    let line = |group: &&Group| {
        let bundle = bundle(group.finished(phase).map(|(_, phase)| phase), drawn.name);
        Series { colour: group.number, line: Line::Own, points: bundle.mean, band: bundle.band }
    };
    let lines: Vec<Series> = groups.iter().map(line).collect();
    let description = format!("{} against training steps, one line per model", drawn.title);
    let chart = line_chart(&frame(drawn, &description, drawn.label), &lines);
    figure(drawn.title, &drawing(&chart), &html! { (drawn.remark) })
}

/// The layers for which a series was noted, in the order of the network.
fn names<'a>(group: &'a Group, phase: &'a str, series: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for (_, phase) in group.finished(phase) {
        let all = phase.artefact("description").and_then(|text| text.get("series")?.as_array());
        for name in all.into_iter().flatten().filter_map(Value::as_str) {
            let layer = name.strip_prefix(series).and_then(|rest| rest.strip_prefix('/'));
            if let Some(layer) = layer.filter(|layer| !names.contains(layer)) {
                names.push(layer);
            }
        }
    }
    names
}

/// One line a layer.
fn layers(drawn: &Drawn, group: &Group, phase: &str) -> Markup {
    let names = names(group, phase, drawn.name);
    let line = |(number, layer): (usize, &&str)| {
        let series = format!("{}/{layer}", drawn.name);
        let bundle = bundle(group.finished(phase).map(|(_, phase)| phase), &series);
        Series { colour: number, line: Line::Own, points: bundle.mean, band: bundle.band }
    };
    let lines: Vec<Series> = names.iter().enumerate().map(line).collect();
    let description =
        format!("{} against training steps, {}, one line per layer", drawn.title, group.name);
    let chart = line_chart(&frame(drawn, &description, drawn.label), &lines);
    let body = html! {
        p { (model(group)) }
        (drawing(&chart))
        ul.legend {
            @for (number, layer) in names.iter().enumerate() {
                li { (swatch(number)) span { (layer) } }
            }
        }
    };
    figure(drawn.title, &body, &html! { (drawn.remark) })
}

/// The first, the middle and the last of a list of densities; of the first run.
fn density(drawn: &Drawn, group: &Group, phase: &str) -> Markup {
    let first = group.finished(phase).next();
    let list = first.and_then(|(_, phase)| phase.artefact(drawn.name)?.as_array());
    let all = list.map_or(&[][..], Vec::as_slice);
    let mut chosen = match all.len() {
        0 => Vec::new(),
        n => vec![0, n / 2, n - 1],
    };
    chosen.dedup();
    let numbers = |value: &Value, key: &str| -> Vec<f64> {
        let list = value.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    let series = |(number, at): (usize, &usize)| Series {
        colour: number,
        line: Line::Own,
        points: numbers(&all[*at], "values")
            .into_iter()
            .zip(numbers(&all[*at], "density"))
            .collect(),
        band: Vec::new(),
    };
    let lines: Vec<Series> = chosen.iter().enumerate().map(series).collect();
    let xs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let begin = xs().fold(f64::INFINITY, f64::min);
    let description = format!("{}, {}", drawn.title, group.name);
    let frame = Frame {
        x_label: "eigenvalue",
        x_text: short_number,
        begin: if begin.is_finite() { begin } else { 0.0 },
        ..frame(drawn, &description, drawn.label)
    };
    let step = |at: usize| all[at].get("step").and_then(Value::as_f64).unwrap_or_default();
    let body = html! {
        p { (model(group)) }
        (drawing(&line_chart(&frame, &lines)))
        ul.legend {
            @for (number, at) in chosen.iter().enumerate() {
                li { (swatch(number)) span { "after " (thousands(step(*at))) " steps" } }
            }
        }
    };
    figure(drawn.title, &body, &html! { (drawn.remark) })
}

/// A table of numbers from 0 to 1; the mean over the runs that have it.
fn matrix(drawn: &Drawn, group: &Group, phase: &str) -> Markup {
    let found: Vec<&Value> = group
        .finished(phase)
        .filter_map(|(_, phase): (_, &Phase)| phase.artefact(drawn.name))
        .collect();
    let texts = |key: &str| -> Vec<String> {
        let list = found.first().and_then(|value| value.get(key)?.as_array());
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let (rows, columns) = (texts("rows"), texts("columns"));
    let mean = |i: usize, j: usize| -> Option<f64> {
        let value = |value: &&Value| value.get("values")?.get(i)?.get(j)?.as_f64();
        let values: Vec<f64> = found.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let table = scrolling(&html! {
        table.shaded {
            thead { tr {
                th {}
                @for column in &columns { th scope="col" { (column) } }
            } }
            tbody { @for (i, row) in rows.iter().enumerate() { tr {
                th scope="row" { (row) }
                @for j in 0..columns.len() {
                    @match mean(i, j) {
                        Some(value) => { td style={ "--v:" (format!("{value:.2}")) } { (percent(value)) } }
                        None => { td { "–" } }
                    }
                }
            } } }
        }
    });
    let body = html! { p { (model(group)) } (table) };
    figure(drawn.title, &body, &html! { (drawn.remark) })
}

/// A row a model, a column a number.
fn facts(drawn: &Drawn, groups: &[&Group], phase: &str) -> Markup {
    let objects = || groups.iter().flat_map(|group| group.finished(phase));
    let first = objects().find_map(|(_, phase)| phase.artefact(drawn.name)?.as_object());
    let columns: Vec<&str> =
        first.into_iter().flat_map(|object| object.keys().map(String::as_str)).collect();
    let estimate = |group: &Group, column: &str| {
        group.collect(phase, |phase| Some((phase.artefact(drawn.name)?.get(column)?.as_f64(), 1)))
    };
    let table = scrolling(&html! {
        table.stacked {
            thead { tr {
                th scope="col" { "model" }
                @for column in &columns { th scope="col" { (column) } }
            } }
            tbody { @for group in groups { tr {
                th scope="row" { (model(group)) }
                @for column in &columns {
                    (value_cell(&estimate(group, column), Unit::Steps, Shade::None))
                }
            } } }
        }
    });
    figure(drawn.title, &table, &html! { (drawn.remark) })
}
