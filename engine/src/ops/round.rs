//! `round`: nearest integer, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = the integer nearest to x
pub static ROUND: Unary = Unary {
    info: OpInfo {
        name: "round",
        formula: "y = the integer nearest to x",
        gradient: Gradient::Zero("rounding is constant except halfway between integers"),
        rule: Some("halfway between two integers the value is the even one"),
        kernels: || vec![elementwise::ROUND.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.round(x[0])),
    },
    kernel: &elementwise::ROUND,
    flops: 1,
    vjp: |graph, vjp| graph.constant_like(vjp.inputs[0], 0.0),
};

impl Graph {
    /// The integer nearest to each element; halfway between two, the even one.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn round(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&ROUND, &[x])
    }
}
