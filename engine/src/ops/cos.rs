//! `cos`: cosine, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = cos x
pub static COS: Unary = Unary {
    info: OpInfo {
        name: "cos",
        formula: "y = cos x",
        gradient: Gradient::Product("-c · sin x"),
        rule: None,
        kernels: || vec![elementwise::COS.status()],
        cases: || unary_cases(Draw::Uniform(-4.0, 4.0), |graph, x| graph.cos(x[0])),
    },
    kernel: &elementwise::COS,
    flops: 1,
    vjp: |graph, vjp| {
        let sin = graph.sin(vjp.inputs[0])?;
        let product = graph.mul(vjp.cotangent, sin)?;
        graph.neg(product)
    },
};

impl Graph {
    /// The cosine of each element: y = cos x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn cos(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&COS, &[x])
    }
}
