//! The sections of the report, one file each. A section that has nothing to
//! show is left out; the overview says so.

pub(super) mod batteries;
mod bounds;
pub(super) mod diagnostics;
pub(super) mod ensembles;
pub(super) mod findings;
mod ledger;
pub(super) mod maps;
pub(super) mod meta;
pub(super) mod overview;
pub(super) mod regimens;
pub(super) mod runs;
pub(super) mod samples;
pub(super) mod terminal;
pub(super) mod training;
pub(super) mod transfer;
pub(super) mod verdict;
mod words;
