//! `argsort`: the indices that put a dimension in order.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::sort::{self, Sorting};
use speck_kernels::{Choice, KernelError};

/// The indices of the first elements in order along an axis.
#[derive(Debug)]
struct Argsort {
    axis: usize,
    descending: bool,
    count: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "argsort",
    formula: "y = the indices of the first `count` elements of x in order along an axis",
    gradient: Gradient::Zero("an index is constant except at ties"),
    rule: Some(
        "equals stay in their order, in either direction; NaN counts as the largest; -0 = 0",
    ),
    kernels: || vec![sort::ARGSORT.status()],
    cases: || {
        let draw = Draw::Distinct;
        vec![
            Case::new("rows", &[(&[4, 6], draw)], |graph, x| graph.argsort(x[0], 1, false, 6)),
            Case::new("the three largest of columns", &[(&[7, 2], draw)], |graph, x| {
                graph.argsort(x[0], 0, true, 3)
            }),
            Case::new("nothing", &[(&[0, 2], draw)], |graph, x| graph.argsort(x[0], 0, true, 0)),
        ]
    },
};

impl Argsort {
    fn shape(&self, x: &TensorType) -> Sorting {
        let (outer, length, inner) = x.around(self.axis);
        Sorting { outer, length, inner, count: self.count, descending: self.descending }
    }
}

impl Op for Argsort {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("axis", self.axis.to_string()),
            ("descending", self.descending.to_string()),
            ("count", self.count.to_string()),
        ]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let length = *x.shape.get(self.axis).ok_or(format!("axis {} does not exist", self.axis))?;
        if self.count > length {
            return Err(format!("there are {length} elements along axis {}", self.axis));
        }
        if i32::try_from(length).is_err() {
            return Err("its indices would not fit into i32".to_owned());
        }
        let mut output = TensorType::new(DType::I32, &x.shape);
        output.shape[self.axis] = self.count;
        Ok(output)
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        // n log n comparisons.
        let length = inputs[0].shape[self.axis].max(1);
        streaming(inputs[0].elements() * (length.ilog2() as usize + 1), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = self.shape(inputs[0]);
        let places = shape.elements();
        with_real!(inputs[0].dtype, T => {
            let variant = sort::ARGSORT.select::<T>(choice)?;
            let run = variant.run;
            // Not none, so that there is an aligned place for none.
            let scratch = places.max(1) * size_of::<u64>();
            Ok(super::routine("argsort", variant.name, scratch, move |call| {
                let x = call.input::<T>(0);
                let (out, scratch) = call.into_output_and_scratch::<i32>();
                // Two i32 a place; the scratch memory starts at a cache line.
                run(&shape, x, out, bytemuck::cast_slice_mut(&mut scratch[..2 * places]));
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        sort::gpu::argsort_calls(&self.shape(inputs[0]))
    }
}

impl Graph {
    /// The `i32` indices of the `count` first elements of `x` in order along
    /// `axis`: of the smallest, or with `descending` of the largest.
    ///
    /// # Errors
    /// `axis` does not exist or has fewer than `count` elements.
    #[track_caller]
    pub fn argsort(
        &self,
        x: NodeId,
        axis: usize,
        descending: bool,
        count: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(Argsort { axis, descending, count }, &[x])
    }
}
