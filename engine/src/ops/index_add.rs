//! `index_add`: whole slices added up at indices along a dimension.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement;
use speck_kernels::{Choice, KernelError};

/// y[…, index[i], …] += x[…, i, …], from zero.
#[derive(Debug)]
struct IndexAdd {
    axis: usize,
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "index_add",
    formula: "y = 0; y[…, index[i], …] += x[…, i, …]",
    gradient: Gradient::Product("c picked at the indices, slice by slice"),
    rule: Some(
        "an index outside the dimension adds nothing and gets no gradient; sums run in the order of i",
    ),
    kernels: || vec![movement::INDEX_ADD.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("rows", &[(&[7, 3], draw), (&[7], Draw::Index(5))], |graph, x| {
                let source = graph.square(x[0])?;
                graph.index_add(source, 0, x[1], 5)
            }),
            Case::new("last", &[(&[2, 3, 4], draw), (&[4], Draw::Index(3))], |graph, x| {
                graph.index_add(x[0], 2, x[1], 3)
            }),
            Case::new("nothing", &[(&[2, 0], draw), (&[0], Draw::Index(3))], |graph, x| {
                graph.index_add(x[0], 1, x[1], 3)
            }),
        ]
    },
};

/// The type of slices along `axis` brought together in `size` others.
pub(super) fn folded(
    inputs: &[&TensorType],
    axis: usize,
    size: usize,
) -> Result<TensorType, String> {
    super::arity(inputs, 2)?;
    super::index_select::check(inputs[0], inputs[1], axis)?;
    if !inputs[0].dtype.is_float() {
        return Err("takes floating-point values".to_owned());
    }
    if inputs[0].shape[axis] != inputs[1].shape[0] {
        return Err(format!("needs as many indices as axis {axis} is long"));
    }
    let mut output = inputs[0].clone();
    output.shape[axis] = size;
    Ok(output)
}

impl Op for IndexAdd {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string()), ("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        folded(inputs, self.axis, self.size)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        // What lies outside was not added.
        let gradient = graph.index_select_or_zero(vjp.cotangent, self.axis, vjp.inputs[1])?;
        Ok(vec![Some(gradient), None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = super::index_select::gathering(output, inputs[1].shape[0], self.axis);
        with_real!(output.dtype, T => {
            let variant = movement::INDEX_ADD.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("index_add", variant.name, 0, move |call| {
                let (x, index) = (call.input::<T>(0), call.input(1));
                // SAFETY: sizes come from the shapes; indices are checked.
                unsafe { run(&shape, x, index, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true, false])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = super::index_select::gathering(output, inputs[1].shape[0], self.axis);
        movement::gpu::scattered(&shape, true, false)
    }
}

impl Graph {
    /// A tensor of zeros with `size` slices along `axis`, to which the slices of
    /// `x` are added at the positions in `index`, an `i32` list: the adjoint of
    /// [`Graph::index_select`].
    ///
    /// # Errors
    /// `axis` does not exist, or `index` is not one `i32` a slice of `x`.
    #[track_caller]
    pub fn index_add(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(IndexAdd { axis, size }, &[x, index])
    }
}
