//! The softmax on a GPU.

use crate::gpu::{
    Call, Calls, Operand, ROUNDS, Variant, flag, size, softmax, softmax_subgroup, spread,
    unless_empty,
};
use crate::reduce::gpu::{LEAST_JOINED, lanes};

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
    // Along another axis neighbours are slices; only a very long one is shared by lanes.
    let lanes = match inner {
        1 => lanes(slices, length),
        _ if 3 * length > ROUNDS => 256,
        _ => 1,
    };
    let mut calls = unless_empty(slices * length, || {
        let params = softmax::Params {
            slices: size(slices)?,
            length: size(length)?,
            inner: size(inner)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let groups = spread(slices.div_ceil(256 / lanes))?;
        let call = Call::new(&softmax::SHADER, &params, &[from, into], groups);
        let call = call.looping(3 * length.div_ceil(lanes) + 48);
        Ok(call.with(&[(softmax::LANES, lanes as f64), (softmax::LOGARITHM, flag(logarithm))]))
    })?;
    if lanes >= LEAST_JOINED
        && inner == 1
        && let Some(call) = calls.calls.first()
    {
        let shader = &softmax_subgroup::SHADER;
        let own = Call { shader, ..call.clone() };
        calls.variants.push(Variant { shader, calls: own.into(), suits: true });
    }
    Ok(calls)
}
