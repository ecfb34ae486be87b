//! The operations, one file an op, and their registry.
//!
//! A new op is one file here (a type that implements [`Op`](crate::Op), its
//! [`OpInfo`] and its builder method on [`Graph`](crate::Graph)) and one line
//! in [`ALL`]. The registry-wide tests then hold it to its contract.

mod abs;
mod add;
mod argmax;
mod argsort;
mod atan2;
mod attention;
mod attention_gradient;
mod average_pool2d;
mod barrier;
mod cast;
mod concat;
mod conv2d;
mod conv2d_half;
mod cos;
mod cumulative_sum;
mod detach;
mod div;
mod embed;
mod equal;
mod erf;
mod exp;
mod expand;
mod expm1;
mod floor;
mod gather;
mod gelu;
mod greater;
mod greater_equal;
mod increment;
mod index_add;
mod index_select;
mod iota;
mod largest;
mod log;
mod log1p;
mod log_softmax;
mod matmul;
mod max;
mod max_pool2d_indices;
mod maximum;
mod minimum;
mod moments;
mod moved_half;
mod mul;
mod narrow;
mod neg;
pub(crate) mod norm;
mod part;
mod permute;
mod picked_conv;
mod picks;
mod pointwise;
mod pow;
mod random;
mod reciprocal;
mod reduction;
mod relu;
mod render;
mod render_windows;
mod reshape;
mod round;
mod row_linear;
mod row_update;
mod rsqrt;
mod scatter_add;
mod segment_max;
mod select;
mod self_attention;
mod sigmoid;
mod sign;
mod sin;
mod softmax;
mod softplus;
mod source;
mod speck_targets;
mod sqrt;
mod square;
mod stored;
mod straight_through;
mod sub;
mod sum;
mod symmetric_eigen;
mod tanh;
mod to_index;
mod unrender;
mod window_mask;
mod window_origins;
mod window_tile;

pub use average_pool2d::AveragePool2d;
pub use conv2d::Window;
pub use picks::PicksShape;
pub use window_tile::TileShape;

pub use max_pool2d_indices::PoolWindow;
pub(crate) use source::Given;

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Lowered, OpInfo, Routine, Vjp};
use crate::program::Arguments;
use crate::shape::TensorType;
use speck_kernels::gpu::Calls;

/// Every op.
pub static ALL: &[&OpInfo] = &[
    // Sources
    &source::INPUT,
    &source::STATE,
    &source::CONSTANT,
    &iota::INFO,
    &random::UNIFORM,
    &random::NORMAL,
    &render::INFO,
    &unrender::INFO,
    &speck_targets::INFO,
    // Element by element
    &neg::NEG.info,
    &abs::ABS.info,
    &sign::SIGN.info,
    &floor::FLOOR.info,
    &round::ROUND.info,
    &sqrt::SQRT.info,
    &rsqrt::RSQRT.info,
    &reciprocal::RECIPROCAL.info,
    &square::SQUARE.info,
    &exp::EXP.info,
    &expm1::EXPM1.info,
    &log::LOG.info,
    &log1p::LOG1P.info,
    &sin::SIN.info,
    &cos::COS.info,
    &tanh::TANH.info,
    &sigmoid::SIGMOID.info,
    &relu::RELU.info,
    &softplus::SOFTPLUS.info,
    &erf::ERF.info,
    &gelu::GELU.info,
    &gelu::GRADIENT.info,
    &add::ADD.info,
    &sub::SUB.info,
    &mul::MUL.info,
    &div::DIV.info,
    &pow::POW.info,
    &atan2::ATAN2.info,
    &maximum::MAXIMUM.info,
    &minimum::MINIMUM.info,
    &greater::GREATER.info,
    &greater_equal::GREATER_EQUAL.info,
    &equal::EQUAL.info,
    &select::INFO,
    // Reductions
    &sum::SUM.info,
    &max::MAX.info,
    &argmax::INFO,
    &argsort::INFO,
    &cumulative_sum::INFO,
    &symmetric_eigen::INFO,
    &segment_max::INFO,
    &moments::INFO,
    &softmax::SOFTMAX.info,
    &log_softmax::LOG_SOFTMAX.info,
    // Products
    &matmul::INFO,
    &matmul::HALF,
    &attention::INFO,
    &attention_gradient::INFO,
    &self_attention::INFO,
    &self_attention::GRADIENT,
    &norm::INFO,
    &norm::GRADIENT,
    &conv2d::INFO,
    &conv2d::INPUT_GRADIENT,
    &conv2d::WEIGHT_GRADIENT,
    &conv2d_half::INFO,
    &conv2d_half::INPUT_GRADIENT,
    &conv2d_half::WEIGHT_GRADIENT,
    // Pooling
    &max_pool2d_indices::INFO,
    &average_pool2d::INFO,
    &average_pool2d::GRADIENT,
    // Of what flows where
    &detach::INFO,
    &straight_through::INFO,
    &barrier::INFO,
    // Movement
    &reshape::INFO,
    &part::INFO,
    &expand::INFO,
    &permute::INFO,
    &moved_half::PERMUTE,
    &narrow::INFO,
    &embed::INFO,
    &concat::INFO,
    &moved_half::CONCAT,
    &gather::INFO,
    &moved_half::GATHER,
    &scatter_add::INFO,
    &index_select::INFO,
    &moved_half::INDEX_SELECT,
    &index_add::INFO,
    // Windows
    &window_origins::INFO,
    &render_windows::INFO,
    &render_windows::ADJOINT,
    &window_tile::INFO,
    &window_tile::PATCH_ADJOINT,
    &window_tile::BASE_ADJOINT,
    &window_mask::INFO,
    &picks::INFO,
    &picks::GRADIENT,
    &picked_conv::INFO,
    &picked_conv::INPUT_GRADIENT,
    &picked_conv::WEIGHT_GRADIENT,
    &largest::INFO,
    &largest::ADJOINT,
    &row_linear::INDEX,
    &row_linear::INFO,
    &row_linear::PATCH,
    &row_linear::WEIGHT,
    &row_linear::SUM,
    &row_update::CATCH_UP,
    &row_update::UPDATE,
    &row_update::DUE,
    &row_update::SEEN,
    &row_update::RATES,
    // Integers
    &cast::INFO,
    &stored::STORE_F16,
    &stored::STORE_BF16,
    &stored::WIDEN_F16,
    &stored::WIDEN_BF16,
    &to_index::INFO,
    &increment::INFO,
];

