//! `window_mask`: which places of windows count.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::window::{self, Windows};
use speck_kernels::{Choice, KernelError};

/// 1 where a place is on the map and, if `owned`, in no earlier window.
#[derive(Debug)]
struct WindowMask {
    float: DType,
    size: [usize; 2],
    map: [usize; 2],
    owned: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "window_mask",
    formula: "y[b,s,i,j] = 1 where origin[b,s] + (i,j) is on the map and, if owned, in no earlier window, else 0",
    gradient: Gradient::Zero("origins are integers"),
    rule: None,
    kernels: || vec![window::WINDOW_MASK.status()],
    cases: || {
        vec![
            Case::new("owned", &[(&[3, 3, 2], Draw::Index(6))], |graph, x| {
                graph.window_mask(x[0], [2, 3], [6, 5], true)
            }),
            Case::new("inside", &[(&[3, 3, 2], Draw::Index(6))], |graph, x| {
                graph.window_mask(x[0], [2, 3], [6, 5], false)
            }),
        ]
    },
};

impl Op for WindowMask {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("size", super::sizes(&self.size)),
            ("map", super::sizes(&self.map)),
            ("owned", self.owned.to_string()),
        ]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let &[samples, slots, 2] = inputs[0].shape.as_slice() else {
            return Err("origins must be [samples, slots, 2]".to_owned());
        };
        if inputs[0].dtype != DType::I32 {
            return Err("origins must be i32".to_owned());
        }
        Ok(TensorType::new(self.float, &[samples, slots, self.size[0], self.size[1], 1]))
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
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (samples, slots) = (inputs[0].shape[0], inputs[0].shape[1]);
        let windows = Windows { samples, slots, channels: 1, size: self.size, map: self.map };
        let owned = self.owned;
        with_real!(self.float, T => {
            let variant = window::WINDOW_MASK.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("window_mask", variant.name, 0, move |call| {
                let origins = call.input(0);
                run(&windows, owned, origins, call.into_output::<T>());
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let (samples, slots) = (inputs[0].shape[0], inputs[0].shape[1]);
        let windows = Windows { samples, slots, channels: 1, size: self.size, map: self.map };
        window::gpu::calls(window::gpu::MASK, &windows, self.owned)
    }
}

impl Graph {
    /// [samples, slots, height, width, 1]: 1 at the places of windows of `size`
    /// at `origins` that are on a map of size `map` and, if `owned`, in no window
    /// of a smaller index of the same sample; else 0.
    ///
    /// # Errors
    /// Origins that are not i32 [samples, slots, 2].
    #[track_caller]
    pub fn window_mask(
        &self,
        origins: NodeId,
        size: [usize; 2],
        map: [usize; 2],
        owned: bool,
    ) -> Result<NodeId, GraphError> {
        self.append(WindowMask { float: self.float(), size, map, owned }, &[origins])
    }
}
