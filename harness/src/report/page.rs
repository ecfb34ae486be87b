//! The page: its frame, and the parts every section is made of.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::data::{Experiment, Group, Run};
use super::plots::COLOURS;

/// The whole style sheet; there is no script.
const STYLE: &str = include_str!("style.css");

/// Forbids the browser to fetch anything: the file is complete.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A section of the report.
pub(crate) struct Section {
    /// The anchor in the page.
    pub id: String,
    pub title: String,
    /// One or two sentences: what is to be seen and how it was measured.
    pub lead: Markup,
    pub body: Markup,
}

/// The whole page.
pub(crate) fn page(title: &str, header: &Markup, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav aria-label="Contents" {
                    p.brand { "speck" }
                    ol {
                        @for section in sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    }
                }
                main {
                    (header)
                    @for section in sections {
                        section id=(section.id) {
                            h2 { (section.title) }
                            div.lead { (section.lead) }
                            (section.body)
                        }
                    }
                }
            }
        }
    }
}

/// The first digits of a run's id, as far as they are shown.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Links to runs.
pub(super) fn run_links<'a>(runs: impl Iterator<Item = &'a Run>) -> Markup {
    html! {
        @for run in runs {
            a.run href={ "#run-" (run.record.id) } title={ (run.record.label) ", seed " (run.record.seed) } {
                (short(&run.record.id))
            } " "
        }
    }
}

/// Where numbers come from: a phase, and the runs that have finished it.
pub(super) fn source(experiment: &Experiment, phases: &[&str]) -> Markup {
    let runs: Vec<&Run> = experiment
        .runs()
        .filter(|run| phases.iter().any(|phase| run.phase(phase).is_some()))
        .collect();
    html! {
        details.source {
            summary {
                "Source: " (count(runs.len(), "run")) ", phase" @if phases.len() != 1 { "s" } " "
                @for (place, phase) in phases.iter().take(3).enumerate() {
                    @if place > 0 { ", " }
                    code { (phase) }
                }
                @if phases.len() > 3 { " and " (phases.len() - 3) " more" }
            }
            p { "Runs: " (run_links(runs.into_iter())) }
            @if phases.len() > 3 {
                p { "Phases: " @for phase in phases { code { (phase) } " " } }
            }
        }
    }
}

/// "1 run", "2 runs".
pub(super) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

/// The colours of the groups.
pub(super) fn legend<'a>(groups: impl Iterator<Item = &'a Group>) -> Markup {
    html! {
        ul.legend {
            @for group in groups {
                li { (swatch(group.number)) span { (group.name) } }
            }
        }
    }
}

/// A group by its colour and name.
pub(super) fn model(group: &Group) -> Markup {
    html! { (swatch(group.number)) (group.name) }
}

/// A group at the head of a narrow column: its name may also be broken between
/// a setting and its value.
pub(super) fn narrow_model(group: &Group) -> Markup {
    let mut parts = group.name.split_inclusive('=');
    html! {
        (swatch(group.number)) br;
        (parts.next().unwrap_or_default())
        @for part in parts { wbr; (part) }
    }
}

/// A short piece of line in the colour and style of a group.
pub(super) fn swatch(number: usize) -> Markup {
    let dashed = number >= COLOURS;
    html! {
        svg.swatch viewBox="0 0 24 8" aria-hidden="true" {
            line class={ "s" (number % COLOURS) @if dashed { " dashed" } } x1="1" y1="4" x2="23" y2="4" {}
        }
    }
}

/// A table that scrolls sideways on a narrow screen.
pub(crate) fn scrolling(table: &Markup) -> Markup {
    html! { div.scroll { (table) } }
}

/// A figure with a heading above and a remark below.
pub(crate) fn figure(heading: &str, body: &Markup, remark: &Markup) -> Markup {
    html! {
        figure {
            @if !heading.is_empty() { h3 { (heading) } }
            (body)
            figcaption { (remark) }
        }
    }
}

/// A drawing, or the reason why there is none.
pub(crate) fn drawing(outcome: &Result<String, String>) -> Markup {
    match outcome {
        Ok(svg) => PreEscaped(svg.clone()),
        Err(reason) => html! { p.missing { "Nothing to draw: " (reason) "." } },
    }
}
