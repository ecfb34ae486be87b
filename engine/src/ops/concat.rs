//! `concat`: tensors one after the other along a dimension.

use super::moved_half;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::shape::contiguous_strides;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// The inputs one after the other along an axis.
#[derive(Debug)]
struct Concat {
    axis: usize,
    /// Whether elements are stored in 16 bits.
    stored: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "concat",
    formula: "y = x₁, x₂, … one after the other along an axis",
    gradient: Gradient::Product("to each input its range of c"),
    rule: None,
    kernels: || vec![movement::WRITE_STRIDED.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("channels", &[(&[2, 3, 2], draw), (&[2, 1, 2], draw)], |graph, x| {
                let first = graph.square(x[0])?;
                graph.concat(&[first, x[1]], 1)
            }),
            Case::new("three", &[(&[2], draw), (&[0], draw), (&[3], draw)], |graph, x| {
                graph.concat(x, 0)
            }),
        ]
    },
};

impl Op for Concat {
    fn form(&self) -> Form<'_> {
        if self.stored { Form::Other } else { Form::Concat(self.axis) }
    }
    fn info(&self) -> &'static OpInfo {
        if self.stored { &moved_half::CONCAT } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let first = inputs.first().ok_or("takes at least one input")?;
        if self.axis >= first.rank() {
            return Err(format!("axis {} does not exist", self.axis));
        }
        let mut output = (*first).clone();
        output.shape[self.axis] = 0;
        for input in inputs {
            let mut rest = (*input).clone();
            if rest.rank() == output.rank() {
                rest.shape[self.axis] = output.shape[self.axis];
            }
            if rest.dtype != output.dtype {
                return Err(format!("one input is {} and another {}", output.dtype, rest.dtype));
            }
            if rest != output {
                return Err(format!("sizes differ outside axis {}", self.axis));
            }
            output.shape[self.axis] += input.shape[self.axis];
        }
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let mut start = 0;
        let mut gradients = Vec::new();
        for (input, needed) in vjp.inputs.iter().zip(vjp.needs) {
            let length = graph.shape(*input)[self.axis];
            let part = || graph.narrow(vjp.cotangent, self.axis, start, 1, length);
            gradients.push(needed.then(part).transpose()?);
            start += length;
        }
        Ok(gradients)
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
        let strides = contiguous_strides(&output.shape);
        let mut start = 0;
        let mut parts = Vec::new();
        for input in inputs {
            parts.push((input.shape.clone(), start * strides[self.axis] as usize));
            start += input.shape[self.axis];
        }
        if output.dtype.storage().is_some() {
            let variant = movement::half::WRITE_STRIDED_HALF.select::<f32>(choice)?;
            let run = variant.run;
            return Ok(super::routine("write_strided_half", variant.name, 0, move |call| {
                let inputs: [&[u16]; MOST] =
                    std::array::from_fn(
                        |i| {
                            if i < parts.len() { call.input_stored(i) } else { &[] }
                        },
                    );
                let out = call.into_output_stored();
                for ((sizes, offset), x) in parts.iter().zip(inputs) {
                    let layout = Strided { sizes, strides: &strides, offset: *offset };
                    // SAFETY: strides and offsets come from the shapes.
                    unsafe { run(&layout, x, out) };
                }
            }));
        }
        with_real!(output.dtype, T => {
            let variant = movement::WRITE_STRIDED.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("write_strided", variant.name, 0, move |call| {
                let inputs: [&[T]; MOST] =
                    std::array::from_fn(|i| if i < parts.len() { call.input_bits(i) } else { &[] });
                let out = call.into_output_bits::<T>();
                for ((sizes, offset), x) in parts.iter().zip(inputs) {
                    let layout = Strided { sizes, strides: &strides, offset: *offset };
                    // SAFETY: strides and offsets come from the shapes.
                    unsafe { run(&layout, x, out) };
                }
            }))
        })
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn cut(&self, inputs: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true; inputs.len()])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let strides = contiguous_strides(&output.shape);
        let mut start = 0;
        let mut all = Calls::default();
        for (number, input) in inputs.iter().enumerate() {
            let offset = start * strides[self.axis] as usize;
            let layout = Strided { sizes: &input.shape, strides: &strides, offset };
            all.calls.extend(movement::gpu::write(&layout, number)?.calls);
            start += input.shape[self.axis];
        }
        super::shaded(inputs, output, all)
    }
}

/// Inputs of one op; longer lists are joined in stages.
const MOST: usize = 16;

impl Graph {
    /// The `parts` one after the other along dimension `axis`.
    ///
    /// # Errors
    /// No parts, or sizes that differ outside `axis`.
    #[track_caller]
    pub fn concat(&self, parts: &[NodeId], axis: usize) -> Result<NodeId, GraphError> {
        let stored = self.type_of_stored(parts).is_some();
        if parts.len() <= MOST {
            return self.append(Concat { axis, stored }, parts);
        }
        let mut stages = Vec::new();
        for chunk in parts.chunks(MOST) {
            stages.push(self.append(Concat { axis, stored }, chunk)?);
        }
        self.concat(&stages, axis)
    }
}
