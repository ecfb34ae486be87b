//! The runs: where every number of the report comes from.

use maud::html;

use crate::report::data::{Experiment, Run};
use crate::report::page::{Section, scrolling, swatch};

/// One row a run.
pub(crate) fn section(experiment: &Experiment) -> Section {
    // Only said where runs differ in it.
    let data = experiment.runs().any(|run| !run.record.data_label.is_empty());
    Section {
        id: "runs".to_string(),
        title: "Runs".to_string(),
        lead: html! { p {
            "A run is named by the hash of its configuration, which is given here in full: the "
            "same configuration gives the same run, and the same bits."
        } },
        body: scrolling(&html! {
            table.runs {
                thead { tr {
                    th scope="col" { "run" } th scope="col" { "model" } th scope="col" { "learner" }
                    @if data { th scope="col" { "data" } }
                    th scope="col" { "seed" }
                    th scope="col" { "phases finished" } th scope="col" { "configuration" }
                } }
                tbody { @for group in &experiment.groups { @for run in &group.runs {
                    tr id={ "run-" (run.record.id) } {
                        td { (swatch(group.number)) code { (run.record.id) } }
                        td title=(run.record.label) { (run.record.model) }
                        td { (run.record.learner) }
                        @if data { td { (run.record.data_label) } }
                        td { (run.record.seed) }
                        td {
                            @if run.phases.is_empty() { "none" } @else {
                                details {
                                    summary { (run.phases.len()) }
                                    ul { @for phase in &run.phases { li { code { (phase.name) } } } }
                                }
                            }
                        }
                        td { details { summary { "show" } pre { (pretty(run)) } } }
                    }
                } } }
            }
        }),
    }
}

/// The configuration with a line for every setting, or as it stands in the
/// store.
fn pretty(run: &Run) -> String {
    match serde_json::to_string_pretty(&run.config) {
        Ok(text) if !run.config.is_null() => text,
        _ => run.record.config_json.clone(),
    }
}
