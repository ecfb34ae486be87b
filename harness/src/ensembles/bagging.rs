//! Networks that have each seen a bootstrap sample of the positions.

use super::{Combination, Ensemble, MEMBERS, STEPS, Start, alike, drawn_singly};

pub(super) const ENSEMBLE: Ensemble = Ensemble {
    name: "bagging",
    summary: "y = 1/M Σ yₘ, the mean answer of M networks, each trained on as many positions as there are, drawn from them with replacement",
    source: "Breiman, \"Bagging Predictors\", 1996",
    dimensions: &[MEMBERS, STEPS],
    combination: Combination::Outputs,
    trainings: |run, settings| {
        drawn_singly(run)?;
        Ok(alike(run, settings, Start::Scratch, true))
    },
};
