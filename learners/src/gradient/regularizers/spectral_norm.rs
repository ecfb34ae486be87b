//! A bound for how much a layer can stretch its input.

use super::{Built, Regularizer, RegularizerEntry};
use crate::gradient::update::Update;
use speck_engine::{Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "spectral_norm",
    summary: "after each update W ← W min(1, c / σ), σ the largest singular value of a weight as a matrix [outputs, the rest]: v ← Wᵀu / ‖Wᵀu‖, u ← Wv / ‖Wv‖, σ = ‖Wv‖; u is kept from update to update",
    source: "Gouk, Frank, Pfahringer and Cree, \"Regularisation of Neural Networks by Enforcing Lipschitz Continuity\", 2018, algorithm 2; the power iteration with a vector that is kept: Miyato et al., \"Spectral Normalization for Generative Adversarial Networks\", 2018. σ is found from below",
    dimensions: &[
        Dimension::float(
            "spectral_norm",
            "largest singular value of a layer's weights: c; 0 for any",
            (0.0, 1e6),
            0.0,
        ),
        Dimension::int("spectral_iterations", "steps of the power iteration", (1, 1000), 1),
    ],
    make: |settings| match settings.float("spectral_norm") {
        0.0 => Ok(None),
        most => {
            let iterations = settings.usize("spectral_iterations");
            Ok(Some(Box::new(SpectralNorm { most, iterations })))
        }
    },
};

struct SpectralNorm {
    most: f64,
    iterations: usize,
}

/// What a length is at least, so that a weight of zeros stays one.
const SMALLEST: f64 = 1e-12;

impl Regularizer for SpectralNorm {
    fn constrained(&self, update: &Update<'_>, name: &str, weight: NodeId) -> Built {
        let graph = update.graph;
        let shape = graph.shape(weight);
        let rest = shape[1..].iter().product();
        let matrix = graph.reshape(weight, &[shape[0], rest])?;
        let size = |x: NodeId| graph.maximum(update.norm(x)?, graph.scalar(SMALLEST)?);
        let drawn = Initial::Normal { deviation: 1.0 };
        let kept = update.slot("singular", name, &[shape[0], 1], drawn)?;
        let (mut u, mut largest) = (kept, graph.scalar(0.0)?);
        for _ in 0..self.iterations {
            let v = graph.matmul_with(matrix, u, true, false)?;
            let v = graph.div(v, size(v)?)?;
            let stretched = graph.matmul(matrix, v)?;
            largest = size(stretched)?;
            u = graph.div(stretched, largest)?;
        }
        graph.update(kept, u)?;
        let most = graph.scalar(self.most)?;
        graph.mul(weight, graph.div(most, graph.maximum(largest, most)?)?)
    }

    fn leaves_rows(&self) -> bool {
        false
    }

    fn is_of_the_loss(&self) -> bool {
        false
    }
}
