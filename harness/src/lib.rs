//! Data, test batteries, protocols, the run store, reports, and the `speck`
//! command.

pub mod batteries;
pub mod bench;
pub mod catalogue;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod conform;
pub mod data;
pub mod diagnostics;
pub mod ensembles;
mod error;
mod files;
mod ledger;
pub mod metrics;
pub mod protocols;
pub mod regimens;
mod registries;
pub mod report;
pub mod run;
pub mod store;

pub use error::RunError;
pub use registries::registries;
