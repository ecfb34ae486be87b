//! `iota`: 0, 1, 2, …

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::convert;
use speck_kernels::gpu::Calls;
use speck_kernels::movement;
use speck_kernels::{Choice, KernelError};

/// The numbers from 0 up to and without `length`.
#[derive(Debug)]
struct Iota {
    length: usize,
    dtype: DType,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "iota",
    formula: "yᵢ = i",
    gradient: Gradient::Zero("it has no inputs"),
    rule: None,
    kernels: || vec![convert::IOTA.status()],
    cases: || vec![Case::new("seven", &[], |graph, _| graph.iota(7))],
};

impl Op for Iota {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("length", self.length.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 0)?;
        Ok(TensorType::new(self.dtype, &[self.length]))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(Vec::new())
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        Cost { written: output.bytes() as u64, ..Cost::default() }
    }
    fn lower(
        &self,
        _: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        with_real!(self.dtype, T => {
            let variant = convert::IOTA.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("iota", variant.name, 0, move |call| run(call.into_output())))
        })
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        movement::gpu::counted(output.elements())
    }
}

impl Graph {
    /// The numbers 0, 1, … `length` - 1 as floats: `[length]`.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn iota(&self, length: usize) -> Result<NodeId, GraphError> {
        self.append(Iota { length, dtype: self.float() }, &[])
    }
}
