//! `narrow`: a range of one dimension, with a step.

use super::permute::read_strided;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::shape::contiguous_strides;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// Elements start, start + step, … of one dimension.
#[derive(Debug)]
struct Narrow {
    axis: usize,
    start: usize,
    step: usize,
    length: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "narrow",
    formula: "y[…, i, …] = x[…, start + i · step, …], i < length",
    gradient: Gradient::Product("c embedded in zeros"),
    rule: None,
    kernels: || vec![movement::READ_STRIDED.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("rows", &[(&[6, 3], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.narrow(x, 0, 1, 1, 4)
            }),
            Case::new("stepped columns", &[(&[2, 7], draw)], |graph, x| {
                graph.narrow(x[0], 1, 1, 2, 3)
            }),
            Case::new("nothing", &[(&[2, 3], draw)], |graph, x| graph.narrow(x[0], 1, 3, 1, 0)),
        ]
    },
};

impl Op for Narrow {
    fn form(&self) -> Form<'_> {
        Form::Narrow { axis: self.axis, start: self.start, step: self.step }
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("axis", self.axis.to_string()),
            ("start", self.start.to_string()),
            ("step", self.step.to_string()),
            ("length", self.length.to_string()),
        ]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        super::embed::fits(inputs[0], self.axis, self.start, self.step, self.length)?;
        let mut output = inputs[0].clone();
        output.shape[self.axis] = self.length;
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let size = graph.shape(vjp.inputs[0])[self.axis];
        let gradient = graph.embed(vjp.cotangent, self.axis, self.start, self.step, size)?;
        Ok(vec![Some(gradient)])
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        let bytes = output.bytes() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let mut strides = contiguous_strides(&inputs[0].shape);
        let offset = self.start * strides[self.axis] as usize;
        strides[self.axis] *= self.step as isize;
        read_strided(output, strides, offset, choice)
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let mut strides = contiguous_strides(&inputs[0].shape);
        let offset = self.start * strides[self.axis] as usize;
        strides[self.axis] *= self.step as isize;
        movement::gpu::read(&Strided { sizes: &output.shape, strides: &strides, offset })
    }
}

impl Graph {
    /// The `length` elements of dimension `axis` at `start`, `start + step`, ….
    ///
    /// # Errors
    /// The range leaves the dimension, or `step` is 0.
    #[track_caller]
    pub fn narrow(
        &self,
        x: NodeId,
        axis: usize,
        start: usize,
        step: usize,
        length: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(Narrow { axis, start, step, length }, &[x])
    }
}
