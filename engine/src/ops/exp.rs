//! `exp`: exponential, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = eˣ
pub static EXP: Unary = Unary {
    info: OpInfo {
        name: "exp",
        formula: "y = eˣ",
        gradient: Gradient::Product("c · y"),
        rule: None,
        kernels: || vec![elementwise::EXP.status()],
        cases: || unary_cases(Draw::Uniform(-2.0, 2.0), |graph, x| graph.exp(x[0])),
    },
    kernel: &elementwise::EXP,
    flops: 1,
    vjp: |graph, vjp| graph.mul(vjp.cotangent, vjp.output),
};

impl Graph {
    /// The exponential of each element: y = eˣ.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn exp(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&EXP, &[x])
    }
}
