//! What regimens made of trainings: their stretches, over the curve of what was learned.

use maud::{Markup, html};
use serde_json::Value;

use super::training::PHASE;
use crate::regimens;
use crate::report::cells::{Shade, value_cell};
use crate::report::curves::bundle;
use crate::report::data::{Experiment, Group, Phase, Run};
use crate::report::format::{Unit, setting, thousands};
use crate::report::page::{
    Section, count, drawing, figure, model, run_links, scrolling, source, swatch,
};
use crate::report::plots::{Frame, Line, Scale, Series, line_chart};
use crate::report::statistics::Estimate;

const ARTEFACT: &str = "regimen";

/// More borders than this are a hatching, not borders.
const MOST_BORDERS: usize = 60;

/// A part of a training, as the artefact describes it.
struct Stretch {
    name: String,
    from: f64,
    steps: f64,
    begins: Option<String>,
    /// How its settings differ from those of the run.
    differs: Vec<String>,
}

/// The regimens of all groups that have another than the plain one.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    let shown: Vec<(&Group, &Value, Vec<Stretch>)> =
        experiment.groups.iter().filter_map(described).collect();
    if shown.is_empty() {
        return None;
    }
    Some(Section {
        id: "regimens".to_string(),
        title: "Regimens".to_string(),
        lead: html! { p {
            "How each training was divided. Line: performance on fresh random screens of the "
            "run's own data, mean over seeds; band: from the lowest to the highest seed; dotted: "
            "where one part ends and the next begins. The table below it says how a part began, how "
            "its settings differ from those of the run, and what was reached at the last "
            "measurement in it."
        } },
        body: html! {
            @for (group, value, stretches) in &shown {
                (regimen(group, value, stretches))
            }
            (source(experiment, &[PHASE]))
        },
    })
}

/// The artefact of the first run that has one, and what it says.
fn described(group: &Group) -> Option<(&Group, &Value, Vec<Stretch>)> {
    let mut finished = group.finished(PHASE);
    let (run, value) = finished.find_map(|(run, phase)| Some((run, phase.artefact(ARTEFACT)?)))?;
    let list = value.get("stretches")?.as_array()?;
    let stretches: Option<Vec<Stretch>> = list.iter().map(|part| stretch(run, part)).collect();
    Some((group, value, stretches.filter(|all| !all.is_empty())?))
}

fn stretch(run: &Run, value: &Value) -> Option<Stretch> {
    let changes = [("/learner/settings", "learner"), ("/data", "data")];
    let differs = changes.iter().filter_map(|(path, key)| run.changes(path, value.get(key)));
    Some(Stretch {
        name: value.get("name")?.as_str()?.to_string(),
        from: value.get("from")?.as_f64()?,
        steps: value.get("steps")?.as_f64()?,
        begins: value.get("begins").and_then(Value::as_str).map(str::to_string),
        differs: differs.collect(),
    })
}

fn regimen(group: &Group, value: &Value, stretches: &[Stretch]) -> Markup {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let metrics = ["exact hit", "f1"];
    let measured =
        |series: &&str| group.finished(PHASE).any(|(_, phase)| !phase.curve(series).is_empty());
    let series = metrics.into_iter().find(measured).unwrap_or(metrics[0]);
    let label = if series == "f1" { "F1" } else { "exact hits" };
    let settings = value.get("settings").and_then(Value::as_object);
    let settings: Vec<String> = settings
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key} = {}", setting(value)))
        .collect();
    html! {
        h3 { (swatch(group.number)) (group.name) }
        p {
            @if let Some(known) = regimens::find(kind) { (known.summary) ". " }
            (count(stretches.len(), "part")) "."
            @if !settings.is_empty() { " " small { (settings.join(", ")) "." } }
        }
        (figure("", &chart(group, stretches, series, label), &html! {}))
        (table(group, stretches, series, label))
    }
}

fn chart(group: &Group, stretches: &[Stretch], series: &str, label: &str) -> Markup {
    let bundle = bundle(group.finished(PHASE).map(|(_, phase)| phase), series);
    let mut lines = Vec::new();
    if stretches.len() <= MOST_BORDERS {
        lines.extend(stretches.iter().skip(1).map(|next| Series {
            colour: 0,
            line: Line::Dotted,
            points: vec![(next.from, 0.0), (next.from, 1.0)],
            band: Vec::new(),
        }));
    }
    let (points, band) = (bundle.mean, bundle.band);
    let drawn = !points.is_empty();
    lines.push(Series { colour: group.number, line: Line::Own, points, band });
    let names: Vec<String> = stretches
        .iter()
        .take(MOST_BORDERS)
        .map(|part| format!("{} from step {}", part.name, thousands(part.from)))
        .collect();
    let frame = Frame {
        size: (760, 280),
        x_label: "training steps",
        x_text: thousands,
        begin: 0.0,
        y_label: label,
        scale: Scale::Fraction,
        level: None,
        description: &format!(
            "{label} against training steps of {}; parts: {}",
            group.name,
            names.join(", ")
        ),
    };
    match drawn {
        true => drawing(&line_chart(&frame, &lines)),
        false => drawing(&Err(format!("no curve of {label}"))),
    }
}

/// What a curve was at its last point within a stretch, and after which step.
fn reached(phase: &Phase, stretch: &Stretch, series: &str) -> Option<(f64, f64)> {
    let curve = phase.curve(series);
    let end = stretch.from + stretch.steps;
    curve.into_iter().rfind(|(step, _)| *step > stretch.from && *step <= end)
}

fn table(group: &Group, stretches: &[Stretch], series: &str, label: &str) -> Markup {
    let at_end = |stretch: &Stretch, series: &str| -> Estimate {
        group.collect(PHASE, |phase| {
            let (_, value) = reached(phase, stretch, series)?;
            Some((Some(value).filter(|value| value.is_finite()), 1))
        })
    };
    scrolling(&html! {
        table.stacked {
            thead { tr {
                th scope="col" { "part" }
                th scope="col" { "from step" }
                th scope="col" { "steps" }
                th scope="col" { (label) ", %" }
                th scope="col" { "loss" }
                th.left scope="col" { "begins with" }
                th.left scope="col" { "differs from the run" }
            } }
            tbody { @for stretch in stretches { tr {
                th scope="row" { (stretch.name) }
                td.v { (thousands(stretch.from)) }
                td.v { (thousands(stretch.steps)) }
                (value_cell(&at_end(stretch, series), Unit::Fraction, Shade::Good))
                (value_cell(&at_end(stretch, "loss"), Unit::Plain, Shade::None))
                td { (stretch.begins.as_deref().unwrap_or("–")) }
                td { @for change in &stretch.differs { (change) br; } }
            } } }
        }
        p { small { (model(group)) ": " (run_links(group.finished(PHASE).map(|(run, _)| run))) } }
    })
}
