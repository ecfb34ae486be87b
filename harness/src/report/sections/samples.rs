//! Pictures of single screens and every model's answer to them.

use maud::{Markup, html};

use crate::report::data::{Experiment, Group, Run};
use crate::report::page::{Section, model, run_links, source};
use crate::report::pixels::Sample;

const PHASE: &str = "train";

/// So many pictures are shown; a run may have left more.
const MOST: usize = 8;

/// The pictures of one run of a group: a mean of profiles would be nobody's
/// answer.
fn pictures(group: &Group) -> Option<(&Run, Vec<Sample>)> {
    group.finished(PHASE).find_map(|(run, phase)| {
        let samples = phase.artefact("samples")?.as_array()?;
        Some((run, samples.iter().filter_map(Sample::read).collect()))
    })
}

/// One screen with a right answer, to show what the task is; `None` where no
/// model has one.
pub(crate) fn example(experiment: &Experiment) -> Option<Markup> {
    let hit = |group: &Group| {
        let (_, samples) = pictures(group)?;
        let first = samples.into_iter().next()?;
        (first.outcome().as_deref() == Some("hit")).then_some(first)
    };
    // Of those that hit, the first whose answer is the clearest.
    let (group, sample) = experiment
        .groups
        .iter()
        .rev()
        .filter_map(|group| Some((group, hit(group)?)))
        .max_by(|one, other| one.1.contrast().total_cmp(&other.1.contrast()))?;
    Some(html! {
        figure.example {
            (sample.draw())
            figcaption { "One screen, and the answer of " (group.name) "." }
        }
    })
}

/// A row for every sample, the models side by side.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    let pictures: Vec<(&Group, &Run, Vec<Sample>)> = experiment
        .groups
        .iter()
        .filter_map(|group| {
            let (run, samples) = pictures(group)?;
            Some((group, run, samples))
        })
        .collect();
    let rows = pictures.iter().map(|(_, _, samples)| samples.len()).max()?.min(MOST);
    if rows == 0 {
        return None;
    }
    let title = |row: usize| {
        pictures
            .iter()
            .find_map(|(_, _, samples)| samples.get(row))
            .map_or("", |sample| sample.title.as_str())
    };
    Some(Section {
        id: "samples".to_string(),
        title: "Samples".to_string(),
        lead: html! { p {
            "The screen as the model saw it, every speck ringed. At its right the 64 values for the "
            "rows, below it the 64 for the columns. Ticks and coloured bars mark the targets. The "
            "longest bar is the largest of the 128 values, written in the corner: where all bars "
            "are long, the model gives no answer. One screen a model, from one seed: an "
            "illustration, not a measurement."
        } },
        body: html! {
            @for row in 0..rows {
                h3 { (title(row)) }
                div.screens { @for (group, run, samples) in &pictures {
                    @if let Some(sample) = samples.get(row) {
                        figure {
                            (sample.draw())
                            figcaption {
                                b { (model(group)) }
                                @if let Some(outcome) = sample.outcome() { (outcome) " · " }
                                (run_links(std::iter::once(*run)))
                            }
                        }
                    }
                } }
            }
            (source(experiment, &[PHASE]))
        },
    })
}
