//! `random_uniform` and `random_normal`: counter-based random numbers.
//!
//! Philox (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
//! 1, 2, 3", SC 2011) keyed by the run's seed, the op's stream number and the
//! step: an element's value depends on nothing else, so it is the same on every
//! backend, at every thread count, and when a run is resumed.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::random::{self, Generate, Stream};
use speck_kernels::{Choice, KernelError};

/// Independent draws; the inputs are the seed (two i32 words, the low one
/// first) and the step (one i32).
struct Random {
    info: &'static OpInfo,
    kernel: &'static Kernel<Generate>,
    shape: Vec<usize>,
    dtype: DType,
    stream: u64,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info.name)
    }
}

const ZERO: Gradient = Gradient::Zero("a draw depends on integers only");

pub(super) static UNIFORM: OpInfo = OpInfo {
    name: "random_uniform",
    formula: "y ~ uniform in [0, 1), a multiple of 2⁻²⁴",
    gradient: ZERO,
    rule: Some("0 can be drawn, 1 cannot"),
    kernels: || vec![random::UNIFORM.status()],
    cases: || {
        vec![Case::new(
            "matrix",
            &[(&[2], Draw::Index(100)), (&[], Draw::Index(100))],
            |graph, x| graph.random_uniform(&[3, 7], x[0], x[1]),
        )]
    },
};

pub(super) static NORMAL: OpInfo = OpInfo {
    name: "random_normal",
    formula: "y ~ normal with mean 0 and variance 1 (Box–Muller)",
    gradient: ZERO,
    rule: None,
    kernels: || vec![random::NORMAL.status()],
    cases: || {
        vec![Case::new(
            "matrix",
            &[(&[2], Draw::Index(100)), (&[], Draw::Index(100))],
            |graph, x| graph.random_normal(&[3, 7], x[0], x[1]),
        )]
    },
};

impl Op for Random {
    fn info(&self) -> &'static OpInfo {
        self.info
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("shape", super::sizes(&self.shape)), ("stream", self.stream.to_string())]
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        let seed = TensorType::new(DType::I32, &[2]);
        let step = TensorType::new(DType::I32, &[]);
        if *inputs[0] != seed || *inputs[1] != step {
            return Err(format!("takes a seed {seed} and a step {step}"));
        }
        Ok(TensorType::new(self.dtype, &self.shape))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None, None])
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        // Ten rounds of two multiplications for four words.
        let flops = 5 * output.elements() as u64;
        Cost { flops, read: 12, written: output.bytes() as u64 }
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let stream = self.stream;
        with_real!(output.dtype, T => {
            let variant = self.kernel.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine(self.kernel.name, variant.name, 0, move |call| {
                let (seed, step) = (call.input::<i32>(0), call.input::<i32>(1)[0]);
                let [low, high] = [seed[0] as u32, seed[1] as u32];
                let seed = u64::from(high) << 32 | u64::from(low);
                let stream = Stream { seed, stream, step: u64::from(step as u32) };
                // SAFETY: the routine writes its output slice only.
                unsafe { run(&stream, call.into_output::<T>()) };
            }))
        })
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let normal = std::ptr::eq(self.info, &NORMAL);
        random::gpu::drawn(output.elements(), self.stream, normal)
    }
}

impl Graph {
    /// Independent uniform draws in [0, 1) of the given shape. `seed` is i32
    /// [2] and `step` i32 []; each random op of a graph has a stream of its own.
    ///
    /// # Errors
    /// `seed` or `step` of another type.
    #[track_caller]
    pub fn random_uniform(
        &self,
        shape: &[usize],
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.random(&UNIFORM, &random::UNIFORM, shape, [seed, step])
    }

    /// Independent standard normal draws; see [`Graph::random_uniform`].
    ///
    /// # Errors
    /// `seed` or `step` of another type.
    #[track_caller]
    pub fn random_normal(
        &self,
        shape: &[usize],
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.random(&NORMAL, &random::NORMAL, shape, [seed, step])
    }

    #[track_caller]
    fn random(
        &self,
        info: &'static OpInfo,
        kernel: &'static Kernel<Generate>,
        shape: &[usize],
        inputs: [NodeId; 2],
    ) -> Result<NodeId, GraphError> {
        let (shape, dtype) = (shape.to_vec(), self.float());
        let stream = self.next_stream();
        self.append(Random { info, kernel, shape, dtype, stream }, &inputs)
    }
}
