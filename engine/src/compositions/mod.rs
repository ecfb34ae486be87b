//! Functions made of several ops, each in one place.

mod dropout;
mod losses;
mod norms;
mod pooling;
mod shapes;

pub use norms::RunningStatistics;
