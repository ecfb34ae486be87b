//! `abs`: absolute value, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = |x|
pub static ABS: Unary = Unary {
    info: OpInfo {
        name: "abs",
        formula: "y = |x|",
        gradient: Gradient::Product("c · sign(x)"),
        rule: Some("the derivative at 0 is sign(0) = 0"),
        kernels: || vec![elementwise::ABS.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.abs(x[0])),
    },
    kernel: &elementwise::ABS,
    flops: 1,
    vjp: |graph, vjp| {
        let sign = graph.sign(vjp.inputs[0])?;
        graph.mul(vjp.cotangent, sign)
    },
};

impl Graph {
    /// The absolute value of each element: y = |x|.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn abs(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&ABS, &[x])
    }
}
