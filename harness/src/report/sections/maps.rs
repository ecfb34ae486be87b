//! Maps of the error by position.

use maud::{Markup, html};

use crate::report::data::{Experiment, Group};
use crate::report::page::{Section, model, run_links, source};
use crate::report::pixels::{EDGE, map, map_key, read_map};
use crate::report::statistics::mean;

const PHASE: &str = "train";
const ARTEFACT: &str = "error map";

/// What is drawn: the key in the artefact, a heading, and the error that a
/// value stands for.
type Kind = (&'static str, &'static str, fn(f64) -> f64);

const KINDS: [Kind; 3] = [
    ("exact", "Share of misses: row, column or both are wrong", |hit| 1.0 - hit),
    ("distance", "Distance of the answer from the target, pixels", |distance| distance),
    (
        "brightness",
        "Missing brightness: 1 less the mean value at the target row and column",
        |brightness| 1.0 - brightness,
    ),
];

/// A map of every kind for every group.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    let there = experiment
        .runs()
        .any(|run| run.phase(PHASE).is_some_and(|phase| phase.artefact(ARTEFACT).is_some()));
    if !there {
        return None;
    }
    Some(Section {
        id: "error-maps".to_string(),
        title: "Error by position".to_string(),
        lead: html! { p {
            "One speck at each of the 4096 positions of the 64 × 64 screen, held-out ones included, "
            "in the training colours; mean over seeds. Light is right; only a position without any "
            "error is left blank. A model can be right and dim: the brightest row is a hit, however "
            "little it stands out."
        } },
        body: html! {
            @for kind in &KINDS { (row(experiment, kind)) }
            (source(experiment, &[PHASE]))
        },
    })
}

/// One kind of error, all groups side by side on the same scale.
fn row(experiment: &Experiment, kind: &Kind) -> Markup {
    let (key, heading, _) = kind;
    let maps: Vec<(&Group, Option<Vec<Option<f64>>>)> =
        experiment.groups.iter().map(|group| (group, average(group, kind))).collect();
    let values = || maps.iter().filter_map(|(_, map)| map.as_ref()).flatten();
    let greatest = values().flatten().copied().fold(0.0, f64::max);
    let unknown = values().any(Option::is_none);
    let (full, most) = match *key {
        "distance" => (greatest.max(1.0), format!("{:.0} pixels", greatest.max(1.0))),
        "exact" => (1.0, "100 %".to_string()),
        _ => (1.0, "1".to_string()),
    };
    html! {
        h3 { (heading) }
        (map_key("0", &most, unknown))
        div.maps { @for (group, map_of_group) in &maps {
            figure {
                @match map_of_group {
                    Some(values) => (map(values, full, &format!("{heading}, {}", group.name))),
                    None => div.empty { "no map" },
                }
                figcaption {
                    b { (model(group)) }
                    @if let Some(values) = map_of_group { (summary(values, key)) br; }
                    (run_links(group.finished(PHASE).map(|(run, _)| run)))
                }
            }
        } }
    }
}

/// The mean over seeds, cell by cell; `None` without a readable map.
fn average(group: &Group, (key, _, error): &Kind) -> Option<Vec<Option<f64>>> {
    let maps: Vec<Vec<Option<f64>>> = group
        .finished(PHASE)
        .filter_map(|(_, phase)| read_map(phase.artefact(ARTEFACT)?.get(key)?))
        .collect();
    if maps.is_empty() {
        return None;
    }
    let cell = |cell: usize| {
        let values = || maps.iter().filter_map(move |map| map[cell]);
        mean(values()).map(error)
    };
    Some((0..EDGE * EDGE).map(cell).collect())
}

/// A map in one line of text.
fn summary(values: &[Option<f64>], key: &str) -> String {
    let known: Vec<f64> = values.iter().filter_map(|value| *value).collect();
    match key {
        "exact" => {
            let wrong = known.iter().filter(|error| **error > 0.0).count();
            format!("{wrong} of {} positions missed by one seed or more", known.len())
        }
        _ => match mean(known.iter().copied()) {
            Some(mean) => format!("mean {mean:.3}"),
            None => "nothing measured".to_string(),
        },
    }
}
