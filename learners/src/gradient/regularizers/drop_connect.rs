//! Dropout of weights.

use super::{Built, Regularizer, RegularizerEntry, Scene, unless_zero};
use speck_engine::NodeId;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "drop_connect",
    summary: "weights of two dimensions and more are 0 at the probability p and w / (1 - p) else, one draw a step for all samples; predictions are made with w",
    source: "Wan, Zeiler, Zhang, LeCun and Fergus, \"Regularization of Neural Networks using DropConnect\", 2013, which draws for each sample and approximates predictions by sampling",
    dimensions: &[Dimension::float(
        "drop_connect",
        "probability that a weight is dropped: p; 0 for none",
        (0.0, 0.95),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("drop_connect"), |rate| DropConnect { rate }),
};

struct DropConnect {
    rate: f64,
}

impl Regularizer for DropConnect {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn weight(&self, scene: &Scene<'_>, weight: NodeId) -> Built {
        scene.graph.dropout(weight, self.rate, scene.random[0], scene.random[1])
    }

    fn leaves_rows(&self) -> bool {
        false
    }
}
