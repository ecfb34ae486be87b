//! `to_index`: floats as integers.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::convert;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::convert::TO_INDEX;
use speck_kernels::{Choice, KernelError};

/// Floats without their fractions, as integers.
#[derive(Debug)]
struct ToIndex;

pub(super) static INFO: OpInfo = OpInfo {
    name: "to_index",
    formula: "y = x without its fraction, as an integer",
    gradient: Gradient::Zero("an index is constant except where it jumps"),
    rule: Some(
        "toward zero; beyond the integers the largest or smallest of them; NaN gives -1, which no dimension has",
    ),
    kernels: || vec![convert::TO_INDEX.status()],
    cases: || {
        vec![Case::new("positions", &[(&[3, 4], Draw::Uniform(-5.0, 5.0))], |graph, x| {
            graph.to_index(x[0])
        })]
    },
};

impl Op for ToIndex {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        Ok(TensorType::new(DType::I32, &super::one_float(inputs)?.shape))
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
        with_real!(inputs[0].dtype, T => {
            let variant = convert::TO_INDEX.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("to_index", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                run(x, call.into_output());
            }))
        })
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        convert::gpu::converted(TO_INDEX, output.elements())
    }
}

impl Graph {
    /// The floats `x` as `i32`, truncated toward zero. NaN becomes -1.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn to_index(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(ToIndex, &[x])
    }
}
