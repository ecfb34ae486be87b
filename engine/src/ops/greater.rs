//! `greater`: comparison of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 if a > b, else 0
pub static GREATER: Binary = Binary {
    info: OpInfo {
        name: "greater",
        formula: "y = 1 if a > b, else 0",
        gradient: Gradient::Zero("a comparison is constant except at ties"),
        rule: Some("a comparison with NaN is 0"),
        kernels: || vec![elementwise::GREATER.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.greater(x[0], x[1])),
    },
    kernel: &elementwise::GREATER,
    vjp: |_, _| Ok([None, None]),
};

impl Graph {
    /// y = 1 if a > b, else 0, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn greater(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&GREATER, &[a, b])
    }
}
