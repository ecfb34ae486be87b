//! Layer-sequential unit variance.

use super::random::Orthogonal;
use super::{Calibration, Initializer, InitializerEntry, Weights};
use speck_models::Dimension;

pub(super) const ENTRY: InitializerEntry = InitializerEntry {
    name: "lsuv",
    summary: "orthogonal; then, layer by layer, w ← w / √variance of what comes out of the layer for the first batch, until that is within lsuv_tolerance of 1. It is done before the first step and the measurement before it: weights from files or taken over from other training stay as they are",
    source: "Mishkin and Matas, \"All you need is a good init\", 2016, algorithm 1; Tol = 0.1 and T = 10 there",
    dimensions: &[
        Dimension::float("lsuv_tolerance", "how far from 1 a variance may be", (1e-6, 1.0), 0.1),
        Dimension::int("lsuv_iterations", "how often a weight is scaled at most", (1, 1000), 10),
    ],
    make: |settings| {
        Box::new(Lsuv(Calibration {
            tolerance: settings.float("lsuv_tolerance"),
            iterations: settings.usize("lsuv_iterations"),
        }))
    },
};

struct Lsuv(Calibration);

impl Initializer for Lsuv {
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>> {
        Orthogonal { gain: 1.0 }.values(weights)
    }

    fn calibration(&self) -> Option<Calibration> {
        Some(self.0)
    }
}
