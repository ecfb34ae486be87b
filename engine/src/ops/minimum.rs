//! `minimum`: smaller of two of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = min(a, b)
pub static MINIMUM: Binary = Binary {
    info: OpInfo {
        name: "minimum",
        formula: "y = min(a, b)",
        gradient: Gradient::Product("c to the smaller; half to each where equal"),
        rule: Some(
            "ties: each input gets half the cotangent, as in PyTorch; NaN in either input gives NaN",
        ),
        kernels: || vec![elementwise::MINIMUM.status()],
        cases: || binary_cases(Draw::Distinct, |graph, x| graph.minimum(x[0], x[1])),
    },
    kernel: &elementwise::MINIMUM,
    vjp: |graph, vjp| super::pointwise::share_by(graph, vjp, |a, b| graph.greater(b, a)),
};

impl Graph {
    /// y = min(a, b), element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn minimum(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&MINIMUM, &[a, b])
    }
}
