//! Stochastic depth.

use super::{Built, Learned, Regularizer, RegularizerEntry, Scene, unless_zero};
use speck_engine::{GraphError, NodeId};
use speck_models::{Dimension, Regularization};
use std::panic::Location;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "drop_path",
    summary: "x + f(x) ← x + b f(x) / (1 - p) at each residual branch, b 0 for a sample at the probability p, else 1",
    source: "Huang, Sun, Liu, Sedra and Weinberger, \"Deep Networks with Stochastic Depth\", 2016, for each sample by itself as Larsson et al., \"FractalNet\", 2017 (DropPath), with one p for all branches",
    dimensions: &[Dimension::float(
        "drop_path",
        "probability that a sample goes past a residual branch: p; 0 for none",
        (0.0, 0.95),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("drop_path"), |rate| DropPath { rate }),
};

struct DropPath {
    rate: f64,
}

impl Regularizer for DropPath {
    fn is_of_the_model(&self) -> bool {
        true
    }

    fn model(&self, regularization: &mut Regularization<'_>) {
        regularization.path = self.rate;
    }

    fn value(&self, _: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        if of.branches > 0 {
            return Ok(value);
        }
        let message = "this model has no residual branch that a sample could go past: \
                       drop_path is for resnet, vit, and residual = \"add\"";
        Err(GraphError {
            op: "drop_path".to_owned(),
            message: message.to_owned(),
            inputs: Vec::new(),
            path: String::new(),
            location: Location::caller(),
        })
    }
}
