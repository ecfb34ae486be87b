//! `softplus`: softplus, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = ln(1 + eˣ)
pub static SOFTPLUS: Unary = Unary {
    info: OpInfo {
        name: "softplus",
        formula: "y = ln(1 + eˣ)",
        gradient: Gradient::Product("c · sigmoid(x)"),
        rule: None,
        kernels: || vec![elementwise::SOFTPLUS.status()],
        cases: || unary_cases(Draw::Uniform(-3.0, 3.0), |graph, x| graph.softplus(x[0])),
    },
    kernel: &elementwise::SOFTPLUS,
    flops: 3,
    vjp: |graph, vjp| {
        let slope = graph.sigmoid(vjp.inputs[0])?;
        graph.mul(vjp.cotangent, slope)
    },
};

impl Graph {
    /// The softplus of each element: y = ln(1 + eˣ).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn softplus(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SOFTPLUS, &[x])
    }
}
