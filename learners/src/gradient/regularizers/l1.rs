//! Weights pay for their size.

use super::{Built, Learned, Regularizer, RegularizerEntry, Scene, unless_zero};
use speck_engine::NodeId;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "l1",
    summary: "loss + λ Σ |w| over weights of two dimensions and more; with l2 beside it the elastic net",
    source: "Tibshirani, \"Regression Shrinkage and Selection via the Lasso\", 1996; Zou and Hastie, \"Regularization and variable selection via the elastic net\", 2005; by subgradient: the slope at 0 is 0",
    dimensions: &[Dimension::float(
        "l1",
        "what the sum of the weights' sizes is multiplied by: λ; 0 for none",
        (0.0, 1e6),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("l1"), |weight| L1 { weight }),
};

struct L1 {
    weight: f64,
}

impl Regularizer for L1 {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        let graph = scene.graph;
        of.weights(graph).try_fold(value, |value, weight| {
            graph.add_scaled(value, graph.sum_all(graph.abs(weight)?)?, self.weight)
        })
    }

    fn leaves_rows(&self) -> bool {
        false
    }
}
