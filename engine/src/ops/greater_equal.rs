//! `greater_equal`: comparison of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 if a ≥ b, else 0
pub static GREATER_EQUAL: Binary = Binary {
    info: OpInfo {
        name: "greater_equal",
        formula: "y = 1 if a ≥ b, else 0",
        gradient: Gradient::Zero("a comparison is constant except at ties"),
        rule: Some("a comparison with NaN is 0"),
        kernels: || vec![elementwise::GREATER_EQUAL.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.greater_equal(x[0], x[1])),
    },
    kernel: &elementwise::GREATER_EQUAL,
    vjp: |_, _| Ok([None, None]),
};

impl Graph {
    /// y = 1 if a ≥ b, else 0, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn greater_equal(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&GREATER_EQUAL, &[a, b])
    }
}
