//! `index_select`: whole slices along a dimension, picked by index.

use super::moved_half;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Gathering, half::INDEX_SELECT_HALF};
use speck_kernels::{Choice, KernelError};

/// y[…, i, …] = x[…, index[i], …].
#[derive(Debug)]
struct IndexSelect {
    axis: usize,
    /// Whether an index outside gives 0, not NaN.
    or_zero: bool,
    /// Whether elements are stored in 16 bits.
    stored: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "index_select",
    formula: "y[…, i, …] = x[…, index[i], …]",
    gradient: Gradient::Product("c added at the indices, slice by slice"),
    rule: Some(
        "an index outside the dimension gives NaN, of integers the one with those bits; with `or_zero` it gives 0",
    ),
    kernels: || vec![movement::INDEX_SELECT.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("rows", &[(&[5, 3], draw), (&[7], Draw::Index(5))], |graph, x| {
                let source = graph.square(x[0])?;
                graph.index_select(source, 0, x[1])
            }),
            Case::new("last", &[(&[2, 3, 4], draw), (&[3], Draw::Index(4))], |graph, x| {
                graph.index_select(x[0], 2, x[1])
            }),
            Case::new("or zero", &[(&[3, 2], draw), (&[4], Draw::Index(5))], |graph, x| {
                let source = graph.square(x[0])?;
                graph.index_select_or_zero(source, 0, x[1])
            }),
            Case::new("nothing", &[(&[2, 3], draw), (&[0], Draw::Index(3))], |graph, x| {
                graph.index_select(x[0], 1, x[1])
            }),
        ]
    },
};

/// Whether `index` is a list of indices and `x` has the `axis` they pick along.
pub(super) fn check(x: &TensorType, index: &TensorType, axis: usize) -> Result<(), String> {
    if index.dtype != DType::I32 || index.rank() != 1 {
        return Err("takes one dimension of i32 indices".to_owned());
    }
    if axis >= x.rank() {
        return Err(format!("axis {axis} does not exist"));
    }
    Ok(())
}

/// The loops over a source along `axis`, of which `picks` slices are picked.
pub(super) fn gathering(source: &TensorType, picks: usize, axis: usize) -> Gathering {
    let (outer, size, inner) = source.around(axis);
    Gathering { outer, source: size, picks, inner }
}

impl Op for IndexSelect {
    fn form(&self) -> Form<'_> {
        if self.or_zero || self.stored { Form::Other } else { Form::IndexSelect(self.axis) }
    }
    fn info(&self) -> &'static OpInfo {
        if self.stored { &moved_half::INDEX_SELECT } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![("axis", self.axis.to_string())];
        if self.or_zero {
            attributes.push(("or_zero", "true".to_owned()));
        }
        attributes
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        check(inputs[0], inputs[1], self.axis)?;
        let mut output = inputs[0].clone();
        output.shape[self.axis] = inputs[1].shape[0];
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let size = graph.shape(vjp.inputs[0])[self.axis];
        let gradient = graph.index_add(vjp.cotangent, self.axis, vjp.inputs[1], size)?;
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
        let shape = gathering(inputs[0], inputs[1].shape[0], self.axis);
        let or_zero = self.or_zero;
        if let Some(storage) = output.dtype.storage() {
            let outside = if or_zero { 0 } else { storage.store(f32::NAN) };
            return moved_half::lower_picks(&INDEX_SELECT_HALF, shape, outside, choice);
        }
        with_real!(output.dtype, T => {
            let outside: T = if or_zero { 0.0 } else { T::NAN };
            let variant = movement::INDEX_SELECT.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("index_select", variant.name, 0, move |call| {
                let (x, index) = (call.input_bits::<T>(0), call.input(1));
                // SAFETY: sizes come from the shapes; indices are checked.
                unsafe { run(&shape, x, index, outside, call.into_output_bits::<T>()) };
            }))
        })
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![self.axis != 0, self.axis == 0])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = gathering(inputs[0], inputs[1].shape[0], self.axis);
        let outside = if self.or_zero { 0.0 } else { f32::NAN };
        super::shaded(inputs, output, movement::gpu::gathered(&shape, true, outside)?)
    }
}

impl Graph {
    /// The slices of `x` along `axis` at the positions in `index`, an `i32` list.
    ///
    /// # Errors
    /// `axis` does not exist, or `index` is not one dimension of `i32`.
    #[track_caller]
    pub fn index_select(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
    ) -> Result<NodeId, GraphError> {
        let stored = self.type_of_stored(&[x]).is_some();
        self.append(IndexSelect { axis, or_zero: false, stored }, &[x, index])
    }

    /// [`Graph::index_select`] with 0 where an index lies outside.
    ///
    /// # Errors
    /// As [`Graph::index_select`].
    #[track_caller]
    pub fn index_select_or_zero(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
    ) -> Result<NodeId, GraphError> {
        let stored = self.type_of_stored(&[x]).is_some();
        self.append(IndexSelect { axis, or_zero: true, stored }, &[x, index])
    }
}
