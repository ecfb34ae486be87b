//! `add`: sum of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = a + b
pub static ADD: Binary = Binary {
    info: OpInfo {
        name: "add",
        formula: "y = a + b",
        gradient: Gradient::Product("c to both"),
        rule: None,
        kernels: || vec![elementwise::ADD.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.add(x[0], x[1])),
    },
    kernel: &elementwise::ADD,
    vjp: |_, vjp| Ok([Some(vjp.cotangent), Some(vjp.cotangent)]),
};

impl Graph {
    /// y = a + b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn add(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&ADD, &[a, b])
    }
}
