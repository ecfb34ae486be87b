//! `floor`: largest integer not above, element by element.

use super::pointwise::{Unary, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = ⌊x⌋
pub static FLOOR: Unary = Unary {
    info: OpInfo {
        name: "floor",
        formula: "y = ⌊x⌋",
        gradient: Gradient::Zero("the floor is constant except at integers"),
        rule: Some("at an integer the value is the integer itself"),
        kernels: || vec![elementwise::FLOOR.status()],
        cases: || unary_cases(Draw::Distinct, |graph, x| graph.floor(x[0])),
    },
    kernel: &elementwise::FLOOR,
    flops: 1,
    vjp: |graph, vjp| graph.constant_like(vjp.inputs[0], 0.0),
};

impl Graph {
    /// The largest integer not above of each element: y = ⌊x⌋.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn floor(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&FLOOR, &[x])
    }
}
