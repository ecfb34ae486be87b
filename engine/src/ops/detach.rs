//! `detach`: a value through which no gradient flows.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use speck_kernels::{Choice, KernelError};

/// The same value, constant for every gradient.
#[derive(Debug)]
struct Detach;

pub(super) static INFO: OpInfo = OpInfo {
    name: "detach",
    formula: "y = x, held constant for every gradient",
    gradient: Gradient::Stated("nothing: y is held constant by definition"),
    rule: None,
    kernels: Vec::new,
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![Case::new("matrix", &[(&[3, 4], draw)], |graph, x| {
            let x = graph.square(x[0])?;
            graph.detach(x)
        })]
    },
};

impl Op for Detach {
    fn form(&self) -> Form<'_> {
        Form::Pointwise
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        Ok(inputs[0].clone())
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
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
    /// `x`, through which no gradient flows; costs nothing.
    ///
    /// # Errors
    /// None.
    #[track_caller]
    pub fn detach(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(Detach, &[x])
    }
}
