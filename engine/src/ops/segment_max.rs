//! `segment_max`: the largest of the slices that belong together.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement;
use speck_kernels::{Choice, KernelError};

/// y[…, s, …] = max of x[…, i, …] over the i with index[i] = s.
#[derive(Debug)]
struct SegmentMax {
    axis: usize,
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "segment_max",
    formula: "y[…, s, …] = max x[…, i, …] over the i with index[i] = s",
    gradient: Gradient::Product("c shared equally among the elements that are the maximum"),
    rule: Some(
        "ties share the cotangent equally; NaN wins; an empty segment is -infinity; an index outside belongs to no segment and gets no gradient",
    ),
    kernels: || vec![movement::SEGMENT_MAX.status()],
    cases: || {
        let draw = Draw::Distinct;
        vec![
            Case::new("rows", &[(&[7, 3], draw), (&[7], Draw::Index(2))], |graph, x| {
                let source = graph.exp(x[0])?;
                graph.segment_max(source, 0, x[1], 2)
            }),
            Case::new("last", &[(&[2, 9], draw), (&[9], Draw::Index(2))], |graph, x| {
                graph.segment_max(x[0], 1, x[1], 2)
            }),
            Case::new("to nothing", &[(&[0, 2], draw), (&[0], Draw::Index(2))], |graph, x| {
                graph.segment_max(x[0], 0, x[1], 0)
            }),
        ]
    },
};

impl Op for SegmentMax {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string()), ("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::index_add::folded(inputs, self.axis, self.size)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [x, index] = [vjp.inputs[0], vjp.inputs[1]];
        let maximum = graph.index_select(vjp.output, self.axis, index)?;
        let ties = graph.equal(x, maximum)?;
        let count = graph.index_add(ties, self.axis, index, self.size)?;
        // An empty segment has none, and nobody takes its share.
        let one = graph.scalar(1.0)?;
        let count = graph.maximum(count, one)?;
        let share = graph.div(vjp.cotangent, count)?;
        let share = graph.index_select(share, self.axis, index)?;
        let zero = graph.scalar(0.0)?;
        Ok(vec![Some(graph.select(ties, share, zero)?), None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = super::index_select::gathering(output, inputs[1].shape[0], self.axis);
        with_real!(output.dtype, T => {
            let variant = movement::SEGMENT_MAX.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("segment_max", variant.name, 0, move |call| {
                let (x, index) = (call.input::<T>(0), call.input(1));
                // SAFETY: sizes come from the shapes; indices are checked.
                unsafe { run(&shape, x, index, call.into_output()) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = super::index_select::gathering(output, inputs[1].shape[0], self.axis);
        movement::gpu::scattered(&shape, true, true)
    }
}

impl Graph {
    /// For each of `size` segments the largest of the slices of `x` along `axis`
    /// that belong to it; slice i belongs to segment `index[i]`.
    ///
    /// # Errors
    /// `axis` does not exist, or `index` is not one `i32` a slice of `x`.
    #[track_caller]
    pub fn segment_max(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(SegmentMax { axis, size }, &[x, index])
    }
}
