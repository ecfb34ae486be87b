//! The page: its frame, and the parts every section is made of.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::data::{Experiment, Group, Run};
use super::format::Unit;
use super::plots::COLOURS;
use super::statistics::Estimate;

/// The whole style sheet; there is no script.
const STYLE: &str = include_str!("style.css");

/// Forbids the browser to fetch anything: the file is complete.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What a cell without a value shows.
pub(super) const NOTHING: &str = "–";

/// A section of the report.
pub(super) struct Section {
    /// The anchor in the page.
    pub id: String,
    pub title: String,
    /// One or two sentences: what is to be seen and how it was measured.
    pub lead: Markup,
    pub body: Markup,
}

/// The whole page.
pub(super) fn page(title: &str, header: &Markup, sections: &[Section]) -> Markup {
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

/// How the background of a cell follows its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shade {
    /// Not at all.
    None,
    /// The nearer to 1 the deeper.
    Good,
    /// Two colours, for above and below 0.
    Gain,
}

impl Shade {
    /// What fits a unit.
    pub fn of(unit: Unit) -> Self {
        match unit {
            Unit::Fraction => Self::Good,
            Unit::Gain => Self::Gain,
            Unit::Shortfall | Unit::Plain | Unit::Steps => Self::None,
        }
    }
}

/// A table cell with the mean over seeds and its interval; pointing at it
/// shows every run's value and number of cases.
pub(super) fn value_cell(estimate: &Estimate, unit: Unit, shade: Shade) -> Markup {
    remarked_cell(estimate, unit, shade, false, "")
}

/// [`value_cell`], framed if it is to stand out, and with a remark before what
/// is shown by pointing at it.
pub(super) fn remarked_cell(
    estimate: &Estimate,
    unit: Unit,
    shade: Shade,
    framed: bool,
    remark: &str,
) -> Markup {
    let Some(mean) = estimate.mean() else {
        let why = match estimate.observations.is_empty() {
            true => "not measured".to_string(),
            false => observations(estimate, unit),
        };
        return html! { td.v.none.framed[framed] title=(why) { (NOTHING) } };
    };
    let depth = match shade {
        Shade::None => None,
        Shade::Good => Some(mean.clamp(0.0, 1.0)),
        Shade::Gain => Some(mean.abs().min(1.0)),
    };
    let good = shade == Shade::Good;
    let gain = shade == Shade::Gain && mean > 0.0;
    let loss = shade == Shade::Gain && mean < 0.0;
    let there = estimate.values().count();
    let all = estimate.observations.len();
    html! {
        td.v.good[good].gain[gain].loss[loss].framed[framed] style=[depth.map(|depth| format!("--v:{depth:.2}"))]
            title={ (remark) (observations(estimate, unit)) } {
            (unit.text(mean))
            @if let Some(margin) = margin(estimate, unit) { " " small { (margin) } }
            @if there < all { " " small { (there) " of " (all) } }
        }
    }
}

/// Half of the interval as text; `None` where there is none, and for counts
/// that are the same in every run.
pub(super) fn margin(estimate: &Estimate, unit: Unit) -> Option<String> {
    let half_width = estimate.half_width()?;
    let constant = half_width == 0.0 && unit == Unit::Steps;
    (!constant).then(|| format!("±{}", unit.margin(half_width)))
}

/// Every run's value and cases, in one line of plain text.
fn observations(estimate: &Estimate, unit: Unit) -> String {
    let values: Vec<String> = estimate
        .observations
        .iter()
        .map(|observation| {
            let value = match observation.value {
                Some(value) => unit.text(value),
                None => "none".to_string(),
            };
            format!("{} {value}", short(&observation.run))
        })
        .collect();
    let cases = match estimate.cases() {
        Some((least, most)) if least == most => format!("{least} cases each"),
        Some((least, most)) => format!("{least} to {most} cases"),
        None => String::new(),
    };
    let margin =
        margin(estimate, unit).map_or_else(String::new, |margin| format!("mean {margin}; "));
    format!("{margin}runs: {}; {cases}", values.join(", "))
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
                li { (swatch(group.number)) (group.name) }
            }
        }
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
pub(super) fn scrolling(table: &Markup) -> Markup {
    html! { div.scroll { (table) } }
}

/// A figure with a heading above and a remark below.
pub(super) fn figure(heading: &str, body: &Markup, remark: &Markup) -> Markup {
    html! {
        figure {
            @if !heading.is_empty() { h3 { (heading) } }
            (body)
            figcaption { (remark) }
        }
    }
}

/// A drawing, or the reason why there is none.
pub(super) fn drawing(outcome: &Result<String, String>) -> Markup {
    match outcome {
        Ok(svg) => PreEscaped(svg.clone()),
        Err(reason) => html! { p.missing { "Nothing to draw: " (reason) "." } },
    }
}
