//! `neg`: negative, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = -x
pub static NEG: Unary = Unary {
    info: OpInfo {
        name: "neg",
        formula: "y = -x",
        gradient: Gradient::Product("-c"),
        rule: None,
        kernels: || vec![elementwise::NEG.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.neg(x[0])),
    },
    kernel: &elementwise::NEG,
    flops: 1,
    vjp: |graph, vjp| graph.neg(vjp.cotangent),
};

impl Graph {
    /// The negative of each element: y = -x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn neg(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&NEG, &[x])
    }
}
