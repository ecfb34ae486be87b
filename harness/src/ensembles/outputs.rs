//! The mean of what independent networks answer.

use super::{Combination, Ensemble, MEMBERS, STEPS, Start, alike};

pub(super) const ENSEMBLE: Ensemble = Ensemble {
    name: "outputs",
    summary: "y = 1/M Σ yₘ, the mean answer of M networks that differ in initial values and batches",
    source: "Lakshminarayanan, Pritzel and Blundell, \"Simple and Scalable Predictive Uncertainty Estimation Using Deep Ensembles\", 2017, without adversarial training",
    dimensions: &[MEMBERS, STEPS],
    combination: Combination::Outputs,
    trainings: |run, settings| Ok(alike(run, settings, Start::Scratch, false)),
};
