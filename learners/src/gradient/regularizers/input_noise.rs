//! Noise on the screen.

use super::{Regularizer, RegularizerEntry, Scene, unless_zero};
use crate::screen::Screen;
use speck_engine::GraphError;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "input_noise",
    summary: "x ← x + d n, n normal, for each value of each pixel; no cut at 0 and 1. Every pixel differs then: a structured program computes all of it",
    source: "Bishop, \"Training with Noise is Equivalent to Tikhonov Regularization\", 1995",
    dimensions: &[Dimension::float(
        "input_noise",
        "standard deviation of the noise: d; 0 for none",
        (0.0, 1e3),
        0.0,
    )],
    make: |settings| {
        unless_zero(settings.float("input_noise"), |deviation| InputNoise { deviation })
    },
};

struct InputNoise {
    deviation: f64,
}

impl Regularizer for InputNoise {
    fn screen(&self, scene: &Scene<'_>, screen: Screen) -> Result<Screen, GraphError> {
        let graph = scene.graph;
        let noise = scene.normal(&graph.shape(screen.image))?;
        let image = graph.add_scaled(screen.image, noise, self.deviation)?;
        Ok(Screen { image, ..screen })
    }
}
