//! Squared error from bumps around the targets.

use super::{LossEntry, axes};
use crate::predictor::Readout;
use speck_engine::{Graph, GraphError, NodeId, Tensor, TensorType};
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "heat-map",
    summary: "(y - h)², the mean over all outputs, with h at position i the largest t exp(-(i - j)² / 2 d²) of all positions j: a bump of height 1 around each target",
    source: "Tompson, Jain, LeCun and Bregler, \"Joint Training of a Convolutional Network and a Graphical Model for Human Pose Estimation\", 2014; the largest where bumps overlap: Zhou, Wang and Krähenbühl, \"Objects as Points\", 2019",
    readout: Readout::Identity,
    dimensions: &[Dimension::float(
        "heat_map_deviation",
        "width of a bump in pixels: d",
        (0.01, 64.0),
        1.0,
    )],
    build: |settings, graph, outputs, targets| {
        let [rows, columns] = axes(graph, targets)?;
        let deviation = settings.float("heat_map_deviation");
        let maps = [bumps(graph, rows, deviation)?, bumps(graph, columns, deviation)?];
        graph.mean_squared_error(outputs, graph.concat(&maps, 1)?)
    },
};

/// [samples, n] to the same.
fn bumps(graph: &Graph, targets: NodeId, deviation: f64) -> Result<NodeId, GraphError> {
    let [samples, n] = [graph.shape(targets)[0], graph.shape(targets)[1]];
    let bump = |at: usize| {
        let far = (at / n).abs_diff(at % n) as f64 / deviation;
        (-0.5 * far * far).exp()
    };
    let values: Vec<f64> = (0..n * n).map(bump).collect();
    let ty = TensorType::new(graph.float(), &[1, n, n]);
    let bumps = graph.constant(Tensor::new(&ty, &values))?;
    let each = graph.mul(graph.reshape(targets, &[samples, 1, n])?, bumps)?;
    graph.max(each, &[2])
}
