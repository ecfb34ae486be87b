//! `sin`: sine, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = sin x
pub static SIN: Unary = Unary {
    info: OpInfo {
        name: "sin",
        formula: "y = sin x",
        gradient: Gradient::Product("c · cos x"),
        rule: None,
        kernels: || vec![elementwise::SIN.status()],
        cases: || unary_cases(Draw::Uniform(-4.0, 4.0), |graph, x| graph.sin(x[0])),
    },
    kernel: &elementwise::SIN,
    flops: 1,
    vjp: |graph, vjp| {
        let cos = graph.cos(vjp.inputs[0])?;
        graph.mul(vjp.cotangent, cos)
    },
};

impl Graph {
    /// The sine of each element: y = sin x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sin(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SIN, &[x])
    }
}
