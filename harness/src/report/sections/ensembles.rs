//! Ensembles beside their members and the runs' own networks.

use maud::{Markup, html};

use crate::ensembles;
use crate::report::cells::{Shade, gain_cell, value_cell};
use crate::report::data::{Experiment, Group, without_hash};
use crate::report::format::Unit;
use crate::report::page::{Section, model, run_links, scrolling, source};
use crate::report::statistics::Estimate;

const PREFIX: &str = "ensemble/";

/// One section an ensemble and its settings.
pub(crate) fn sections(experiment: &Experiment) -> Vec<Section> {
    let phases = experiment.phases(PREFIX);
    let slugs: Vec<&str> = phases.iter().map(|phase| &phase[PREFIX.len()..]).collect();
    let section = |(phase, slug): (&&str, &&str)| {
        let ensemble = ensembles::find(without_hash(slug, &[]))?;
        let groups: Vec<&Group> = experiment
            .groups
            .iter()
            .filter(|group| group.finished(phase).next().is_some())
            .collect();
        let cells = experiment.cells(phase);
        let (positions, others): (Vec<&str>, Vec<&str>) =
            cells.iter().partition(|cell| cell.ends_with(" positions") && !cell.contains(':'));
        Some(Section {
            id: format!("ensemble-{slug}"),
            title: format!("Ensemble: {}", without_hash(slug, &slugs)),
            lead: html! {
                p { (ensemble.summary) ". " (members(&groups, phase)) }
                p { small { (ensemble.source) "." } }
                p {
                    "Exact hits of one speck, F1 of several. Own: the run's network. Member: the "
                    "mean of the members, each by itself. Gain: the ensemble less the own network, "
                    "bold where its interval over seeds leaves out 0. Disagreement: how often the "
                    "brightest row or column of two members differ."
                }
            },
            body: html! {
                @for cell in positions { (table(cell, &[cell], &groups, phase, false)) }
                @if !others.is_empty() {
                    @for group in &groups {
                        details.metric {
                            summary { "Batteries: " (group.name) }
                            (table("", &others, &[group], phase, true))
                        }
                    }
                }
                (source(experiment, &[phase]))
            },
        })
    };
    phases.iter().zip(&slugs).filter_map(section).collect()
}

fn members(groups: &[&Group], phase: &str) -> String {
    let first = groups.iter().flat_map(|group| group.finished(phase)).next();
    let description = first.and_then(|(_, phase)| phase.artefact("description"));
    match description.and_then(|text| text.get("members")?.as_u64()) {
        Some(count) => format!("{count} members."),
        None => String::new(),
    }
}

/// A row a model and cell.
fn table(caption: &str, cells: &[&str], groups: &[&Group], phase: &str, by_cell: bool) -> Markup {
    scrolling(&html! {
        table.stacked {
            @if !caption.is_empty() { caption { (caption) } }
            thead { tr {
                th scope="col" { @if by_cell { "test" } @else { "model" } }
                @for title in ["own, %", "member, %", "ensemble, %", "gain, points", "disagreement, %"] {
                    th scope="col" { (title) }
                }
                th.left scope="col" { "runs" }
            } }
            tbody { @for cell in cells { @for group in groups {
                @let headline = headline(group, phase, cell);
                @let of = |metric: &str| group.estimate(phase, cell, metric);
                tr {
                    th scope="row" { @if by_cell { (cell) } @else { (model(group)) } }
                    (value_cell(&of(&format!("single {headline}")), Unit::Fraction, Shade::Good))
                    (value_cell(&of(&format!("member {headline}")), Unit::Fraction, Shade::Good))
                    (value_cell(&of(&headline), Unit::Fraction, Shade::Good))
                    (gain_cell(&gain(group, phase, cell, &headline), false, ""))
                    (value_cell(&of("disagreement"), Unit::Shortfall, Shade::None))
                    td { (run_links(group.finished(phase).map(|(run, _)| run))) }
                }
            } } }
        }
    })
}

/// The metric that all networks have in a cell.
fn headline(group: &Group, phase: &str, cell: &str) -> String {
    let scores = group.finished(phase).flat_map(|(_, phase)| &phase.results.scores);
    let mut own = scores.filter(|score| score.cell == cell);
    let found = own.find_map(|score| score.metric.strip_prefix("single "));
    found.unwrap_or("exact hit").to_owned()
}

fn gain(group: &Group, phase: &str, cell: &str, headline: &str) -> Estimate {
    group.collect(phase, |phase| {
        let ensemble = phase.score(cell, headline)?;
        let own = phase.score(cell, &format!("single {headline}"))?;
        Some((ensemble.value.zip(own.value).map(|(a, b)| a - b), ensemble.cases))
    })
}
