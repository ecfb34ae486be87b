//! `mul`: product of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = a · b
pub static MUL: Binary = Binary {
    info: OpInfo {
        name: "mul",
        formula: "y = a · b",
        gradient: Gradient::Product("c · b to a, c · a to b"),
        rule: None,
        kernels: || vec![elementwise::MUL.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.mul(x[0], x[1])),
    },
    kernel: &elementwise::MUL,
    vjp: |graph, vjp| {
        let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
        let to_a = vjp.needs[0].then(|| graph.mul(vjp.cotangent, b)).transpose()?;
        let to_b = vjp.needs[1].then(|| graph.mul(vjp.cotangent, a)).transpose()?;
        Ok([to_a, to_b])
    },
};

impl Graph {
    /// y = a · b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn mul(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&MUL, &[a, b])
    }
}
