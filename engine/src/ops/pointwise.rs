//! What all element-wise ops share: broadcasting, price, lowering, cases.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::program::Pointwise;
use crate::shape::{TensorType, broadcast, broadcast_strides};
use speck_kernels::elementwise;
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, Kernel, KernelError};
use std::fmt;

/// An op with one input that works element by element.
pub struct Unary {
    pub(super) info: OpInfo,
    pub(super) kernel: &'static Kernel<elementwise::Unary>,
    /// Operations an element.
    pub(super) flops: usize,
    pub(super) vjp: fn(&Graph, &Vjp<'_>) -> Result<NodeId, GraphError>,
}

/// An op with two inputs that works element by element, with broadcasting.
pub struct Binary {
    pub(super) info: OpInfo,
    pub(super) kernel: &'static Kernel<elementwise::Binary>,
    /// The cotangents in the shape of the output; they are summed over
    /// stretched dimensions afterwards.
    pub(super) vjp: fn(&Graph, &Vjp<'_>) -> Result<[Option<NodeId>; 2], GraphError>,
}

impl fmt::Debug for Unary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name)
    }
}

impl Op for &'static Unary {
    fn form(&self) -> Form<'_> {
        Form::Pointwise
    }
    fn info(&self) -> &'static OpInfo {
        &self.info
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        infer(inputs, 1)
    }

    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        if let Gradient::Zero(_) = self.info.gradient {
            return Ok(vec![None]);
        }
        Ok(vec![Some((self.vjp)(graph, vjp)?)])
    }

    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(self.flops * output.elements(), inputs, output)
    }

    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        Ok(Lowered::Pointwise(Pointwise::unary(self.kernel, output.dtype, choice)?))
    }

    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        elementwise::gpu::unary_calls(self.info.name, output.elements())
    }

    fn is_pointwise(&self) -> bool {
        true
    }
}

impl Op for &'static Binary {
    fn form(&self) -> Form<'_> {
        Form::Pointwise
    }
    fn info(&self) -> &'static OpInfo {
        &self.info
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        infer(inputs, 2)
    }

    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let gradients = (self.vjp)(graph, vjp)?;
        gradients
            .into_iter()
            .zip(vjp.inputs)
            .zip(vjp.needs)
            .map(|((gradient, input), needed)| match gradient {
                Some(gradient) if *needed => graph.sum_to(gradient, &graph.shape(*input)).map(Some),
                _ => Ok(None),
            })
            .collect()
    }

    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements(), inputs, output)
    }

    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        Ok(Lowered::Pointwise(Pointwise::binary(self.kernel, output.dtype, choice)?))
    }

    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        binary_calls(self.info.name, inputs, output)
    }

    fn is_pointwise(&self) -> bool {
        true
    }
}

/// The calls for a function of operands stretched to the output.
pub(super) fn binary_calls(
    name: &str,
    inputs: &[&TensorType],
    output: &TensorType,
) -> Result<Calls, String> {
    let steps: Vec<_> =
        inputs.iter().map(|input| broadcast_strides(&input.shape, &output.shape)).collect();
    let at = |operand: usize, axis: usize| steps.get(operand).map_or(0, |own| own[axis] as usize);
    let stretched: Vec<_> = (0..output.rank())
        .map(|axis| (output.shape[axis], std::array::from_fn(|operand| at(operand, axis))))
        .collect();
    elementwise::gpu::binary_calls(name, &stretched)
}

/// The broadcast type of floating-point inputs of one element type.
pub(super) fn infer(inputs: &[&TensorType], arity: usize) -> Result<TensorType, String> {
    super::arity(inputs, arity)?;
    let first = inputs[0];
    let mut shape = first.shape.clone();
    for input in inputs {
        if !input.dtype.is_float() || input.dtype != first.dtype {
            return Err("inputs must be floating-point and of one element type".to_owned());
        }
        shape =
            broadcast(&shape, &input.shape).ok_or("the shapes of the inputs do not broadcast")?;
    }
    Ok(first.with_shape(&shape))
}

/// The cotangent to whichever input `wins(a, b)` says, half to each at ties.
pub(super) fn share_by(
    graph: &Graph,
    vjp: &Vjp<'_>,
    wins: impl Fn(NodeId, NodeId) -> Result<NodeId, GraphError>,
) -> Result<[Option<NodeId>; 2], GraphError> {
    let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
    let tie = graph.equal(a, b)?;
    let half = graph.scale(tie, 0.5)?;
    let share = |winner| {
        let weight = graph.add(winner, half)?;
        graph.mul(vjp.cotangent, weight)
    };
    Ok([Some(share(wins(a, b)?)?), Some(share(wins(b, a)?)?)])
}

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

/// The cases of an op with one input.
pub(super) fn unary_cases(draw: Draw, build: Build) -> Vec<Case> {
    vec![
        Case::new("matrix", &[(&[3, 5], draw)], build),
        Case::new("scalar", &[(&[], draw)], build),
        Case::new("over a vector register", &[(&[37], draw)], build),
        Case::new("empty", &[(&[0, 2], draw)], build),
    ]
}

/// The cases of an op with two inputs, with every kind of broadcasting.
pub(super) fn binary_cases(draw: Draw, build: Build) -> Vec<Case> {
    vec![
        Case::new("equal shapes", &[(&[3, 7], draw), (&[3, 7], draw)], build),
        Case::new("scalar right", &[(&[2, 9], draw), (&[], draw)], build),
        Case::new("scalar left", &[(&[], draw), (&[19], draw)], build),
        Case::new("row", &[(&[4, 6], draw), (&[6], draw)], build),
        Case::new("channel", &[(&[2, 3, 2, 2], draw), (&[1, 3, 1, 1], draw)], build),
        Case::new("both stretch", &[(&[3, 1, 2], draw), (&[4, 1], draw)], build),
        Case::new("empty", &[(&[0, 3], draw), (&[1, 3], draw)], build),
    ]
}
