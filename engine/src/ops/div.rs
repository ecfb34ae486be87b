//! `div`: quotient of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = a / b
pub static DIV: Binary = Binary {
    info: OpInfo {
        name: "div",
        formula: "y = a / b",
        gradient: Gradient::Product("c / b to a, -c · y / b to b"),
        rule: Some("b = 0 gives ±infinity, or NaN for 0/0"),
        kernels: || vec![elementwise::DIV.status()],
        cases: || binary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.div(x[0], x[1])),
    },
    kernel: &elementwise::DIV,
    vjp: |graph, vjp| {
        let to_a = graph.div(vjp.cotangent, vjp.inputs[1])?;
        let to_b = vjp.needs[1].then(|| {
            let product = graph.mul(to_a, vjp.output)?;
            graph.neg(product)
        });
        Ok([Some(to_a), to_b.transpose()?])
    },
};

impl Graph {
    /// y = a / b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn div(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&DIV, &[a, b])
    }
}
