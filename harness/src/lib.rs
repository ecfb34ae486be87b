//! Data, test batteries, protocols, the run store, reports, and the `speck`
//! command.

pub mod batteries;
pub mod checkpoint;
pub mod config;
pub mod data;
mod files;
pub mod metrics;
pub mod report;
pub mod store;
