//! `sum`: the sum over some dimensions.

use super::reduction::{Reduced, Reduction};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw, Gradient, OpInfo};
use speck_kernels::reduce;

/// y = Σ x over some axes, which are dropped.
pub static SUM: Reduction = Reduction {
    info: OpInfo {
        name: "sum",
        formula: "y = Σ x over the axes, which are dropped",
        gradient: Gradient::Product("c repeated along the axes"),
        rule: Some("an empty sum is 0; the order of summation is fixed by the shape alone"),
        kernels: || vec![reduce::tiles::SUM_TILES.status(), reduce::SUM.status()],
        cases: || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![
                Case::new("rows", &[(&[5, 9], draw)], |graph, x| {
                    let x = graph.square(x[0])?;
                    graph.sum(x, &[1])
                }),
                Case::new("columns", &[(&[9, 5], draw)], |graph, x| graph.sum(x[0], &[0])),
                Case::new("batch and space", &[(&[3, 2, 2, 3], draw)], |graph, x| {
                    graph.sum(x[0], &[0, 2, 3])
                }),
                Case::new("all", &[(&[3, 3], draw)], |graph, x| graph.sum(x[0], &[0, 1])),
                Case::new("few rows", &[(&[2, 9], draw)], |graph, x| graph.sum(x[0], &[0])),
                Case::new("of nothing", &[(&[0, 2], draw)], |graph, x| graph.sum(x[0], &[0])),
                Case::new("to nothing", &[(&[0, 2], draw)], |graph, x| graph.sum(x[0], &[1])),
            ]
        },
    },
    kernel: &reduce::SUM,
    vjp: |graph, vjp, axes| {
        let shape = graph.shape(vjp.inputs[0]);
        let kept = graph.restore_axes(vjp.cotangent, &shape, axes)?;
        graph.expand(kept, &shape)
    },
};

impl Graph {
    /// The sum over `axes`, which are dropped; over none, `x` itself.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn sum(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        if axes.is_empty() {
            return Ok(x);
        }
        self.append(Reduced { op: &SUM, axes: axes.to_vec() }, &[x])
    }
}
