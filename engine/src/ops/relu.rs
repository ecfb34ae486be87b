//! `relu`: rectifier, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = max(x, 0)
pub static RELU: Unary = Unary {
    info: OpInfo {
        name: "relu",
        formula: "y = max(x, 0)",
        gradient: Gradient::Product("c where x > 0, else 0"),
        rule: Some("the derivative at 0 is 0; relu(NaN) = NaN"),
        kernels: || vec![elementwise::RELU.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.relu(x[0])),
    },
    kernel: &elementwise::RELU,
    flops: 1,
    vjp: |graph, vjp| {
        let zero = graph.scalar(0.0)?;
        // The output is above 0 where the input is, and what follows has it in
        // memory anyway; of the input nothing need be kept.
        let positive = graph.greater(vjp.output, zero)?;
        graph.mul(vjp.cotangent, positive)
    },
};

impl Graph {
    /// The rectifier of each element: y = max(x, 0).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn relu(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&RELU, &[x])
    }
}
