//! The report: everything a store holds as one HTML file that needs no network
//! and no script, and the same in short for the terminal.
//!
//! Every number can be traced: a table or figure names its phase and its runs,
//! pointing at a number shows each seed's value and the number of cases, and
//! the last section gives the configuration of every run in full. What is not
//! in the store is shown as not there.

mod cells;
mod curves;
mod data;
#[cfg(test)]
mod fixture;
mod format;
pub(crate) mod page;
mod pixels;
pub(crate) mod plots;
mod sections;
mod statistics;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::files::{check_place, write_atomically};
use crate::store::{Store, StoreError};
use data::Experiment;
use page::Section;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSummary {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// The number of runs it shows.
    pub runs: usize,
    /// The number of models: groups of runs that differ only in their seeds.
    pub models: usize,
}

/// A report that could not be made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("{}: cannot write the report: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Whether a report can be written to `out`: to be asked before a long run.
///
/// # Errors
/// Why it cannot.
pub fn check(out: &Path) -> Result<(), ReportError> {
    check_place(out).map_err(|source| ReportError::Write { path: out.to_path_buf(), source })
}

/// What a store holds, at one moment.
fn loaded(path: &Path) -> Result<Experiment, ReportError> {
    let mut store = Store::open_read_only(path)?;
    for _ in 0..3 {
        let experiment = Experiment::load(&store);
        if !store.is_overtaken() {
            return Ok(experiment?);
        }
        store = Store::open_read_only(path)?;
    }
    Ok(Experiment::load(&store)?)
}

/// Writes the report of the store at `store_path` to `out`: the whole file or
/// nothing.
///
/// # Errors
/// The store cannot be read or the file cannot be written.
pub fn write(store_path: &Path, out: &Path) -> Result<ReportSummary, ReportError> {
    check(out)?;
    let experiment = loaded(store_path)?;
    let html = render(&experiment);
    write_atomically(out, html.as_bytes())
        .map_err(|source| ReportError::Write { path: out.to_path_buf(), source })?;
    Ok(ReportSummary {
        path: out.to_path_buf(),
        bytes: html.len(),
        runs: experiment.runs().count(),
        models: experiment.groups.len(),
    })
}

/// The table that closes a run: one row a model, aligned, at most 150 letters
/// wide unless a model's name is very long, and below it what is needed to read
/// it. Every line ends with a newline.
///
/// # Errors
/// The store cannot be read.
pub fn terminal_table(store: &Store) -> Result<String, StoreError> {
    Ok(sections::terminal::text(&Experiment::load(store)?))
}

fn render(experiment: &Experiment) -> String {
    use sections::{
        batteries, diagnostics, ensembles, maps, meta, overview, regimens, runs, samples, training,
        transfer,
    };
    let mut parts: Vec<Section> = vec![overview::section(experiment)];
    parts.extend(training::section(experiment));
    parts.extend(regimens::section(experiment));
    parts.extend(diagnostics::sections(experiment));
    parts.extend(batteries::sections(experiment));
    parts.extend(maps::section(experiment));
    parts.extend(samples::section(experiment));
    parts.extend(ensembles::sections(experiment));
    parts.extend(transfer::sections(experiment));
    parts.extend(meta::sections(experiment));
    parts.push(runs::section(experiment));
    let title = format!("{} – speck", experiment.name);
    page::page(&title, &overview::header(experiment), &parts).into_string()
}
