//! The softmax on a GPU.

use crate::gpu::{Call, Calls, Operand, flag, size, softmax, spread, unless_empty};
use crate::reduce::gpu::lanes;

/// [`SOFTMAX`](super::SOFTMAX), or its logarithm, of `from` into `into`.
///
/// # Errors
/// Too many elements.
pub fn softmaxed(
    [outer, length, inner]: [usize; 3],
    logarithm: bool,
    [from, into]: [Operand; 2],
) -> Result<Calls, String> {
    let slices = outer * inner;
    unless_empty(slices * length, || {
        let params = softmax::Params {
            slices: size(slices)?,
            length: size(length)?,
            inner: size(inner)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let lanes = if inner == 1 { lanes(slices, length) } else { 1 };
        let groups = spread(slices.div_ceil(256 / lanes))?;
        let call = Call::new(&softmax::SHADER, &params, &[from, into], groups);
        Ok(call.with(&[(softmax::LANES, lanes as f64), (softmax::LOGARITHM, flag(logarithm))]))
    })
}
