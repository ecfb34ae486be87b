//! AdamW: [`adam`](super::adam) with decoupled weight decay.

use super::adam::{amsgrad, make};
use super::{OptimizerEntry, beta1, beta2, decoupled, epsilon, rate};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adamw",
    summary: "p ← (1 - rate · decay) p, then as adam",
    source: "Loshchilov and Hutter, \"Decoupled Weight Decay Regularization\", 2017, in PyTorch's form: the weight is scaled before the step of Adam",
    dimensions: &[
        rate(1e-3),
        beta1(0.9),
        beta2(0.999),
        epsilon(1e-8),
        decoupled(0.01),
        amsgrad(false),
    ],
    make: |settings| make(settings, true),
};
