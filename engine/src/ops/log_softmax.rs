//! `log_softmax`: the logarithm of the softmax along a dimension.

use super::reduction::{Normalization, Normalized};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw, Gradient, OpInfo};
use speck_kernels::softmax;

/// A primitive because the maximum is subtracted first and the three passes
/// over a row are one kernel.
pub static LOG_SOFTMAX: Normalization = Normalization {
    info: OpInfo {
        name: "log_softmax",
        formula: "yᵢ = xᵢ - ln Σⱼ exp xⱼ along an axis",
        gradient: Gradient::Product("c - exp y · Σ c"),
        rule: Some(
            "a NaN, a +infinity, or nothing but -infinity in a row gives NaN; -infinity beside finite values stays -infinity",
        ),
        kernels: || vec![softmax::LOG_SOFTMAX.status()],
        cases: || {
            let draw = Draw::Uniform(-2.0, 2.0);
            vec![
                Case::new("rows", &[(&[3, 7], draw)], |graph, x| {
                    let x = graph.sin(x[0])?;
                    graph.log_softmax(x, 1)
                }),
                Case::new("columns", &[(&[5, 3], draw)], |graph, x| graph.log_softmax(x[0], 0)),
                Case::new("long row", &[(&[2, 67], draw)], |graph, x| graph.log_softmax(x[0], 1)),
                Case::new("empty", &[(&[0, 4], draw)], |graph, x| graph.log_softmax(x[0], 1)),
            ]
        },
    },
    kernel: &softmax::LOG_SOFTMAX,
    vjp: |graph, vjp, axis| {
        let shape = graph.shape(vjp.inputs[0]);
        let total = graph.sum(vjp.cotangent, &[axis])?;
        let total = graph.restore_axes(total, &shape, &[axis])?;
        let probability = graph.exp(vjp.output)?;
        let weighted = graph.mul(probability, total)?;
        graph.sub(vjp.cotangent, weighted)
    },
};

impl Graph {
    /// yᵢ = xᵢ - ln Σⱼ exp xⱼ along an axis.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn log_softmax(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        self.append(Normalized { op: &LOG_SOFTMAX, axis }, &[x])
    }
}
