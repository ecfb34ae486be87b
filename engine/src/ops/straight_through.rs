//! `straight_through`: one value with the gradient of another.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use speck_kernels::{Choice, KernelError};

/// The value of the first input, differentiated as the second.
#[derive(Debug)]
struct StraightThrough;

pub(super) static INFO: OpInfo = OpInfo {
    name: "straight_through",
    formula: "y = x, differentiated as if it were p",
    gradient: Gradient::Stated("c to p, nothing to x: the gradient of p in place of that of x"),
    rule: None,
    kernels: Vec::new,
    cases: || {
        let draw = Draw::Distinct;
        vec![Case::new("step", &[(&[3, 4], draw)], |graph, x| {
            let zero = graph.scalar(0.0)?;
            let step = graph.greater(x[0], zero)?;
            let smooth = graph.sigmoid(x[0])?;
            graph.straight_through(step, smooth)
        })]
    },
};

impl Op for StraightThrough {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(inputs)?;
        if inputs[0].shape != inputs[1].shape {
            return Err("value and proxy must have one shape".to_owned());
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![None, Some(vjp.cotangent)])
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Alias)
    }
    fn is_alias(&self) -> bool {
        true
    }
}

impl Graph {
    /// `value`, with the gradient of `proxy` (Bengio, Léonard and Courville,
    /// "Estimating or propagating gradients through stochastic neurons", 2013,
    /// in its general form); costs nothing in the forward pass.
    ///
    /// # Errors
    /// Types that differ.
    #[track_caller]
    pub fn straight_through(&self, value: NodeId, proxy: NodeId) -> Result<NodeId, GraphError> {
        self.append(StraightThrough, &[value, proxy])
    }
}
