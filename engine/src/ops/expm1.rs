//! `expm1`: exponential less one, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = eˣ - 1
pub static EXPM1: Unary = Unary {
    info: OpInfo {
        name: "expm1",
        formula: "y = eˣ - 1, precise around 0",
        gradient: Gradient::Product("c · eˣ"),
        rule: None,
        kernels: || vec![elementwise::EXPM1.status()],
        cases: || unary_cases(Draw::Uniform(-2.0, 2.0), |graph, x| graph.expm1(x[0])),
    },
    kernel: &elementwise::EXPM1,
    flops: 1,
    vjp: |graph, vjp| {
        // Not y + 1, which is 0 long before eˣ is.
        let slope = graph.exp(vjp.inputs[0])?;
        graph.mul(vjp.cotangent, slope)
    },
};

impl Graph {
    /// The exponential of each element less one, precise around 0: y = eˣ - 1.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn expm1(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&EXPM1, &[x])
    }
}
