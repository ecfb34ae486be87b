//! `speck_targets`: the row and column code of the specks.

use super::render::render_shape;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::render;
use speck_kernels::{Choice, KernelError};

/// H row values, then W column values.
#[derive(Debug)]
struct SpeckTargets {
    screen: [usize; 2],
    size: usize,
    dtype: DType,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "speck_targets",
    formula: "y[b,i] = 1 if a speck's centre is in row i (i < H) or column i - H, else 0",
    gradient: Gradient::Zero("positions are integers"),
    rule: Some("the centre of a speck of even size is the pixel below and right of its middle"),
    kernels: || vec![render::SPECK_TARGETS.status()],
    cases: || {
        vec![Case::new("three specks", &[(&[4, 3, 2], Draw::Index(5))], |graph, x| {
            graph.speck_targets(x[0], [6, 5], 1)
        })]
    },
};

impl Op for SpeckTargets {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("screen", super::sizes(&self.screen)), ("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let shape = render_shape(inputs[0], 1, 1, self.screen, self.size)?;
        Ok(TensorType::new(self.dtype, &[shape.samples, shape.height + shape.width]))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
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
        let shape = render_shape(inputs[0], 1, 1, self.screen, self.size)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = render::SPECK_TARGETS.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("speck_targets", variant.name, 0, move |call| {
                let positions = call.input::<i32>(0);
                // SAFETY: sizes come from the shapes; positions are clipped.
                unsafe { run(&shape, positions, call.into_output::<T>()) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let shape = render_shape(inputs[0], 1, 1, self.screen, self.size)?;
        render::gpu::calls(render::gpu::TARGETS, &shape)
    }
}

impl Graph {
    /// The target code of specks at `positions` (i32 [samples, specks, 2]) of
    /// `size` × `size` pixels: [samples, H + W], 1 at the row and at the column
    /// of each speck's centre.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn speck_targets(
        &self,
        positions: NodeId,
        screen: [usize; 2],
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(SpeckTargets { screen, size, dtype: self.float() }, &[positions])
    }
}
