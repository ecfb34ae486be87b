//! `sqrt`: square root, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = √x
pub static SQRT: Unary = Unary {
    info: OpInfo {
        name: "sqrt",
        formula: "y = √x",
        gradient: Gradient::Product("c / (2y)"),
        rule: Some("x < 0 gives NaN; the derivative at 0 is infinite"),
        kernels: || vec![elementwise::SQRT.status()],
        cases: || unary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.sqrt(x[0])),
    },
    kernel: &elementwise::SQRT,
    flops: 1,
    vjp: |graph, vjp| {
        let half = graph.scale(vjp.cotangent, 0.5)?;
        graph.div(half, vjp.output)
    },
};

impl Graph {
    /// The square root of each element: y = √x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sqrt(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&SQRT, &[x])
    }
}
