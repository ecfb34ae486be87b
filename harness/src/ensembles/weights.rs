//! The mean of the weights of networks that came from one.

use super::{Combination, Ensemble, MEMBERS, STEPS, Start, alike};

/// Networks that were trained from different initial values have nothing in common
/// weight by weight; those that go on from one trained network mostly stay where the
/// loss between them is low (Frankle et al., 2020).
pub(super) const ENSEMBLE: Ensemble = Ensemble {
    name: "weights",
    summary: "w = 1/M Σ wₘ, the mean of weights and running statistics of M networks, each trained on from the run's network with batches of its own",
    source: "Wortsman et al., \"Model Soups: Averaging Weights of Multiple Fine-Tuned Models Improves Accuracy without Increasing Inference Time\", 2022, the uniform soup",
    dimensions: &[MEMBERS, STEPS],
    combination: Combination::Weights,
    trainings: |run, settings| Ok(alike(run, settings, Start::Trained, false)),
};
