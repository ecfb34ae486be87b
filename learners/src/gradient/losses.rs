//! Losses and the readouts that belong to them.

use crate::predictor::Readout;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::SCREEN;

/// What gradient descent minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    CrossEntropy,
    Binary,
    Squared,
}

impl Loss {
    pub const NAMES: &[&str] = &["cross-entropy", "bce", "mse"];

    /// The loss of that name, one of [`Loss::NAMES`].
    pub fn named(name: &str) -> Self {
        match name {
            "bce" => Loss::Binary,
            "mse" => Loss::Squared,
            _ => Loss::CrossEntropy,
        }
    }

    pub fn build(
        self,
        graph: &Graph,
        outputs: NodeId,
        targets: NodeId,
    ) -> Result<NodeId, GraphError> {
        match self {
            Loss::CrossEntropy => graph.axis_cross_entropy(outputs, targets, &SCREEN),
            Loss::Binary => graph.binary_cross_entropy(outputs, targets),
            Loss::Squared => graph.mean_squared_error(outputs, targets),
        }
    }

    pub fn readout(self) -> Readout {
        match self {
            Loss::CrossEntropy => Readout::Softmax,
            Loss::Binary => Readout::Sigmoid,
            Loss::Squared => Readout::Identity,
        }
    }
}
