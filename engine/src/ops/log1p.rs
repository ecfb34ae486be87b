//! `log1p`: logarithm of one more, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = ln(1 + x)
pub static LOG1P: Unary = Unary {
    info: OpInfo {
        name: "log1p",
        formula: "y = ln(1 + x), precise around 0",
        gradient: Gradient::Product("c / (1 + x)"),
        rule: Some("x = -1 gives -infinity, x < -1 gives NaN"),
        kernels: || vec![elementwise::LOG1P.status()],
        cases: || unary_cases(Draw::Uniform(-0.5, 2.0), |graph, x| graph.log1p(x[0])),
    },
    kernel: &elementwise::LOG1P,
    flops: 1,
    vjp: |graph, vjp| {
        let one_more = graph.offset(vjp.inputs[0], 1.0)?;
        graph.div(vjp.cotangent, one_more)
    },
};

impl Graph {
    /// The logarithm of one more than each element, precise around 0: y = ln(1 + x).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn log1p(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&LOG1P, &[x])
    }
}
