//! `sub`: difference of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = a - b
pub static SUB: Binary = Binary {
    info: OpInfo {
        name: "sub",
        formula: "y = a - b",
        gradient: Gradient::Product("c to a, -c to b"),
        rule: None,
        kernels: || vec![elementwise::SUB.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.sub(x[0], x[1])),
    },
    kernel: &elementwise::SUB,
    vjp: |graph, vjp| {
        // Where b was stretched there is less to negate after the sum.
        let own = graph.sum_to(vjp.cotangent, &graph.shape(vjp.inputs[1]))?;
        Ok([Some(vjp.cotangent), Some(graph.neg(own)?)])
    },
};

impl Graph {
    /// y = a - b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn sub(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SUB, &[a, b])
    }
}
