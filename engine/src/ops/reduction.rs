//! What ops share that reduce over some dimensions, or normalise along one:
//! shape inference, price, lowering.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Cost, Folding, Form, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::gpu::Operand;
use speck_kernels::reduce::{self, Dim, Reduce};
use speck_kernels::softmax::Softmax;
use speck_kernels::softmax::gpu::softmaxed;
use speck_kernels::{Choice, Kernel, KernelError};
use std::fmt;

/// An op that reduces over some axes and drops them.
pub struct Reduction {
    pub(super) info: OpInfo,
    pub(super) kernel: &'static Kernel<Reduce>,
    /// The gradient in the input, given the axes.
    pub(super) vjp: fn(&Graph, &Vjp<'_>, &[usize]) -> Result<NodeId, GraphError>,
}

/// One use of a [`Reduction`].
pub(super) struct Reduced {
    pub op: &'static Reduction,
    pub axes: Vec<usize>,
}

impl fmt::Debug for Reduced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.info.name)
    }
}

impl Op for Reduced {
    fn form(&self) -> Form<'_> {
        match self.op.info.name {
            "sum" => Form::Sum(&self.axes),
            "max" => Form::Max(&self.axes),
            _ => Form::Other,
        }
    }
    fn info(&self) -> &'static OpInfo {
        &self.op.info
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axes", super::sizes(&self.axes))]
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let mut seen = vec![false; x.rank()];
        for axis in &self.axes {
            match seen.get_mut(*axis) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(format!("axis {axis} is named twice")),
                None => return Err(format!("axis {axis} does not exist")),
            }
        }
        let kept = x.shape.iter().zip(seen).filter(|(_, reduced)| !reduced);
        Ok(x.with_shape(&kept.map(|(size, _)| *size).collect::<Vec<_>>()))
    }

    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some((self.op.vjp)(graph, vjp, &self.axes)?)])
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
        let x = inputs[0];
        let dims: Vec<_> = (0..x.rank())
            .map(|axis| Dim { size: x.shape[axis], reduced: self.axes.contains(&axis) })
            .collect();
        // Who names a variant of the kernel that runs alone gets that kernel.
        let alone = choice.forced(self.op.kernel.name).is_some_and(|forced| forced.by_name);
        if std::ptr::eq(self.op, &super::sum::SUM)
            && !alone
            && let Some(folding) = Folding::sum(&dims, output.dtype, choice)?
        {
            return Ok(Lowered::Folding(folding));
        }
        let dims = reduce::collapse(&dims);
        with_real!(output.dtype, T => {
            let variant = self.op.kernel.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine(self.op.kernel.name, variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(&dims, x, call.into_output()) };
            }))
        })
    }

    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (!self.axes.contains(&0)).then(|| vec![true])
    }

    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let dims: Vec<_> = (0..inputs[0].rank())
            .map(|axis| Dim { size: inputs[0].shape[axis], reduced: self.axes.contains(&axis) })
            .collect();
        reduce::gpu::reduced(&dims, self.op.info.name == "max", Operand::Input(0))
    }
}

/// An op that normalises along one axis and keeps it.
pub struct Normalization {
    pub(super) info: OpInfo,
    pub(super) kernel: &'static Kernel<Softmax>,
    /// The gradient in the input, given the axis.
    pub(super) vjp: fn(&Graph, &Vjp<'_>, usize) -> Result<NodeId, GraphError>,
}

/// One use of a [`Normalization`].
pub(super) struct Normalized {
    pub op: &'static Normalization,
    pub axis: usize,
}

impl fmt::Debug for Normalized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.info.name)
    }
}

impl Op for Normalized {
    fn form(&self) -> Form<'_> {
        match self.op.info.name {
            "softmax" => Form::Softmax { axis: self.axis, log: false },
            "log_softmax" => Form::Softmax { axis: self.axis, log: true },
            _ => Form::Other,
        }
    }
    fn info(&self) -> &'static OpInfo {
        &self.op.info
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axis", self.axis.to_string())]
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        if self.axis >= x.rank() {
            return Err(format!("axis {} does not exist", self.axis));
        }
        Ok(x.clone())
    }

    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some((self.op.vjp)(graph, vjp, self.axis)?)])
    }

    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        // Maximum, difference, exponential and sum; the division or logarithm
        // is once a row.
        streaming(4 * output.elements(), inputs, output)
    }

    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        with_real!(output.dtype, T => {
            let variant = self.op.kernel.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine(self.op.kernel.name, variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: the loops come from the shapes.
                unsafe { run(outer, length, inner, x, call.into_output()) };
            }))
        })
    }

    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        (self.axis != 0).then(|| vec![true])
    }

    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let (outer, length, inner) = inputs[0].around(self.axis);
        let logarithm = self.op.info.name == "log_softmax";
        let operands = [Operand::Input(0), Operand::Output];
        softmaxed([outer, length, inner], logarithm, operands)
    }
}
