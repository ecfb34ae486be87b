//! `cast`: integers as floats.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::convert;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::convert::FROM_INTEGER;
use speck_kernels::{Choice, KernelError};

/// Integers as floats of the graph's type.
#[derive(Debug)]
struct Cast {
    to: DType,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "cast",
    formula: "y = x as a float",
    gradient: Gradient::Zero("an integer input carries no gradient"),
    rule: Some("f32 holds integers exactly up to 2²⁴; beyond, to nearest, ties to even"),
    kernels: || vec![convert::FROM_INTEGER.status()],
    cases: || vec![Case::new("indices", &[(&[3, 4], Draw::Index(9))], |graph, x| graph.cast(x[0]))],
};

impl Op for Cast {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        if inputs[0].dtype != DType::I32 {
            return Err("the input must be integers; floats are `store`d in 16 bits".to_owned());
        }
        Ok(TensorType::new(self.to, &inputs[0].shape))
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
        with_real!(self.to, T => {
            let variant = convert::FROM_INTEGER.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("from_integer", variant.name, 0, move |call| {
                let x = call.input(0);
                run(x, call.into_output());
            }))
        })
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        convert::gpu::converted(FROM_INTEGER, output.elements())
    }
}

impl Graph {
    /// The integers `x` as floats of the graph's type.
    ///
    /// # Errors
    /// `x` is not `i32`.
    #[track_caller]
    pub fn cast(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(Cast { to: self.float() }, &[x])
    }
}
