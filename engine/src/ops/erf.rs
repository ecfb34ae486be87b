//! `erf`: error function, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 2/√π ∫₀ˣ exp(-t²) dt
pub static ERF: Unary = Unary {
    info: OpInfo {
        name: "erf",
        formula: "y = 2/√π ∫₀ˣ exp(-t²) dt",
        gradient: Gradient::Product("c · 2/√π · exp(-x²)"),
        rule: None,
        kernels: || vec![elementwise::ERF.status()],
        cases: || unary_cases(Draw::Uniform(-2.0, 2.0), |graph, x| graph.erf(x[0])),
    },
    kernel: &elementwise::ERF,
    flops: 1,
    vjp: |graph, vjp| {
        let square = graph.square(vjp.inputs[0])?;
        let negative = graph.neg(square)?;
        let bell = graph.exp(negative)?;
        let slope = graph.scale(bell, std::f64::consts::FRAC_2_SQRT_PI)?;
        graph.mul(vjp.cotangent, slope)
    },
};

impl Graph {
    /// The error function of each element: y = 2/√π ∫₀ˣ exp(-t²) dt.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn erf(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&ERF, &[x])
    }
}
