//! A bound for the weights of a unit.

use super::{Built, Regularizer, RegularizerEntry, unless_zero};
use crate::gradient::update::Update;
use speck_engine::NodeId;
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "max_norm",
    summary: "after each update w ← w min(1, c / ‖w‖) for the weights of each output of a layer (of weights of two dimensions and more)",
    source: "Srebro and Shraibman, \"Rank, Trace-Norm and Max-Norm\", 2005; Srivastava et al., \"Dropout\", 2014, section 5.1",
    dimensions: &[Dimension::float(
        "max_norm",
        "largest length of the weights of one output: c; 0 for any",
        (0.0, 1e6),
        0.0,
    )],
    make: |settings| unless_zero(settings.float("max_norm"), |most| MaxNorm { most }),
};

struct MaxNorm {
    most: f64,
}

impl Regularizer for MaxNorm {
    fn constrained(&self, update: &Update<'_>, _: &str, weight: NodeId) -> Built {
        let graph = update.graph;
        let shape = graph.shape(weight);
        let axes: Vec<_> = (1..shape.len()).collect();
        let square = graph.sum(graph.square(weight)?, &axes)?;
        let square = graph.restore_axes(square, &shape, &axes)?;
        // Where it is short enough it stays as it is, to the bit.
        let most = graph.scalar(self.most)?;
        let size = graph.maximum(graph.sqrt(square)?, most)?;
        graph.mul(weight, graph.div(most, size)?)
    }

    fn leaves_rows(&self) -> bool {
        false
    }

    fn is_of_the_loss(&self) -> bool {
        false
    }
}
