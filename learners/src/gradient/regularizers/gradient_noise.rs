//! Noise on gradients.

use super::{Descent, Regularizer, RegularizerEntry};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "gradient_noise",
    summary: "g ← g + n √(η / (1 + t)^γ), n normal, t the updates so far; behind clipping",
    source: "Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach and Martens, \"Adding Gradient Noise Improves Learning for Very Deep Networks\", 2015",
    dimensions: &[
        Dimension::float(
            "gradient_noise",
            "variance of the noise in the first update: η (the paper: 0.01 to 1); 0 for none",
            (0.0, 1e6),
            0.0,
        ),
        Dimension::float("gradient_noise_decay", "how fast it falls: γ", (0.0, 10.0), 0.55),
    ],
    make: |settings| match settings.float("gradient_noise") {
        0.0 => Ok(None),
        variance => {
            let decay = settings.float("gradient_noise_decay");
            Ok(Some(Box::new(GradientNoise { variance, decay })))
        }
    },
};

struct GradientNoise {
    variance: f64,
    decay: f64,
}

impl Regularizer for GradientNoise {
    fn gradient(
        &self,
        Descent(site): &Descent<'_>,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        // Without a seed there is nothing random: sizes of a step are looked at.
        let Some([seed, step]) = site.random else { return Ok(gradient) };
        let (variance, decay) = (self.variance, self.decay);
        let deviation = move |count: u64| (variance / (count as f64).powf(decay)).sqrt();
        let deviation = site.clock("gradient_noise", deviation)?;
        let noise = site.graph.random_normal(&site.graph.shape(gradient), seed, step)?;
        site.graph.add(gradient, site.graph.mul(noise, deviation)?)
    }

    fn leaves_rows(&self) -> bool {
        false
    }

    fn is_of_the_loss(&self) -> bool {
        false
    }
}
