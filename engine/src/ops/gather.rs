//! `gather`: elements along a dimension, picked by index.

use super::moved_half;
use super::scatter_add::gathering;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, half::GATHER_HALF};
use speck_kernels::{Choice, KernelError};

/// y[…, i, …] = x[…, index[…, i, …], …].
#[derive(Debug)]
struct Gather {
    axis: usize,
    /// Whether elements are stored in 16 bits.
    stored: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "gather",
    formula: "y[…, i, …] = x[…, index[…, i, …], …]",
    gradient: Gradient::Product("c added at the indices"),
    rule: Some("an index outside the dimension gives NaN"),
    kernels: || vec![movement::GATHER.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("last", &[(&[3, 5], draw), (&[3, 4], Draw::Index(5))], |graph, x| {
                let source = graph.square(x[0])?;
                graph.gather(source, 1, x[1])
            }),
            Case::new("first", &[(&[4, 2, 2], draw), (&[3, 2, 2], Draw::Index(4))], |graph, x| {
                graph.gather(x[0], 0, x[1])
            }),
            Case::new("nothing", &[(&[2, 3], draw), (&[2, 0], Draw::Index(3))], |graph, x| {
                graph.gather(x[0], 1, x[1])
            }),
        ]
    },
};

impl Op for Gather {
    fn form(&self) -> Form<'_> {
        if self.stored { Form::Other } else { Form::Gather(self.axis) }
    }
    fn info(&self) -> &'static OpInfo {
        if self.stored { &moved_half::GATHER } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::scatter_add::check(inputs[0], inputs[1], self.axis)?;
        Ok(inputs[0].with_shape(&inputs[1].shape))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let size = graph.shape(vjp.inputs[0])[self.axis];
        let gradient = graph.scatter_add(vjp.cotangent, self.axis, vjp.inputs[1], size)?;
        Ok(vec![Some(gradient), None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let bytes = output.bytes() as u64;
        Cost { flops: 0, read: bytes + inputs[1].bytes() as u64, written: bytes }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = gathering(inputs[0], inputs[1], self.axis);
        if let Some(storage) = output.dtype.storage() {
            return moved_half::lower_picks(&GATHER_HALF, shape, storage.store(f32::NAN), choice);
        }
        with_real!(output.dtype, T => {
            let variant = movement::GATHER.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("gather", variant.name, 0, move |call| {
                let (x, index) = (call.input::<T>(0), call.input(1));
                // SAFETY: sizes come from the shapes; indices are checked.
                unsafe { run(&shape, x, index, call.into_output()) };
            }))
        })
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true, true])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = gathering(inputs[0], inputs[1], self.axis);
        super::shaded(inputs, output, movement::gpu::gathered(&shape, false, f32::NAN)?)
    }
}

impl Graph {
    /// Along dimension `axis`, the elements of `x` at `index`; elsewhere the
    /// two have equal sizes.
    ///
    /// # Errors
    /// Sizes that differ outside `axis`, or an `index` that is not `i32`.
    #[track_caller]
    pub fn gather(&self, x: NodeId, axis: usize, index: NodeId) -> Result<NodeId, GraphError> {
        let stored = self.type_of_stored(&[x]).is_some();
        self.append(Gather { axis, stored }, &[x, index])
    }
}
