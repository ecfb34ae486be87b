//! `increment`: one more, for counters.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use speck_kernels::convert;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::convert::INCREMENT;
use speck_kernels::{Choice, KernelError};

/// x + 1 for integers.
#[derive(Debug)]
struct Increment;

pub(super) static INFO: OpInfo = OpInfo {
    name: "increment",
    formula: "y = x + 1, for integers",
    gradient: Gradient::Zero("integers carry no gradient"),
    rule: Some("2³¹ - 1 wraps to -2³¹"),
    kernels: || vec![convert::INCREMENT.status()],
    cases: || {
        vec![Case::new("counters", &[(&[3], Draw::Index(9))], |graph, x| graph.increment(x[0]))]
    },
};

impl Op for Increment {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        if inputs[0].dtype != DType::I32 {
            return Err("the input must be integers".to_owned());
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
        let variant = convert::INCREMENT.select::<f32>(choice)?;
        let run = variant.run;
        Ok(super::routine("increment", variant.name, 0, move |call| {
            let x = call.input(0);
            run(x, call.into_output());
        }))
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        convert::gpu::converted(INCREMENT, output.elements())
    }
}

impl Graph {
    /// `x` + 1 for integers, element by element.
    ///
    /// # Errors
    /// `x` is not `i32`.
    #[track_caller]
    pub fn increment(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(Increment, &[x])
    }
}
