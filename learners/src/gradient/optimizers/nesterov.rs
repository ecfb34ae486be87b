//! Nesterov's momentum: [`sgd`](super::sgd) with other defaults.

use super::sgd::{DAMPENING, make, momentum, nesterov};
use super::{OptimizerEntry, coupled, rate};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "nesterov",
    summary: "v ← momentum · v + g, p ← p - rate (g + momentum · v)",
    source: "Nesterov, 1983, in the form of Sutskever et al., \"On the importance of initialization and momentum in deep learning\", 2013, as PyTorch has it",
    dimensions: &[rate(1e-3), momentum(0.9), DAMPENING, nesterov(true), coupled(0.0)],
    make,
};
