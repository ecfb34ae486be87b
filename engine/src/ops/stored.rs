//! `store` and `widen`: to 16 bits, and back.
//!
//! Ops compute in the type of the graph. What is stored in 16 bits takes half the
//! memory and half the time to read: `widen` reads it where an element-wise op, a sum
//! or a norm wants it, and `store` rounds what is to be kept. Both are members of
//! element-wise groups, so that they cost no pass over memory of their own. Products
//! read 16 bits directly, in `matmul_half` and `conv2d_half`.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::program::Pointwise;
use crate::shape::TensorType;
use speck_kernels::gpu::Calls;
use speck_kernels::storage::{self, Storage};
use speck_kernels::{Choice, KernelError};

/// The nearest values that 16 bits hold.
#[derive(Debug)]
struct Store(Storage);

/// What is stored in 16 bits as floats of the graph's type.
#[derive(Debug)]
struct Widen {
    from: Storage,
    to: DType,
}

/// There and back, so that the case has floats on both sides.
fn rounded(graph: &Graph, x: NodeId, dtype: DType) -> Result<NodeId, GraphError> {
    graph.widen(graph.store(x, dtype)?)
}

const DRAW: Draw = Draw::Uniform(-2.0, 2.0);

fn cases_f16() -> Vec<Case> {
    vec![
        Case::new("matrix", &[(&[3, 5], DRAW)], |graph, x| rounded(graph, x[0], DType::F16)),
        Case::new("over vectors", &[(&[71], DRAW)], |graph, x| {
            rounded(graph, graph.square(x[0])?, DType::F16)
        }),
        Case::new("empty", &[(&[0, 2], DRAW)], |graph, x| rounded(graph, x[0], DType::F16)),
    ]
}

fn cases_bf16() -> Vec<Case> {
    vec![
        Case::new("matrix", &[(&[3, 5], DRAW)], |graph, x| rounded(graph, x[0], DType::Bf16)),
        Case::new("over a tile, of several parts", &[(&[5, 1031], DRAW)], |graph, x| {
            let stored = graph.store(x[0], DType::Bf16)?;
            let y = graph.exp(graph.widen(stored)?)?;
            let again = graph.widen(graph.reshape(stored, &[1031, 5])?)?;
            graph.mul(y, graph.reshape(again, &[5, 1031])?)
        }),
        Case::new("empty", &[(&[0, 2], DRAW)], |graph, x| rounded(graph, x[0], DType::Bf16)),
    ]
}

const STORED: Gradient =
    Gradient::Stated("c as it is, not rounded: rounding counts as the identity");
const WIDENED: Gradient = Gradient::Stated("c as it is, not rounded to 16 bits");
const RULE: Option<&str> =
    Some("ties to even; beyond the largest value infinity; subnormal values are kept");

pub(super) static STORE_F16: OpInfo = OpInfo {
    name: "store_f16",
    formula: "y = the nearest value of f16",
    gradient: STORED,
    rule: RULE,
    kernels: || vec![storage::STORE_F16.status()],
    cases: cases_f16,
};

pub(super) static STORE_BF16: OpInfo = OpInfo {
    name: "store_bf16",
    formula: "y = the nearest value of bf16",
    gradient: STORED,
    rule: RULE,
    kernels: || vec![storage::STORE_BF16.status()],
    cases: cases_bf16,
};

pub(super) static WIDEN_F16: OpInfo = OpInfo {
    name: "widen_f16",
    formula: "y = what is stored in f16, exactly",
    gradient: WIDENED,
    rule: None,
    kernels: || vec![storage::WIDEN_F16.status()],
    cases: cases_f16,
};

pub(super) static WIDEN_BF16: OpInfo = OpInfo {
    name: "widen_bf16",
    formula: "y = what is stored in bf16, exactly",
    gradient: WIDENED,
    rule: None,
    kernels: || vec![storage::WIDEN_BF16.status()],
    cases: cases_bf16,
};

impl Op for Store {
    fn info(&self) -> &'static OpInfo {
        match self.0 {
            Storage::F16 => &STORE_F16,
            Storage::Bf16 => &STORE_BF16,
        }
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        Ok(TensorType::new(self.0.into(), &x.shape))
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(vjp.cotangent)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let kernel = Pointwise::store(self.0.round(), inputs[0].dtype, choice)?;
        Ok(Lowered::Pointwise(kernel))
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        storage::gpu::stored(self.0, output.elements())
    }
    fn is_pointwise(&self) -> bool {
        true
    }
}

impl Op for Widen {
    fn info(&self) -> &'static OpInfo {
        match self.from {
            Storage::F16 => &WIDEN_F16,
            Storage::Bf16 => &WIDEN_BF16,
        }
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        if inputs[0].dtype.storage() != Some(self.from) {
            return Err(format!("the input must be stored in {}", self.from.name()));
        }
        Ok(TensorType::new(self.to, &inputs[0].shape))
    }
    fn vjp(&self, _: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(vjp.cotangent)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(0, inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        Ok(Lowered::Pointwise(Pointwise::widen(self.from.widen(), output.dtype, choice)?))
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        storage::gpu::widened(self.from, output.elements())
    }
    fn is_pointwise(&self) -> bool {
        true
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        true
    }
}

impl Graph {
    /// `x` stored in 16 bits, rounded to the nearest value; `dtype` is `F16` or
    /// `Bf16`.
    ///
    /// # Errors
    /// `x` is not floating-point, or `dtype` has not 16 bits.
    #[track_caller]
    pub fn store(&self, x: NodeId, dtype: DType) -> Result<NodeId, GraphError> {
        match dtype.storage() {
            Some(storage) => self.append(Store(storage), &[x]),
            None => Err(self.error("store", &[x], format!("{dtype} has not 16 bits"))),
        }
    }

    /// What is stored in 16 bits, as floats of the graph's type.
    ///
    /// # Errors
    /// `x` is not stored in 16 bits.
    #[track_caller]
    pub fn widen(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let to = self.float();
        match self.ty(x).dtype.storage() {
            Some(from) => self.append(Widen { from, to }, &[x]),
            None => Err(self.error("widen", &[x], "the input is not f16 or bf16".to_owned())),
        }
    }

    /// `x` as elements of type `dtype`: integers, floats, or what is stored in 16
    /// bits. To integers there is [`Graph::to_index`].
    ///
    /// # Errors
    /// `dtype` is neither the graph's floating-point type nor one of 16 bits.
    #[track_caller]
    pub fn cast_to(&self, x: NodeId, dtype: DType) -> Result<NodeId, GraphError> {
        let own = self.ty(x).dtype;
        if own == dtype {
            return Ok(x);
        }
        if dtype != self.float() && dtype.storage().is_none() {
            let float = self.float();
            let message = format!("to {dtype}: this graph casts to {float}, f16 and bf16");
            return Err(self.error("cast", &[x], message));
        }
        let wide = match own {
            DType::I32 => self.cast(x)?,
            _ if own.storage().is_some() => self.widen(x)?,
            _ => x,
        };
        if dtype == self.float() { Ok(wide) } else { self.store(wide, dtype) }
    }
}
