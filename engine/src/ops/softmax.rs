//! `softmax`: the softmax along a dimension.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::softmax;
use speck_kernels::{Choice, KernelError};

/// A primitive because the maximum is subtracted first and the three passes
/// over a row are one kernel.
#[derive(Debug)]
struct Softmax {
    axis: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "softmax",
    formula: "yᵢ = exp xᵢ / Σⱼ exp xⱼ along an axis",
    gradient: Gradient::Product("y · (c - Σ c · y)"),
    rule: Some(
        "a NaN, a +infinity, or nothing but -infinity in a row gives NaN; -infinity beside finite values has probability 0",
    ),
    kernels: || vec![softmax::SOFTMAX.status()],
    cases: || {
        let draw = Draw::Uniform(-2.0, 2.0);
        vec![
            Case::new("rows", &[(&[3, 7], draw)], |graph, x| {
                let x = graph.sin(x[0])?;
                graph.softmax(x, 1)
            }),
            Case::new("columns", &[(&[5, 3], draw)], |graph, x| graph.softmax(x[0], 0)),
            Case::new("long row", &[(&[2, 67], draw)], |graph, x| graph.softmax(x[0], 1)),
            Case::new("empty", &[(&[0, 4], draw)], |graph, x| graph.softmax(x[0], 1)),
        ]
    },
};

impl Op for Softmax {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        if self.axis >= x.rank() {
            return Err(format!("axis {} does not exist", self.axis));
        }
        Ok(x.clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let product = graph.mul(vjp.cotangent, vjp.output)?;
        let total = graph.sum(product, &[self.axis])?;
        let total = graph.restore_axes(total, &shape, &[self.axis])?;
        let weighted = graph.mul(vjp.output, total)?;
        Ok(vec![Some(graph.sub(product, weighted)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(4 * output.elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        with_real!(output.dtype, T => {
            let variant = softmax::SOFTMAX.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("softmax", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(outer, length, inner, x, call.into_output()) };
            }))
        })
    }
}

impl Graph {
    /// yᵢ = exp xᵢ / Σⱼ exp xⱼ along an axis.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn softmax(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        self.append(Softmax { axis }, &[x])
    }
}
