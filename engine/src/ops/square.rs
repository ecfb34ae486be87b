//! `square`: square, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = x²
pub static SQUARE: Unary = Unary {
    info: OpInfo {
        name: "square",
        formula: "y = x²",
        gradient: Gradient::Product("2 c x"),
        rule: None,
        kernels: || vec![elementwise::SQUARE.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.square(x[0])),
    },
    kernel: &elementwise::SQUARE,
    flops: 1,
    vjp: |graph, vjp| {
        let double = graph.scale(vjp.cotangent, 2.0)?;
        graph.mul(double, vjp.inputs[0])
    },
};

impl Graph {
    /// The square of each element: y = x².
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn square(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SQUARE, &[x])
    }
}
