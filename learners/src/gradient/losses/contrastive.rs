//! Telling the samples of a batch apart.

use super::{LossEntry, axes};
use crate::predictor::Readout;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "contrastive",
    summary: "of each axis, with e = y / ‖y‖, c = t / ‖t‖ of the samples of a batch and s = e cᵀ / temperature: the mean of the cross-entropies of the softmax of s over its columns and over its rows from c cᵀ, normalized likewise; the targets of the other samples are what an output is held against",
    source: "van den Oord, Li and Vinyals, \"Representation Learning with Contrastive Predictive Coding\", 2018; both ways: Radford et al., \"Learning Transferable Visual Models From Natural Language Supervision\", 2021; several that are right: Khosla et al., \"Supervised Contrastive Learning\", 2020",
    readout: Readout::Softmax,
    dimensions: &[Dimension::float(
        "contrastive_temperature",
        "what likenesses are divided by",
        (1e-4, 1e4),
        0.1,
    )],
    build: |settings, graph, outputs, targets| {
        let temperature = settings.float("contrastive_temperature");
        let (outputs, targets) = (axes(graph, outputs)?, axes(graph, targets)?);
        let rows = matched(graph, outputs[0], targets[0], temperature)?;
        let columns = matched(graph, outputs[1], targets[1], temperature)?;
        graph.add(rows, columns)
    },
};

/// What lengths are at least. Beside outputs of any size it is nothing.
const SMALLEST: f64 = 1e-6;

fn matched(
    graph: &Graph,
    outputs: NodeId,
    targets: NodeId,
    temperature: f64,
) -> Result<NodeId, GraphError> {
    let samples = graph.shape(outputs)[0];
    let unit = |x: NodeId| {
        // √(Σ x² + SMALLEST²): its slope is finite at 0 too.
        let square = graph.sum(graph.square(x)?, &[1])?;
        let size = graph.sqrt(graph.offset(square, SMALLEST * SMALLEST)?)?;
        graph.div(x, graph.reshape(size, &[samples, 1])?)
    };
    let (own, codes) = (unit(outputs)?, unit(targets)?);
    let likeness = graph.scale(graph.matmul_with(own, codes, false, true)?, 1.0 / temperature)?;
    let right = graph.matmul_with(codes, codes, false, true)?;
    let mut total = graph.scalar(0.0)?;
    for axis in [0, 1] {
        let mass = graph.maximum(graph.sum(right, &[axis])?, graph.scalar(1e-12)?)?;
        let shape = if axis == 0 { [1, samples] } else { [samples, 1] };
        let wanted = graph.div(right, graph.reshape(mass, &shape)?)?;
        let log = graph.log_softmax(likeness, axis)?;
        total = graph.add(total, graph.sum_all(graph.mul(wanted, log)?)?)?;
    }
    graph.scale(total, -0.5 / samples.max(1) as f64)
}