/// The ops whose output is their input's memory; they run no kernel.
pub const ALIASES: [&str; 5] = ["reshape", "part", "detach", "straight_through", "barrier"];
/// The name of the op that writes out a broadcast.
pub const EXPAND: &str = "expand";

fn arity(inputs: &[&TensorType], expected: usize) -> Result<(), String> {
    if inputs.len() == expected {
        return Ok(());
    }
    Err(format!("takes {expected} inputs, not {}", inputs.len()))
}

/// One floating-point input.
fn one_float<'a>(inputs: &[&'a TensorType]) -> Result<&'a TensorType, String> {
    arity(inputs, 1)?;
    if !inputs[0].dtype.is_float() {
        return Err("the input must be floating-point".to_owned());
    }
    Ok(inputs[0])
}

/// All inputs floating-point and of one element type.
fn same_floats(inputs: &[&TensorType]) -> Result<(), String> {
    if inputs.iter().all(|ty| ty.dtype.is_float() && ty.dtype == inputs[0].dtype) {
        return Ok(());
    }
    Err("inputs must be floating-point and of one element type".to_owned())
}

/// The type of a product: `sums` where both operands are stored in one format of 16
/// bits, else that of the operands.
fn type_of_sums(inputs: &[&TensorType], sums: Option<DType>) -> Result<DType, String> {
    let Some(sums) = sums else {
        same_floats(inputs)?;
        return Ok(inputs[0].dtype);
    };
    let [a, b] = [inputs[0].dtype, inputs[1].dtype];
    match a == b && a.storage().is_some() {
        true => Ok(sums),
        false => Err(format!(
            "one operand is {a} and the other {b}; a product of 16 bits takes both in one format: \
             `store` the other one, or `widen`"
        )),
    }
}

/// The cotangent of a product as the product's gradients read it: in the format of
/// the operands.
fn like_operands(graph: &Graph, vjp: &Vjp<'_>) -> Result<NodeId, GraphError> {
    let dtype = graph.ty(vjp.inputs[0]).dtype;
    match dtype.storage() {
        Some(_) => graph.store(vjp.cotangent, dtype),
        None => Ok(vjp.cotangent),
    }
}

impl Graph {
    /// The type of sums of products, if an operand is stored in 16 bits.
    fn type_of_stored(&self, operands: &[NodeId]) -> Option<DType> {
        let stored = operands.iter().any(|id| self.ty(*id).dtype.storage().is_some());
        stored.then(|| self.float())
    }
}

fn routine(
    kernel: &str,
    variant: &str,
    scratch: usize,
    run: impl Fn(Arguments<'_>) + Send + Sync + 'static,
) -> Lowered {
    let label = format!("{kernel}:{variant}");
    Lowered::Routine(Routine { label, scratch, reports: false, passes: false, run: Box::new(run) })
}

/// Sizes as attributes print them: `3,5`.
fn sizes(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// The calls of an op whose inputs may be stored in 16 bits, and its output.
fn shaded(inputs: &[&TensorType], output: &TensorType, calls: Calls) -> Result<Calls, String> {
    let all = || inputs.iter().copied().chain([output]);
    let Some(format) = all().find_map(|ty| ty.dtype.storage()) else { return Ok(calls) };
    let count = |ty: &TensorType| ty.dtype.storage().map(|_| ty.elements());
    let inputs: Vec<_> = inputs.iter().map(|ty| count(ty)).collect();
    speck_kernels::storage::gpu::with_stored(calls, format, &inputs, count(output))
}
