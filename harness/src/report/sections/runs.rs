//! The runs: where every number of the report comes from.

use maud::html;

use crate::report::data::{Experiment, Run};
use crate::report::page::{Section, scrolling, swatch};

/// One row a run.
pub(crate) fn section(experiment: &Experiment) -> Section {
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
                    th scope="col" { "run" } th scope="col" { "label" } th scope="col" { "seed" }
                    th scope="col" { "model" } th scope="col" { "learner" } th scope="col" { "data" }
                    th scope="col" { "phases finished" } th scope="col" { "configuration" }
                } }
                tbody { @for group in &experiment.groups { @for run in &group.runs {
                    tr id={ "run-" (run.record.id) } {
                        td { (swatch(group.number)) code { (run.record.id) } }
                        td { (run.record.label) }
                        td.v { (run.record.seed) }
                        td { (run.record.model) }
                        td { (run.record.learner) }
                        td { (run.record.data_label) }
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
