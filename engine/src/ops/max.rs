//! `max`: the largest element over some dimensions.

use super::reduction::{Reduced, Reduction};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw, Gradient, OpInfo};
use speck_kernels::reduce;

/// y = max x over some axes, which are dropped.
pub static MAX: Reduction = Reduction {
    info: OpInfo {
        name: "max",
        formula: "y = max x over the axes, which are dropped",
        gradient: Gradient::Product("c shared equally among the elements that are the maximum"),
        rule: Some(
            "ties share the cotangent equally (PyTorch's amax); NaN wins; the maximum of nothing is -infinity",
        ),
        kernels: || vec![reduce::MAX.status()],
        cases: || {
            let draw = Draw::Distinct;
            vec![
                Case::new("rows", &[(&[4, 6], draw)], |graph, x| {
                    let x = graph.exp(x[0])?;
                    graph.max(x, &[1])
                }),
                Case::new("space", &[(&[2, 3, 2, 3], draw)], |graph, x| graph.max(x[0], &[2, 3])),
                Case::new("all", &[(&[9], draw)], |graph, x| graph.max(x[0], &[0])),
                Case::new("to nothing", &[(&[0, 3], draw)], |graph, x| graph.max(x[0], &[1])),
            ]
        },
    },
    kernel: &reduce::MAX,
    vjp: |graph, vjp, axes| {
        let x = vjp.inputs[0];
        let shape = graph.shape(x);
        let maximum = graph.restore_axes(vjp.output, &shape, axes)?;
        let ties = graph.equal(x, maximum)?;
        let count = graph.sum(ties, axes)?;
        let share = graph.div(vjp.cotangent, count)?;
        let share = graph.restore_axes(share, &shape, axes)?;
        graph.mul(ties, share)
    },
};

impl Graph {
    /// The maximum over `axes`, which are dropped; over none, `x` itself.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn max(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        if axes.is_empty() {
            return Ok(x);
        }
        self.append(Reduced { op: &MAX, axes: axes.to_vec() }, &[x])
    }
}
