//! Pictures of single screens and every model's answer to them.

use maud::html;

use crate::report::data::{Experiment, Group, Run};
use crate::report::page::{Section, run_links, source, swatch};
use crate::report::pixels::Sample;

const PHASE: &str = "train";

/// So many pictures are shown; a run may have left more.
const MOST: usize = 8;

/// A row for every sample, the models side by side.
pub(crate) fn section(experiment: &Experiment) -> Option<Section> {
    let pictures: Vec<(&Group, &Run, Vec<Sample>)> = experiment
        .groups
        .iter()
        .filter_map(|group| {
            // One seed: a mean of profiles would be nobody's answer.
            let (run, samples) = group.finished(PHASE).find_map(|(run, phase)| {
                let samples = phase.artefact("samples")?.as_array()?;
                Some((run, samples.iter().filter_map(Sample::read).collect()))
            })?;
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
            "The screen as the model saw it, specks ringed; at its right the 64 values predicted "
            "for the rows, below it the 64 for the columns. Ticks mark the targets, and the bars "
            "there have the other colour. A full bar is 1, or the largest value where that is "
            "more. One seed per model."
        } },
        body: html! {
            @for row in 0..rows {
                h3 { (title(row)) }
                div.screens { @for (group, run, samples) in &pictures {
                    @if let Some(sample) = samples.get(row) {
                        figure {
                            (sample.draw())
                            figcaption {
                                (swatch(group.number)) b { (group.name) } br;
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
