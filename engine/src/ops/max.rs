//! `max`: the largest element over some dimensions.

use super::sum::{loops, reduced};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::reduce;
use speck_kernels::{Choice, KernelError};

/// The maximum over `axes`, which are dropped.
#[derive(Debug)]
struct Max {
    axes: Vec<usize>,
}

pub(super) static INFO: OpInfo = OpInfo {
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
};

impl Op for Max {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axes", super::sizes(&self.axes))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        reduced(inputs, &self.axes)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let x = vjp.inputs[0];
        let shape = graph.shape(x);
        let maximum = graph.restore_axes(vjp.output, &shape, &self.axes)?;
        let ties = graph.equal(x, maximum)?;
        let count = graph.sum(ties, &self.axes)?;
        let share = graph.div(vjp.cotangent, count)?;
        let share = graph.restore_axes(share, &shape, &self.axes)?;
        Ok(vec![Some(graph.mul(ties, share)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let dims = loops(inputs[0], &self.axes);
        with_real!(output.dtype, T => {
            let variant = reduce::MAX.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("max", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(&dims, x, call.into_output()) };
            }))
        })
    }
}

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
        self.append(Max { axes: axes.to_vec() }, &[x])
    }
}
