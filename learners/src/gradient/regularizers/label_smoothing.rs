//! Targets that leave something to every position.

use super::{Regularizer, RegularizerEntry, unless_zero};
use crate::gradient::losses;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: RegularizerEntry = RegularizerEntry {
    name: "label_smoothing",
    summary: "t ← (1 - ε) t + ε Σ t / 64 of each axis: the sum over the axis stays",
    source: "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, \"Rethinking the Inception Architecture for Computer Vision\", 2016, section 7",
    dimensions: &[Dimension::float(
        "label_smoothing",
        "share of the targets that is spread over all positions of the axis: ε; 0 for none",
        (0.0, 1.0),
        0.0,
    )],
    make: |settings| {
        unless_zero(settings.float("label_smoothing"), |share| LabelSmoothing { share })
    },
};

struct LabelSmoothing {
    share: f64,
}

impl Regularizer for LabelSmoothing {
    fn targets(&self, graph: &Graph, targets: NodeId) -> Result<NodeId, GraphError> {
        let mut axes = losses::axes(graph, targets)?;
        for axis in &mut axes {
            let shape = graph.shape(*axis);
            let mean = graph.reshape(graph.mean(*axis, &[1])?, &[shape[0], 1])?;
            let sharp = graph.scale(*axis, 1.0 - self.share)?;
            *axis = graph.add(sharp, graph.scale(mean, self.share)?)?;
        }
        graph.concat(&axes, 1)
    }
}
