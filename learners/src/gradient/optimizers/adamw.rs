//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017),
//! in PyTorch's form: the weight is scaled before the step of Adam, by
//! 1 - rate · decay.

use super::OptimizerEntry;
use super::adam::Adam;
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adamw",
    summary: "p ← (1 - rate · decay) p, then as adam",
    make: |settings: &Settings| {
        Box::new(Adam {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            coupled: 0.0,
        })
    },
};
