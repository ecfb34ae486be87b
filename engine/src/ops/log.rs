//! `log`: natural logarithm, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = ln x
pub static LOG: Unary = Unary {
    info: OpInfo {
        name: "log",
        formula: "y = ln x",
        gradient: Gradient::Product("c / x"),
        rule: Some("x = 0 gives -infinity, x < 0 gives NaN"),
        kernels: || vec![elementwise::LOG.status()],
        cases: || unary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.log(x[0])),
    },
    kernel: &elementwise::LOG,
    flops: 1,
    vjp: |graph, vjp| graph.div(vjp.cotangent, vjp.inputs[0]),
};

impl Graph {
    /// The natural logarithm of each element: y = ln x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn log(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&LOG, &[x])
    }
}
