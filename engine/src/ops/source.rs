//! `input`, `state`, `constant`: values that are given, not computed.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Cost, Gradient, Gradients, Lowered, Op, OpInfo, Source, Vjp};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::{Choice, KernelError};
use std::sync::Arc;

/// A value set before each run.
#[derive(Debug)]
struct Input {
    name: String,
    ty: TensorType,
}

/// The value of a slot of the state before the step.
#[derive(Debug)]
pub struct StateRead {
    /// Index of the slot in the graph.
    pub(crate) slot: usize,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) ty: TensorType,
}

/// A fixed tensor.
#[derive(Debug)]
struct Constant(Arc<Tensor>);

const GIVEN: Gradient = Gradient::Zero("the value is given: it depends on nothing");

pub(super) static INPUT: OpInfo = OpInfo {
    name: "input",
    formula: "y = the tensor set under its name before the run",
    gradient: GIVEN,
    rule: None,
    kernels: Vec::new,
    cases: Vec::new,
};

pub(super) static STATE: OpInfo = OpInfo {
    name: "state",
    formula: "y = the slot's value before the step",
    gradient: GIVEN,
    rule: None,
    kernels: Vec::new,
    cases: Vec::new,
};

pub(super) static CONSTANT: OpInfo = OpInfo {
    name: "constant",
    formula: "y = the fixed tensor",
    gradient: GIVEN,
    rule: None,
    kernels: Vec::new,
    cases: Vec::new,
};

impl Op for Input {
    fn info(&self) -> &'static OpInfo {
        &INPUT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.clone())]
    }
    fn infer(&self, _: &[&TensorType]) -> Result<TensorType, String> {
        Ok(self.ty.clone())
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(Vec::new())
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Source)
    }
    fn source(&self) -> Option<Source<'_>> {
        Some(Source::Input(&self.name))
    }
}

impl Op for StateRead {
    fn info(&self) -> &'static OpInfo {
        &STATE
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.clone())]
    }
    fn infer(&self, _: &[&TensorType]) -> Result<TensorType, String> {
        Ok(self.ty.clone())
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(Vec::new())
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Source)
    }
    fn source(&self) -> Option<Source<'_>> {
        Some(Source::State(self.slot))
    }
}

impl Op for Constant {
    fn info(&self) -> &'static OpInfo {
        &CONSTANT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let values = self.0.to_f64();
        let text = match values.as_slice() {
            [value] => format!("{value}"),
            // Two large constants are the same one only if they share memory.
            values if values.len() > 8 => format!("{:p}", Arc::as_ptr(&self.0)),
            values => format!("{values:?}").replace(' ', ""),
        };
        vec![("value", text)]
    }
    fn infer(&self, _: &[&TensorType]) -> Result<TensorType, String> {
        Ok(self.0.ty().clone())
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(Vec::new())
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Source)
    }
    fn source(&self) -> Option<Source<'_>> {
        Some(Source::Constant(&self.0))
    }
}

impl Graph {
    /// A value that is set by name before each run; zeros until it is set.
    ///
    /// # Errors
    /// A name that is taken.
    #[track_caller]
    pub fn input(&self, name: &str, dtype: DType, shape: &[usize]) -> Result<NodeId, GraphError> {
        let taken =
            self.inner().nodes.iter().any(
                |node| matches!(node.op.source(), Some(Source::Input(other)) if other == name),
            );
        if taken {
            return Err(self.error("input", &[], format!("there is an input `{name}` already")));
        }
        self.append(Input { name: name.to_owned(), ty: TensorType::new(dtype, shape) }, &[])
    }

    /// A fixed tensor.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn constant(&self, tensor: Tensor) -> Result<NodeId, GraphError> {
        self.append(Constant(Arc::new(tensor)), &[])
    }

    /// A floating-point constant without dimensions.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn scalar(&self, value: f64) -> Result<NodeId, GraphError> {
        self.constant(Tensor::new(&TensorType::new(self.float(), &[]), &[value]))
    }

    /// A tensor of one value repeated, of the type of `like`.
    ///
    /// # Errors
    /// `like` is not of the graph's floating-point type.
    #[track_caller]
    pub fn constant_like(&self, like: NodeId, value: f64) -> Result<NodeId, GraphError> {
        let scalar = self.scalar(value)?;
        self.expand(scalar, &self.shape(like))
    }
}
