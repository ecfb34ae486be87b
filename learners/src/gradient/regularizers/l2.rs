//! Weights pay for their squares.

use super::{Built, Learned, Regularizer, RegularizerEntry, Scene, unless_zero};
use speck_engine::NodeId;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "l2",
    summary: "loss + ½ λ Σ w² over weights of two dimensions and more; an optimizer's weight_decay acts on all weights, and does not show in the loss",
    source: "Hoerl and Kennard, \"Ridge Regression\", 1970; Krogh and Hertz, \"A Simple Weight Decay Can Improve Generalization\", 1991",
    dimensions: &[Dimension::float(
        "l2",
        "what half the sum of the weights' squares is multiplied by: λ; 0 for none",
        (0.0, 1e6),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("l2"), |weight| L2 { weight }),
};

struct L2 {
    weight: f64,
}

impl Regularizer for L2 {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        let graph = scene.graph;
        of.weights(graph).try_fold(value, |value, weight| {
            let sum = graph.sum_all(graph.square(weight)?)?;
            graph.add_scaled(value, sum, 0.5 * self.weight)
        })
    }

    fn leaves_rows(&self) -> bool {
        false
    }
}
