//! `sign`: sign, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 if x > 0, -1 if x < 0, 0 if x = 0
pub static SIGN: Unary = Unary {
    info: OpInfo {
        name: "sign",
        formula: "y = 1 if x > 0, -1 if x < 0, 0 if x = 0",
        gradient: Gradient::Zero("the sign is constant except at 0"),
        rule: Some("sign(±0) = 0, sign(NaN) = NaN"),
        kernels: || vec![elementwise::SIGN.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.sign(x[0])),
    },
    kernel: &elementwise::SIGN,
    flops: 1,
    vjp: |graph, vjp| graph.constant_like(vjp.inputs[0], 0.0),
};

impl Graph {
    /// The sign of each element: y = 1 if x > 0, -1 if x < 0, 0 if x = 0.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sign(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SIGN, &[x])
    }
}
