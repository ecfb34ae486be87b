//! `reshape`: the same elements under another shape.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use speck_kernels::{Choice, KernelError};

/// The same elements in the same order.
#[derive(Debug)]
struct Reshape {
    shape: Vec<usize>,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "reshape",
    formula: "y = x with other sizes, elements in the same order",
    gradient: Gradient::Product("c in the shape of x"),
    rule: None,
    kernels: Vec::new,
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("merge", &[(&[2, 3, 4], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.reshape(x, &[6, 4])
            }),
            Case::new("to scalar", &[(&[1, 1], draw)], |graph, x| graph.reshape(x[0], &[])),
            Case::new("empty", &[(&[0, 3], draw)], |graph, x| graph.reshape(x[0], &[3, 0, 2])),
        ]
    },
};

impl Op for Reshape {
    fn form(&self) -> Form<'_> {
        Form::Reshape
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("shape", super::sizes(&self.shape))]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let output = inputs[0].with_shape(&self.shape);
        if output.elements() != inputs[0].elements() {
            return Err(format!("cannot be given the shape [{}]", super::sizes(&self.shape)));
        }
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.reshape(vjp.cotangent, &graph.shape(vjp.inputs[0]))?)])
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
    /// `x` with the sizes `shape`; costs nothing.
    ///
    /// # Errors
    /// Another number of elements.
    #[track_caller]
    pub fn reshape(&self, x: NodeId, shape: &[usize]) -> Result<NodeId, GraphError> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        self.append(Reshape { shape: shape.to_vec() }, &[x])
    }

    /// `x` with the dimensions from `axis` on merged into one.
    ///
    /// # Errors
    /// `axis` is past the last dimension.
    #[track_caller]
    pub fn flatten_from(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let Some(tail) = shape.get(axis..) else {
            return Err(self.error("flatten", &[x], format!("axis {axis} does not exist")));
        };
        let mut flat = shape[..axis].to_vec();
        flat.push(tail.iter().product());
        self.reshape(x, &flat)
    }
}
