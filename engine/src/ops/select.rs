//! `select`: one of two values by a condition, element by element.

use super::pointwise::infer;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::program::Pointwise;
use crate::shape::TensorType;
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError, elementwise};

/// y = a where the condition is not 0, else b.
#[derive(Debug)]
pub struct Select;

pub(super) static INFO: OpInfo = OpInfo {
    name: "select",
    formula: "y = a where k ≠ 0, else b",
    gradient: Gradient::Product("c where k ≠ 0 to a, c where k = 0 to b, nothing to k"),
    rule: Some("a condition of NaN counts as true"),
    kernels: || vec![elementwise::SELECT.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        let build = |graph: &Graph, x: &[NodeId]| {
            let zero = graph.scalar(0.0)?;
            let condition = graph.greater(x[0], zero)?;
            graph.select(condition, x[1], x[2])
        };
        let d = Draw::Distinct;
        vec![
            Case::new("equal shapes", &[(&[4, 5], d), (&[4, 5], draw), (&[4, 5], draw)], build),
            Case::new("broadcast", &[(&[3, 1], d), (&[4], draw), (&[], draw)], build),
            Case::new("empty", &[(&[0], d), (&[0], draw), (&[1], draw)], build),
        ]
    },
};

impl Op for Select {
    fn form(&self) -> Form<'_> {
        Form::Pointwise
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        infer(inputs, 3)
    }

    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let condition = vjp.inputs[0];
        let zero = graph.scalar(0.0)?;
        let share = |input: usize, a, b| {
            if !vjp.needs[input] {
                return Ok(None);
            }
            let gradient = graph.select(condition, a, b)?;
            graph.sum_to(gradient, &graph.shape(vjp.inputs[input])).map(Some)
        };
        Ok(vec![None, share(1, vjp.cotangent, zero)?, share(2, zero, vjp.cotangent)?])
    }

    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements(), inputs, output)
    }

    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        Ok(Lowered::Pointwise(Pointwise::select(&elementwise::SELECT, output.dtype, choice)?))
    }

    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        super::pointwise::binary_calls("select", inputs, output)
    }

    fn is_pointwise(&self) -> bool {
        true
    }
}

impl Graph {
    /// `a` where `condition` is not 0, else `b`; the three shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn select(&self, condition: NodeId, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(Select, &[condition, a, b])
    }
}
