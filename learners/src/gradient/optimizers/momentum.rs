//! Gradient descent with momentum: [`sgd`](super::sgd) with another default.

use super::sgd::{DAMPENING, make, momentum, nesterov};
use super::{OptimizerEntry, coupled, rate};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "momentum",
    summary: "v ← momentum · v + g, p ← p - rate · v",
    source: "Polyak, \"Some methods of speeding up the convergence of iteration methods\", 1964, in PyTorch's form: the rate multiplies the velocity, not the gradient",
    dimensions: &[rate(1e-3), momentum(0.9), DAMPENING, nesterov(false), coupled(0.0)],
    make,
};
