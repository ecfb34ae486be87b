//! `sigmoid`: logistic function, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 / (1 + e⁻ˣ)
pub static SIGMOID: Unary = Unary {
    info: OpInfo {
        name: "sigmoid",
        formula: "y = 1 / (1 + e⁻ˣ)",
        gradient: Gradient::Product("c · y (1 - y)"),
        rule: None,
        kernels: || vec![elementwise::SIGMOID.status()],
        cases: || unary_cases(Draw::Uniform(-3.0, 3.0), |graph, x| graph.sigmoid(x[0])),
    },
    kernel: &elementwise::SIGMOID,
    flops: 3,
    vjp: |graph, vjp| {
        let one = graph.scalar(1.0)?;
        let rest = graph.sub(one, vjp.output)?;
        let slope = graph.mul(vjp.output, rest)?;
        graph.mul(vjp.cotangent, slope)
    },
};

impl Graph {
    /// The logistic function of each element: y = 1 / (1 + e⁻ˣ).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sigmoid(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SIGMOID, &[x])
    }
}
