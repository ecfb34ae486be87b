//! `cumulative_sum`: running totals along a dimension.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::scan::{self, Scanning};
use speck_kernels::{Choice, KernelError};

/// Sums of all elements up to each, or from each on.
#[derive(Debug)]
struct CumulativeSum {
    axis: usize,
    reverse: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "cumulative_sum",
    formula: "yᵢ = Σ xₖ over k ≤ i, reversed over k ≥ i, along an axis",
    gradient: Gradient::Product("the cumulative sum of c in the other direction"),
    rule: Some("sums run in order along the axis, in f64, each rounded for itself"),
    kernels: || vec![scan::CUMULATIVE_SUM.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("rows", &[(&[3, 5], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.cumulative_sum(x, 1, false)
            }),
            Case::new("columns from the end", &[(&[2, 4, 3], draw)], |graph, x| {
                graph.cumulative_sum(x[0], 1, true)
            }),
            Case::new("nothing", &[(&[0, 2], draw)], |graph, x| {
                graph.cumulative_sum(x[0], 0, false)
            }),
        ]
    },
};

impl Op for CumulativeSum {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string()), ("reverse", self.reverse.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        if self.axis >= x.rank() {
            return Err(format!("axis {} does not exist", self.axis));
        }
        Ok(x.clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.cumulative_sum(vjp.cotangent, self.axis, !self.reverse)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        let shape = Scanning { outer, length, inner, reverse: self.reverse };
        with_real!(output.dtype, T => {
            let variant = scan::CUMULATIVE_SUM.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("cumulative_sum", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                run(&shape, x, call.into_output());
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        scan::gpu::cumulative_sum(&Scanning { outer, length, inner, reverse: self.reverse })
    }
}

impl Graph {
    /// The sum of all elements up to and with each one along `axis`, or with
    /// `reverse` of all from each one on.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn cumulative_sum(
        &self,
        x: NodeId,
        axis: usize,
        reverse: bool,
    ) -> Result<NodeId, GraphError> {
        self.append(CumulativeSum { axis, reverse }, &[x])
    }
}
