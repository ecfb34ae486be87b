//! `reciprocal`: reciprocal, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 / x
pub static RECIPROCAL: Unary = Unary {
    info: OpInfo {
        name: "reciprocal",
        formula: "y = 1 / x",
        gradient: Gradient::Product("-c · y²"),
        rule: Some("x = ±0 gives ±infinity"),
        kernels: || vec![elementwise::RECIPROCAL.status()],
        cases: || unary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.reciprocal(x[0])),
    },
    kernel: &elementwise::RECIPROCAL,
    flops: 1,
    vjp: |graph, vjp| {
        let square = graph.square(vjp.output)?;
        let product = graph.mul(vjp.cotangent, square)?;
        graph.neg(product)
    },
};

impl Graph {
    /// The reciprocal of each element: y = 1 / x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn reciprocal(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&RECIPROCAL, &[x])
    }
}
