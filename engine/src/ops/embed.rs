//! `embed`: a range of one dimension filled in, zero elsewhere.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::shape::contiguous_strides;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::Operand;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// The elements of x at start, start + step, … of a dimension of size `size`.
#[derive(Debug)]
struct Embed {
    axis: usize,
    start: usize,
    step: usize,
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "embed",
    formula: "y[…, start + i · step, …] = x[…, i, …], 0 elsewhere",
    gradient: Gradient::Product("c narrowed to the range"),
    rule: None,
    kernels: || vec![movement::WRITE_STRIDED.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("rows", &[(&[4, 3], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.embed(x, 0, 1, 1, 6)
            }),
            Case::new("spread", &[(&[2, 3], draw)], |graph, x| graph.embed(x[0], 1, 1, 2, 7)),
            Case::new("nothing", &[(&[2, 0], draw)], |graph, x| graph.embed(x[0], 1, 0, 1, 3)),
        ]
    },
};

/// Whether `length` elements from `start` by `step` lie inside the axis.
pub(super) fn fits(
    ty: &TensorType,
    axis: usize,
    start: usize,
    step: usize,
    length: usize,
) -> Result<(), String> {
    let size = *ty.shape.get(axis).ok_or(format!("axis {axis} does not exist"))?;
    // The position after the last element; overflow lies outside any size.
    let last =
        length.checked_sub(1).map(|n| n.checked_mul(step)?.checked_add(start)?.checked_add(1));
    let end = last.unwrap_or(Some(start));
    if step == 0 || end.is_none_or(|end| end > size) {
        return Err(format!(
            "{length} elements from {start} by {step} do not fit in dimension {axis} of size {size}"
        ));
    }
    Ok(())
}

impl Op for Embed {
    fn form(&self) -> Form<'_> {
        Form::Embed { axis: self.axis, start: self.start, step: self.step }
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("axis", self.axis.to_string()),
            ("start", self.start.to_string()),
            ("step", self.step.to_string()),
            ("size", self.size.to_string()),
        ]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let length =
            *inputs[0].shape.get(self.axis).ok_or(format!("axis {} does not exist", self.axis))?;
        let mut output = inputs[0].clone();
        output.shape[self.axis] = self.size;
        fits(&output, self.axis, self.start, self.step, length)?;
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let length = graph.shape(vjp.inputs[0])[self.axis];
        let gradient = graph.narrow(vjp.cotangent, self.axis, self.start, self.step, length)?;
        Ok(vec![Some(gradient)])
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
        let mut strides = contiguous_strides(&output.shape);
        let offset = self.start * strides[self.axis] as usize;
        strides[self.axis] *= self.step as isize;
        let sizes = inputs[0].shape.clone();
        with_real!(output.dtype, T => {
            let variant = movement::WRITE_STRIDED.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("write_strided", variant.name, 0, move |call| {
                let layout = Strided { sizes: &sizes, strides: &strides, offset };
                let x = call.input_bits::<T>(0);
                let out = call.into_output_bits::<T>();
                out.fill(0.0);
                // SAFETY: strides and offset come from the shapes.
                unsafe { run(&layout, x, out) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let mut strides = contiguous_strides(&output.shape);
        let offset = self.start * strides[self.axis] as usize;
        strides[self.axis] *= self.step as isize;
        let mut all = movement::gpu::filled(output.elements(), 0, Operand::Output)?;
        let layout = Strided { sizes: &inputs[0].shape, strides: &strides, offset };
        all.calls.extend(movement::gpu::write(&layout, 0)?.calls);
        Ok(all)
    }
}

impl Graph {
    /// `x` at `start`, `start + step`, … of a dimension `axis` of size `size`,
    /// zero elsewhere: the adjoint of [`Graph::narrow`].
    ///
    /// # Errors
    /// `x` does not fit, or `step` is 0.
    #[track_caller]
    pub fn embed(
        &self,
        x: NodeId,
        axis: usize,
        start: usize,
        step: usize,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(Embed { axis, start, step, size }, &[x])
    }
}
