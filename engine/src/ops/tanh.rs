//! `tanh`: hyperbolic tangent, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = tanh x
pub static TANH: Unary = Unary {
    info: OpInfo {
        name: "tanh",
        formula: "y = tanh x",
        gradient: Gradient::Product("c (1 - y²)"),
        rule: None,
        kernels: || vec![elementwise::TANH.status()],
        cases: || unary_cases(Draw::Uniform(-2.0, 2.0), |graph, x| graph.tanh(x[0])),
    },
    kernel: &elementwise::TANH,
    flops: 1,
    vjp: |graph, vjp| {
        let square = graph.square(vjp.output)?;
        let one = graph.scalar(1.0)?;
        let slope = graph.sub(one, square)?;
        graph.mul(vjp.cotangent, slope)
    },
};

impl Graph {
    /// The hyperbolic tangent of each element: y = tanh x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn tanh(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&TANH, &[x])
    }
}
