//! `at_largest` and its adjoint `to_largest`: the largest of a few rows.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::largest::{self, Largest, Taps};
use speck_kernels::{Choice, KernelError};

/// (x, k) → k where x is largest.
#[derive(Debug)]
struct AtLargest;

/// (x, c) → c where x is largest, else 0.
#[derive(Debug)]
struct ToLargest;

const X: (&[usize], Draw) = (&[3, 4, 2], Draw::Distinct);
const K: (&[usize], Draw) = (&[3, 4, 2], Draw::Uniform(-1.0, 1.0));
const C: (&[usize], Draw) = (&[3, 2], Draw::Uniform(-1.0, 1.0));

pub(super) static INFO: OpInfo = OpInfo {
    name: "at_largest",
    formula: "y[p,c] = k[p,t,c] for the t of the largest x[p,t,c]",
    gradient: Gradient::Product("to_largest(x, c) to k; none to x, which only chooses"),
    rule: None,
    kernels: || vec![largest::AT_LARGEST.status()],
    cases: || {
        vec![
            Case::new("other values", &[X, K], |g, x| {
                let k = g.square(x[1])?;
                g.at_largest(x[0], k)
            }),
            Case::new("the largest", &[X], |g, x| g.at_largest(x[0], x[0])),
        ]
    },
};

pub(super) static ADJOINT: OpInfo = OpInfo {
    name: "to_largest",
    formula: "y[p,t,c] = k[p,c] for the t of the largest x[p,t,c], else 0",
    gradient: Gradient::Product("at_largest(x, c) to k; none to x, which only chooses"),
    rule: None,
    kernels: || vec![largest::TO_LARGEST.status()],
    cases: || {
        vec![Case::new("four taps", &[X, C], |g, x| {
            let c = g.square(x[1])?;
            g.append(ToLargest, &[x[0], c])
        })]
    },
};

fn taps(x: &TensorType) -> Result<Taps, String> {
    match x.shape.as_slice() {
        &[places, taps, channels] if taps > 0 => Ok(Taps { places, taps, channels }),
        _ => Err("takes rectangles [places, taps, channels]".to_owned()),
    }
}

fn lower(
    kernel: &'static Kernel<Largest>,
    inputs: &[&TensorType],
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let taps = taps(inputs[0]);
    let taps = taps.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
    with_real!(inputs[0].dtype, T => {
        let variant = kernel.select::<T>(choice)?;
        let run = variant.run;
        Ok(super::routine(kernel.name, variant.name, 0, move |call| {
            let (x, k) = (call.input::<T>(0), call.input::<T>(1));
            run(&taps, x, k, call.into_output());
        }))
    })
}

impl Op for AtLargest {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(inputs)?;
        let Taps { places, channels, .. } = taps(inputs[0])?;
        if inputs[0].shape != inputs[1].shape {
            return Err("values of another size".to_owned());
        }
        Ok(inputs[0].with_shape(&[places, channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let gradient = || graph.append(ToLargest, &[vjp.inputs[0], vjp.cotangent]);
        Ok(vec![None, vjp.needs[1].then(gradient).transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&largest::AT_LARGEST, inputs, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        largest::gpu::calls(&taps(inputs[0])?, false)
    }
}

impl Op for ToLargest {
    fn info(&self) -> &'static OpInfo {
        &ADJOINT
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(inputs)?;
        let Taps { places, channels, .. } = taps(inputs[0])?;
        if inputs[1].shape != [places, channels] {
            return Err("values of another size".to_owned());
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let gradient = || graph.at_largest(vjp.inputs[0], vjp.cotangent);
        Ok(vec![None, vjp.needs[1].then(gradient).transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&largest::TO_LARGEST, inputs, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        largest::gpu::calls(&taps(inputs[0])?, true)
    }
}

impl Graph {
    /// [places, channels] out of `k` [places, taps, channels]: what stands at the
    /// tap where `x`, of the same shape, is largest; ties to the first tap, NaN
    /// before all. With `x` for `k` the largest themselves.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn at_largest(&self, x: NodeId, k: NodeId) -> Result<NodeId, GraphError> {
        self.append(AtLargest, &[x, k])
    }
}
