//! `softmax`: the softmax along a dimension.

use super::reduction::{Normalization, Normalized};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw, Gradient, OpInfo};
use speck_kernels::softmax;

/// A primitive because the maximum is subtracted first and the three passes
/// over a row are one kernel.
pub static SOFTMAX: Normalization = Normalization {
    info: OpInfo {
        name: "softmax",
        formula: "yᵢ = exp xᵢ / Σⱼ exp xⱼ along an axis",
        gradient: Gradient::Product("y · (c - Σ c · y)"),
        rule: Some(
            "a NaN, a +infinity, or nothing but -infinity in a row gives NaN; -infinity beside finite values has probability 0",
        ),
        kernels: || vec![softmax::SOFTMAX.status()],
        cases: || {
            let draw = Draw::Uniform(-2.0, 2.0);
            vec![
                Case::new("rows", &[(&[3, 7], draw)], |graph, x| {
                    let x = graph.sin(x[0])?;
                    graph.softmax(x, 1)
                }),
                Case::new("columns", &[(&[5, 3], draw)], |graph, x| graph.softmax(x[0], 0)),
                Case::new("long row", &[(&[2, 67], draw)], |graph, x| graph.softmax(x[0], 1)),
                Case::new("empty", &[(&[0, 4], draw)], |graph, x| graph.softmax(x[0], 1)),
            ]
        },
    },
    kernel: &softmax::SOFTMAX,
    vjp: |graph, vjp, axis| {
        let shape = graph.shape(vjp.inputs[0]);
        let product = graph.mul(vjp.cotangent, vjp.output)?;
        let total = graph.sum(product, &[axis])?;
        let total = graph.restore_axes(total, &shape, &[axis])?;
        let weighted = graph.mul(vjp.output, total)?;
        graph.sub(product, weighted)
    },
};

impl Graph {
    /// yᵢ = exp xᵢ / Σⱼ exp xⱼ along an axis.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn softmax(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        self.append(Normalized { op: &SOFTMAX, axis }, &[x])
    }
}
