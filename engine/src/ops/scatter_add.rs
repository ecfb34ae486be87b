//! `scatter_add`: elements added up at indices along a dimension.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::movement::{self, Gathering};
use speck_kernels::{Choice, KernelError};

/// y[…, index[…, i, …], …] += x[…, i, …], from zero.
#[derive(Debug)]
struct ScatterAdd {
    axis: usize,
    size: usize,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "scatter_add",
    formula: "y = 0; y[…, index[…, i, …], …] += x[…, i, …]",
    gradient: Gradient::Product("c gathered at the indices"),
    rule: Some("an index outside the dimension adds nothing; sums run in the order of i"),
    kernels: || vec![movement::SCATTER_ADD.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("last", &[(&[3, 4], draw), (&[3, 4], Draw::Index(5))], |graph, x| {
                let source = graph.square(x[0])?;
                graph.scatter_add(source, 1, x[1], 5)
            }),
            Case::new("first", &[(&[6, 2], draw), (&[6, 2], Draw::Index(3))], |graph, x| {
                graph.scatter_add(x[0], 0, x[1], 3)
            }),
            Case::new("nothing", &[(&[2, 0], draw), (&[2, 0], Draw::Index(3))], |graph, x| {
                graph.scatter_add(x[0], 1, x[1], 3)
            }),
        ]
    },
};

/// Whether `index` picks along `axis` of `x`, with equal sizes elsewhere.
pub(super) fn check(x: &TensorType, index: &TensorType, axis: usize) -> Result<(), String> {
    if index.dtype != DType::I32 || !x.dtype.carries_gradient() {
        return Err("takes floating-point values and i32 indices".to_owned());
    }
    let fits = axis < x.rank()
        && index.rank() == x.rank()
        && (0..x.rank()).all(|i| i == axis || x.shape[i] == index.shape[i]);
    if !fits {
        return Err(format!("values and indices may differ in size along axis {axis} only"));
    }
    Ok(())
}

/// The loops over a source and an index along `axis`.
pub(super) fn gathering(source: &TensorType, index: &TensorType, axis: usize) -> Gathering {
    let (outer, size, inner) = source.around(axis);
    Gathering { outer, source: size, picks: index.shape[axis], inner }
}

impl Op for ScatterAdd {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string()), ("size", self.size.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        check(inputs[0], inputs[1], self.axis)?;
        if inputs[0].shape != inputs[1].shape {
            return Err("values and indices must have equal shapes".to_owned());
        }
        let mut output = inputs[0].clone();
        output.shape[self.axis] = self.size;
        Ok(output)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.gather(vjp.cotangent, self.axis, vjp.inputs[1])?), None])
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
        let shape = gathering(output, inputs[1], self.axis);
        with_real!(output.dtype, T => {
            let variant = movement::SCATTER_ADD.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("scatter_add", variant.name, 0, move |call| {
                let (x, index) = (call.input::<T>(0), call.input(1));
                // SAFETY: sizes come from the shapes; indices are checked.
                unsafe { run(&shape, x, index, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true, true])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = gathering(output, inputs[1], self.axis);
        movement::gpu::scattered(&shape, false, false)
    }
}

impl Graph {
    /// A tensor of zeros with `size` elements along `axis`, to which the
    /// elements of `x` are added at `index`.
    ///
    /// # Errors
    /// Shapes of `x` and `index` that differ, or an `index` that is not `i32`.
    #[track_caller]
    pub fn scatter_add(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        self.append(ScatterAdd { axis, size }, &[x, index])
    }
}
