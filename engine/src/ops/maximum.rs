//! `maximum`: larger of two of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = max(a, b)
pub static MAXIMUM: Binary = Binary {
    info: OpInfo {
        name: "maximum",
        formula: "y = max(a, b)",
        gradient: Gradient::Product("c to the larger; half to each where equal"),
        rule: Some(
            "ties: each input gets half the cotangent, as in PyTorch; NaN in either input gives NaN",
        ),
        kernels: || vec![elementwise::MAXIMUM.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.maximum(x[0], x[1])),
    },
    kernel: &elementwise::MAXIMUM,
    vjp: |graph, vjp| super::pointwise::share_by(graph, vjp, |a, b| graph.greater(a, b)),
};

impl Graph {
    /// y = max(a, b), element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn maximum(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&MAXIMUM, &[a, b])
    }
}
