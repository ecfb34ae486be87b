//! `barrier`: a value that may not be had before another.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use speck_kernels::{Choice, KernelError};

/// The first input, once the second is there.
#[derive(Debug)]
struct Barrier;

pub(super) static INFO: OpInfo = OpInfo {
    name: "barrier",
    formula: "y = x, not before z is there",
    gradient: Gradient::Product("c to x, nothing to z"),
    rule: None,
    kernels: Vec::new,
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![Case::new("matrix", &[(&[3, 4], draw)], |graph, x| {
            let square = graph.square(x[0])?;
            let later = graph.exp(x[0])?;
            let later = graph.detach(later)?;
            graph.barrier(square, later)
        })]
    },
};

impl Op for Barrier {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(vjp.cotangent), None])
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Alias)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn is_alias(&self) -> bool {
        true
    }
}

impl Graph {
    /// `x`, which what reads it takes for another value than `x` itself and
    /// cannot have before `after` is computed: it keeps what is recomputed from
    /// being merged with what was computed before. Costs nothing.
    ///
    /// # Errors
    /// None.
    #[track_caller]
    pub fn barrier(&self, x: NodeId, after: NodeId) -> Result<NodeId, GraphError> {
        self.append(Barrier, &[x, after])
    }
}
