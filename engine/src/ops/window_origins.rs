//! `window_origins`: where windows begin behind some layers.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use speck_kernels::gpu::Calls;
use speck_kernels::window::{self, OriginAxis};
use speck_kernels::{Choice, KernelError};

/// Origins out of positions.
#[derive(Debug)]
struct WindowOrigins([OriginAxis; 2]);

pub(super) static INFO: OpInfo = OpInfo {
    name: "window_origins",
    formula: "y = ⌊(position + a) / d⌋ · m + b for row and column",
    gradient: Gradient::Zero("positions are integers"),
    rule: Some("an empty slot, (-1, -1), gets an origin beyond every map"),
    kernels: || vec![window::WINDOW_ORIGINS.status()],
    cases: || {
        vec![Case::new("halved", &[(&[3, 2, 2], Draw::Index(9))], |graph, x| {
            let axis = OriginAxis { add: -1, divide: 2, multiply: 3, offset: 1 };
            graph.window_origins(x[0], [axis, axis])
        })]
    },
};

impl Op for WindowOrigins {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let axis = |OriginAxis { add, divide, multiply, offset }: OriginAxis| {
            format!("{add},{divide},{multiply},{offset}")
        };
        vec![("rows", axis(self.0[0])), ("columns", axis(self.0[1]))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        if inputs[0].dtype != DType::I32 || inputs[0].shape.last() != Some(&2) {
            return Err("positions must be i32 [..., 2]".to_owned());
        }
        if self.0.iter().any(|axis| axis.divide < 1) {
            return Err("positions are divided by at least 1".to_owned());
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let variant = window::WINDOW_ORIGINS.select::<f32>(choice)?;
        let (run, axes) = (variant.run, self.0);
        Ok(super::routine("window_origins", variant.name, 0, move |call| {
            let positions = call.input(0);
            run(&axes, positions, call.into_output());
        }))
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        window::gpu::origins(&self.0, output.elements())
    }
}

impl Graph {
    /// The i32 origins of windows for speck `positions` [..., 2]; an empty slot,
    /// (-1, -1), gets [`window::EMPTY`].
    ///
    /// # Errors
    /// Not i32 pairs.
    #[track_caller]
    pub fn window_origins(
        &self,
        positions: NodeId,
        axes: [OriginAxis; 2],
    ) -> Result<NodeId, GraphError> {
        self.append(WindowOrigins(axes), &[positions])
    }
}
