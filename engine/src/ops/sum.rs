//! `sum`: the sum over some dimensions.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::reduce::{self, Dim};
use speck_kernels::{Choice, KernelError};

/// The sum over `axes`, which are dropped.
#[derive(Debug)]
struct Sum {
    axes: Vec<usize>,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "sum",
    formula: "y = Σ x over the axes, which are dropped",
    gradient: Gradient::Product("c repeated along the axes"),
    rule: Some("an empty sum is 0; the order of summation is fixed by the shape alone"),
    kernels: || vec![reduce::SUM.status()],
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
            Case::new("of nothing", &[(&[0, 2], draw)], |graph, x| graph.sum(x[0], &[0])),
            Case::new("to nothing", &[(&[0, 2], draw)], |graph, x| graph.sum(x[0], &[1])),
        ]
    },
};

/// The shape without `axes`, or what is wrong with them.
pub(super) fn reduced(inputs: &[&TensorType], axes: &[usize]) -> Result<TensorType, String> {
    let x = super::one_float(inputs)?;
    let mut seen = vec![false; x.rank()];
    for axis in axes {
        match seen.get_mut(*axis) {
            Some(seen) if !*seen => *seen = true,
            Some(_) => return Err(format!("axis {axis} is named twice")),
            None => return Err(format!("axis {axis} does not exist")),
        }
    }
    let kept = x.shape.iter().zip(seen).filter(|(_, reduced)| !reduced);
    Ok(x.with_shape(&kept.map(|(size, _)| *size).collect::<Vec<_>>()))
}

/// The loops of a reduction, neighbours of one kind merged.
pub(super) fn loops(x: &TensorType, axes: &[usize]) -> Vec<Dim> {
    let dims: Vec<_> = (0..x.rank())
        .map(|axis| Dim { size: x.shape[axis], reduced: axes.contains(&axis) })
        .collect();
    reduce::collapse(&dims)
}

impl Op for Sum {
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
        let shape = graph.shape(vjp.inputs[0]);
        let kept = graph.restore_axes(vjp.cotangent, &shape, &self.axes)?;
        Ok(vec![Some(graph.expand(kept, &shape)?)])
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
            let variant = reduce::SUM.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("sum", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(&dims, x, call.into_output()) };
            }))
        })
    }
}

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
        self.append(Sum { axes: axes.to_vec() }, &[x])
    }
}
