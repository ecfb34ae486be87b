//! `expand`: a broadcast written out.

use super::permute::read_strided;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::shape::{broadcast, broadcast_strides};
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// x stretched to a larger shape.
#[derive(Debug)]
struct Expand {
    shape: Vec<usize>,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: super::EXPAND,
    formula: "y = x repeated along dimensions of size 1 and new leading ones",
    gradient: Gradient::Product("c summed over the repetitions"),
    rule: None,
    kernels: || vec![movement::READ_STRIDED.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("middle", &[(&[2, 1, 3], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.expand(x, &[2, 4, 3])
            }),
            Case::new("new dimensions", &[(&[3], draw)], |graph, x| graph.expand(x[0], &[2, 2, 3])),
            Case::new("scalar", &[(&[], draw)], |graph, x| graph.expand(x[0], &[5])),
            Case::new("to empty", &[(&[1, 2], draw)], |graph, x| graph.expand(x[0], &[0, 2])),
        ]
    },
};

impl Op for Expand {
    fn form(&self) -> Form<'_> {
        Form::Expand
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("shape", super::sizes(&self.shape))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        if broadcast(&inputs[0].shape, &self.shape).as_ref() != Some(&self.shape) {
            return Err(format!("does not broadcast to [{}]", super::sizes(&self.shape)));
        }
        Ok(inputs[0].with_shape(&self.shape))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.sum_to(vjp.cotangent, &graph.shape(vjp.inputs[0]))?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        if output.dtype.storage().is_some() {
            return Ok(super::routine("copy", "portable", 0, |call| {
                let x = call.input_stored(0);
                call.into_output_stored().copy_from_slice(x);
            }));
        }
        let strides = broadcast_strides(&inputs[0].shape, &output.shape);
        read_strided(output, strides, 0, choice)
    }
    /// As a copy only.
    fn takes_stored(&self, inputs: &[&TensorType]) -> bool {
        inputs.iter().all(|input| input.shape == self.shape)
    }
    fn cut(&self, inputs: &[&TensorType], output: &TensorType) -> Option<Vec<bool>> {
        let same = inputs[0].rank() == output.rank() && inputs[0].shape[0] == output.shape[0];
        Some(vec![same])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        if output.dtype.storage().is_some() {
            // A copy of words, of two elements each.
            let words = [output.elements().div_ceil(2)];
            return movement::gpu::read(&Strided { sizes: &words, strides: &[1], offset: 0 });
        }
        let strides = broadcast_strides(&inputs[0].shape, &output.shape);
        movement::gpu::read(&Strided { sizes: &output.shape, strides: &strides, offset: 0 })
    }
}

impl Graph {
    /// `x` broadcast to `shape`.
    ///
    /// # Errors
    /// The shapes do not broadcast to `shape`.
    #[track_caller]
    pub fn expand(&self, x: NodeId, shape: &[usize]) -> Result<NodeId, GraphError> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.append(Expand { shape: shape.to_vec() }, &[x])
    }

    /// `x` in memory of its own.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn copy(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(Expand { shape: self.shape(x) }, &[x])
    }
}
