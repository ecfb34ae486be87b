//! `part`: a run of a value's elements, where they lie.
//!
//! What gives several values at once, such as the gradients of attention or of a
//! norm, gives them one after the other in one array; this takes them apart
//! without a copy.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Strided};
use speck_kernels::{Choice, KernelError};

/// Elements `start` to `start + length`, counted in row-major order.
#[derive(Debug)]
struct Part {
    start: usize,
    length: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "part",
    formula: "y[i] = x[start + i], i < length, of the elements of x in order; nothing moves",
    gradient: Gradient::Product("c embedded in zeros"),
    rule: None,
    kernels: Vec::new,
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("in the middle", &[(&[3, 4], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.part(x, 3, 5)
            }),
            // The whole is needed before the part stretches over it.
            Case::new("stretched over the whole", &[(&[4, 6], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                let part = graph.part(x, 6, 6)?;
                let sum = graph.add(x, part)?;
                graph.exp(sum)
            }),
            Case::new("nothing", &[(&[2], draw)], |graph, x| graph.part(x[0], 2, 0)),
        ]
    },
};

impl Op for Part {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("start", self.start.to_string()), ("length", self.length.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let end = self.start.checked_add(self.length);
        if end.is_none_or(|end| end > inputs[0].elements()) {
            let Part { start, length } = self;
            let elements = inputs[0].elements();
            return Err(format!("there are no {length} elements from {start} on in {elements}"));
        }
        Ok(inputs[0].with_shape(&[self.length]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let all = graph.embed(vjp.cotangent, 0, self.start, 1, shape.iter().product())?;
        Ok(vec![Some(graph.reshape(all, &shape)?)])
    }
    fn cost(&self, _: &[&TensorType], _: &TensorType) -> Cost {
        Cost::default()
    }
    fn lower(&self, _: &[&TensorType], _: &TensorType, _: &Choice) -> Result<Lowered, KernelError> {
        Ok(Lowered::Part(self.start))
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let layout = Strided { sizes: &[self.length], strides: &[1], offset: self.start };
        super::shaded(inputs, output, movement::gpu::read(&layout)?)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn is_alias(&self) -> bool {
        true
    }
}

impl Graph {
    /// The `length` elements of `x` from `start` on, in row-major order, without a
    /// copy.
    ///
    /// # Errors
    /// There are not so many.
    #[track_caller]
    pub fn part(&self, x: NodeId, start: usize, length: usize) -> Result<NodeId, GraphError> {
        self.append(Part { start, length }, &[x])
    }
}
