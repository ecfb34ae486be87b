//! `permute`: dimensions in another order.

use super::moved_half;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::shape::contiguous_strides;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// Dimension i of the output is dimension axes[i] of the input.
#[derive(Debug)]
struct Permute {
    axes: Vec<usize>,
    /// Whether elements are stored in 16 bits.
    stored: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "permute",
    formula: "y = x with dimension axes[i] as dimension i",
    gradient: Gradient::Product("c permuted back"),
    rule: None,
    kernels: || vec![movement::READ_STRIDED.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("transpose", &[(&[5, 3], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.permute(x, &[1, 0])
            }),
            Case::new("four", &[(&[2, 3, 4, 2], draw)], |graph, x| {
                graph.permute(x[0], &[0, 2, 3, 1])
            }),
            Case::new("empty", &[(&[0, 3], draw)], |graph, x| graph.permute(x[0], &[1, 0])),
        ]
    },
};

/// Lowers an op that reads its input with strides; integers move as the bits
/// of `f32`.
pub(super) fn read_strided(
    output: &TensorType,
    strides: Vec<isize>,
    offset: usize,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let sizes = output.shape.clone();
    if output.dtype.storage().is_some() {
        let variant = movement::half::READ_STRIDED_HALF.select::<f32>(choice)?;
        let run = variant.run;
        return Ok(super::routine("read_strided_half", variant.name, 0, move |call| {
            let layout = Strided { sizes: &sizes, strides: &strides, offset };
            let x = call.input_stored(0);
            // SAFETY: strides and offset come from the shapes of input and output.
            unsafe { run(&layout, x, call.into_output_stored()) };
        }));
    }
    with_real!(output.dtype, T => {
        let variant = movement::READ_STRIDED.select::<T>(choice)?;
        let run = variant.run;
        Ok(super::routine("read_strided", variant.name, 0, move |call| {
            let layout = Strided { sizes: &sizes, strides: &strides, offset };
            let x = call.input_bits::<T>(0);
            // SAFETY: strides and offset come from the shapes of input and output.
            unsafe { run(&layout, x, call.into_output_bits::<T>()) };
        }))
    })
}

impl Op for Permute {
    fn form(&self) -> Form<'_> {
        if self.stored { Form::Other } else { Form::Permute(&self.axes) }
    }
    fn info(&self) -> &'static OpInfo {
        if self.stored { &moved_half::PERMUTE } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axes", super::sizes(&self.axes))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..inputs[0].rank()) {
            return Err(format!("[{}] is no order of its dimensions", super::sizes(&self.axes)));
        }
        let shape: Vec<_> = self.axes.iter().map(|axis| inputs[0].shape[*axis]).collect();
        Ok(inputs[0].with_shape(&shape))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let mut inverse = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(i, axis)| inverse[*axis] = i);
        Ok(vec![Some(graph.permute(vjp.cotangent, &inverse)?)])
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
        let own = contiguous_strides(&inputs[0].shape);
        let strides = self.axes.iter().map(|axis| own[*axis]).collect();
        read_strided(output, strides, 0, choice)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axes.first() == Some(&0)).then(|| vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let own = contiguous_strides(&inputs[0].shape);
        let strides: Vec<_> = self.axes.iter().map(|axis| own[*axis]).collect();
        let layout = Strided { sizes: &output.shape, strides: &strides, offset: 0 };
        super::shaded(inputs, output, movement::gpu::read(&layout)?)
    }
}

impl Graph {
    /// `x` with dimension `axes[i]` as dimension `i`.
    ///
    /// # Errors
    /// `axes` is not a permutation of the dimensions.
    #[track_caller]
    pub fn permute(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let stored = self.type_of_stored(&[x]).is_some();
        self.append(Permute { axes: axes.to_vec(), stored }, &[x])
    }
}
