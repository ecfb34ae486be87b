//! AMSGrad: [`adam`](super::adam) with another default.

use super::adam::{amsgrad, make};
use super::{DECOUPLED, OptimizerEntry, beta1, beta2, coupled, epsilon, rate};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "amsgrad",
    summary: "m and v as adam, w ← max(w, v), p ← p - rate · m̂ / (√ŵ + ε)",
    source: "Reddi, Kale and Kumar, \"On the Convergence of Adam and Beyond\", 2018, in PyTorch's form: the maximum is of the means before bias correction",
    dimensions: &[
        rate(1e-3),
        beta1(0.9),
        beta2(0.999),
        epsilon(1e-8),
        coupled(0.0),
        DECOUPLED,
        amsgrad(true),
    ],
    make: |settings| make(settings, settings.bool("decoupled_weight_decay")),
};
