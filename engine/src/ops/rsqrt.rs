//! `rsqrt`: reciprocal square root, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = 1 / √x
pub static RSQRT: Unary = Unary {
    info: OpInfo {
        name: "rsqrt",
        formula: "y = 1 / √x",
        gradient: Gradient::Product("-c · y³ / 2"),
        rule: Some("x = 0 gives infinity, x < 0 gives NaN"),
        kernels: || vec![elementwise::RSQRT.status()],
        cases: || unary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.rsqrt(x[0])),
    },
    kernel: &elementwise::RSQRT,
    flops: 2,
    vjp: |graph, vjp| {
        let square = graph.square(vjp.output)?;
        let cube = graph.mul(square, vjp.output)?;
        let half = graph.scale(vjp.cotangent, -0.5)?;
        graph.mul(half, cube)
    },
};

impl Graph {
    /// The reciprocal square root of each element: y = 1 / √x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn rsqrt(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&RSQRT, &[x])
    }
}
