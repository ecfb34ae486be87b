//! `input`, `state`, `constant`: values that are given, not computed.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Cost, Gradient, Gradients, Lowered, Op, OpInfo, Source, Vjp};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use speck_kernels::fnv;
use speck_kernels::{Choice, KernelError};
use std::sync::Arc;

/// A node that computes nothing.
#[derive(Debug)]
pub(crate) enum Given {
    /// A value set before each run.
    Input {
        /// The name under which it is set.
        name: String,
        /// Its type.
        ty: TensorType,
    },
    /// The value of a slot of the state before the step.
    State {
        /// Index of the slot in the graph.
        slot: usize,
        /// Its name.
        name: String,
        /// Its type.
        ty: TensorType,
    },
    /// A fixed tensor.
    Constant(Arc<Tensor>),
}

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

impl Op for Given {
    fn info(&self) -> &'static OpInfo {
        match self {
            Given::Input { .. } => &INPUT,
            Given::State { .. } => &STATE,
            Given::Constant(_) => &CONSTANT,
        }
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        match self {
            Given::Input { name, .. } | Given::State { name, .. } => vec![("name", name.clone())],
            Given::Constant(tensor) => vec![("value", describe(tensor))],
        }
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 0)?;
        Ok(match self {
            Given::Input { ty, .. } | Given::State { ty, .. } => ty.clone(),
            Given::Constant(tensor) => tensor.ty().clone(),
        })
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
        Some(match self {
            Given::Input { name, .. } => Source::Input(name),
            Given::State { slot, .. } => Source::State(*slot),
            Given::Constant(tensor) => Source::Constant(tensor),
        })
    }
}

/// A constant in a print: its values if they are few.
fn describe(tensor: &Arc<Tensor>) -> String {
    match tensor.to_f64().as_slice() {
        [value] => format!("{value}"),
        // By their content, so that a print is the same in every process.
        values if values.len() > 8 => format!("#{:016x}", fnv(tensor.bytes())),
        values => format!("{values:?}").replace(' ', ""),
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
        self.append(Given::Input { name: name.to_owned(), ty: TensorType::new(dtype, shape) }, &[])
    }

    /// A fixed tensor.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn constant(&self, tensor: Tensor) -> Result<NodeId, GraphError> {
        self.append(Given::Constant(Arc::new(tensor)), &[])
    }

    /// A floating-point constant without dimensions.
    ///
    /// # Errors
    /// None today; a builder method like the others.
    #[track_caller]
    pub fn scalar(&self, value: f64) -> Result<NodeId, GraphError> {
        self.constant(Tensor::new(&TensorType::new(self.float(), &[]), &[value]))
    }

    /// A tensor of zeros, of the graph's floating-point type.
    ///
    /// # Errors
    /// None.
    #[track_caller]
    pub fn zeros(&self, shape: &[usize]) -> Result<NodeId, GraphError> {
        let zero = self.scalar(0.0)?;
        self.expand(zero, shape)
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
