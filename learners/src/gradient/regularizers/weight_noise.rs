//! Noise on weights.

use super::{Built, Regularizer, RegularizerEntry, Scene, unless_zero};
use speck_engine::NodeId;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "weight_noise",
    summary: "the loss is that at w + d n, n normal, of weights of two dimensions and more; its gradient moves w",
    source: "Murray and Edwards, \"Enhanced MLP Performance and Fault Tolerance Resulting from Synaptic Weight Noise During Training\", 1994; Graves, \"Practical Variational Inference for Neural Networks\", 2011",
    dimensions: &[Dimension::float(
        "weight_noise",
        "standard deviation of the noise: d; 0 for none",
        (0.0, 1e3),
        0.0,
    )],
    make: |settings| {
        unless_zero(settings.float("weight_noise"), |deviation| WeightNoise { deviation })
    },
};

struct WeightNoise {
    deviation: f64,
}

impl Regularizer for WeightNoise {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn weight(&self, scene: &Scene<'_>, weight: NodeId) -> Built {
        let noise = scene.normal(&scene.graph.shape(weight))?;
        scene.graph.add_scaled(weight, noise, self.deviation)
    }

    fn leaves_rows(&self) -> bool {
        false
    }
}
