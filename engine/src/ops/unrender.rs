//! `unrender`: what an image holds where specks show; the adjoint of `render`
//! in the colours.

use super::render::render_shape;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::render::{self, RenderShape};
use speck_kernels::{Choice, KernelError};

/// Sums an image over the visible pixels of each speck.
#[derive(Debug)]
struct Unrender {
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "unrender",
    formula: "y[b,s] = Σ image[b] over the pixels that speck s shows",
    gradient: Gradient::Product("render(c) on black"),
    rule: Some("a pixel belongs to the last speck that covers it"),
    kernels: || vec![render::UNRENDER.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![Case::new(
            "overlapping",
            &[(&[3, 4, 2], Draw::Index(6)), (&[3, 3, 6, 5], draw)],
            |graph, x| {
                let image = graph.square(x[1])?;
                graph.unrender(x[0], image, 2)
            },
        )]
    },
};

impl Unrender {
    fn shape(&self, inputs: &[&TensorType]) -> Result<RenderShape, String> {
        let &[samples, channels, height, width] = inputs[1].shape.as_slice() else {
            return Err("takes positions and images [samples, channels, H, W]".to_owned());
        };
        let shape = render_shape(inputs[0], 1, channels, [height, width], self.size)?;
        if shape.samples != samples {
            return Err(format!("{} positions for {samples} images", shape.samples));
        }
        Ok(shape)
    }
}

impl Op for Unrender {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(&inputs[1..])?;
        let shape = self.shape(inputs)?;
        Ok(inputs[1].with_shape(&[shape.samples, shape.specks, shape.channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[1]);
        let zero = graph.scalar(0.0)?;
        let black = graph.expand(zero, &[1, shape[1]])?;
        let screen = [shape[2], shape[3]];
        let image = graph.render(vjp.inputs[0], vjp.cotangent, black, screen, self.size)?;
        Ok(vec![None, Some(image)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let touched = output.elements() * self.size * self.size;
        let read = inputs[0].bytes() + touched * output.dtype.bytes();
        Cost { read: read as u64, ..streaming(touched, &[], output) }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape =
            self.shape(inputs).unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = render::UNRENDER.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("unrender", variant.name, 0, move |call| {
                let (positions, image) = (call.input::<i32>(0), call.input::<T>(1));
                // SAFETY: sizes come from the shapes; positions are clipped.
                unsafe { run(&shape, positions, image, call.into_output()) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        render::gpu::calls(render::gpu::UNRENDER, &self.shape(inputs)?)
    }
}

impl Graph {
    /// For each speck the sum of `image` [samples, channels, H, W] over the
    /// pixels it shows: [samples, specks, channels].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn unrender(
        &self,
        positions: NodeId,
        image: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(Unrender { size }, &[positions, image])
    }
}
