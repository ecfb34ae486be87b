//! `argmax`: the index of the largest element along a dimension.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::reduce;
use speck_kernels::{Choice, KernelError};

/// The index of the largest element along `axis`, which is dropped.
#[derive(Debug)]
struct Argmax {
    axis: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "argmax",
    formula: "y = the index of the largest x along an axis, which is dropped",
    gradient: Gradient::Zero("an index is constant except at ties"),
    rule: Some("ties: the first; NaN counts as the largest"),
    kernels: || vec![reduce::ARGMAX.status()],
    cases: || {
        vec![
            Case::new("rows", &[(&[4, 6], Draw::Distinct)], |graph, x| graph.argmax(x[0], 1)),
            Case::new("columns", &[(&[4, 6], Draw::Distinct)], |graph, x| graph.argmax(x[0], 0)),
        ]
    },
};

impl Op for Argmax {
    fn form(&self) -> Form<'_> {
        Form::ArgMax(self.axis)
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        if self.axis >= x.rank() || x.shape[self.axis] == 0 {
            return Err(format!("axis {} does not exist or is empty", self.axis));
        }
        let mut shape = x.shape.clone();
        shape.remove(self.axis);
        Ok(TensorType::new(DType::I32, &shape))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        with_real!(inputs[0].dtype, T => {
            let variant = reduce::ARGMAX.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("argmax", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(outer, length, inner, x, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        reduce::gpu::argmax_calls(outer, length, inner)
    }
}

impl Graph {
    /// The `i32` index of the largest element along `axis`, which is dropped.
    ///
    /// # Errors
    /// `axis` does not exist or has size 0.
    #[track_caller]
    pub fn argmax(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        self.append(Argmax { axis }, &[x])
    }
}
