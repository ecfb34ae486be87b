//! Sums, maxima and the places of maxima on a GPU.

use super::{Dim, collapse};
use crate::gpu::{
    Call, Calls, Operand, Variant, argmax, dims, flag, linear, reduce,
    reduce_rows_subgroup as rows, size, spread, unless_empty,
};

/// The lanes that share a sum of `length`, where there are `outputs` of them: as few
/// as keep a GPU busy, for the tree at the end costs a barrier a level.
pub(crate) fn lanes(outputs: usize, length: usize) -> usize {
    /// Invocations that occupy a large GPU.
    const BUSY: usize = 1 << 16;
    /// Values that a lane adds at least.
    const LEAST: usize = 4;
    let wanted = BUSY.div_ceil(outputs.max(1)).min(length / LEAST);
    wanted.clamp(1, 256).next_power_of_two().min(256)
}

/// Lanes from which on joining them by subgroups is worth a variant.
const LEAST_JOINED: usize = 8;

/// [`SUM`](super::SUM), or with `largest` [`MAX`](super::MAX), of an operand.
///
/// # Errors
/// Too many elements or dimensions.
pub fn reduced(all: &[Dim], largest: bool, from: Operand) -> Result<Calls, String> {
    let all = collapse(all);
    let mut kept = Vec::new();
    let mut gone = Vec::new();
    let mut stride = 1;
    for dim in all.iter().rev() {
        if dim.reduced { &mut gone } else { &mut kept }.push((dim.size, stride as isize));
        stride *= dim.size;
    }
    kept.reverse();
    gone.reverse();
    let count = |list: &[(usize, isize)]| list.iter().map(|(size, _)| size).product::<usize>();
    let (outputs, length) = (count(&kept), count(&gone));
    let lanes = lanes(outputs, length);
    let mut calls = unless_empty(outputs, || {
        let sizes = |list: &[(usize, isize)]| dims(list.iter().map(|(size, _)| *size as isize));
        let strides = |list: &[(usize, isize)]| dims(list.iter().map(|(_, stride)| *stride));
        let params = reduce::Params {
            outputs: size(outputs)?,
            length: size(length)?,
            kept_rank: size(kept.len())?,
            reduced_rank: size(gone.len())?,
            lowest: f32::NEG_INFINITY.to_bits(),
            kept_sizes: sizes(&kept)?,
            kept_strides: strides(&kept)?,
            reduced_sizes: sizes(&gone)?,
            reduced_strides: strides(&gone)?,
        };
        let groups = spread(outputs.div_ceil(256 / lanes))?;
        let call = Call::new(&reduce::SHADER, &params, &[from, Operand::Output], groups);
        Ok(call.with(&[(reduce::LANES, lanes as f64), (reduce::LARGEST, flag(largest))]))
    })?;
    // Rows, or all of it as one row; few lanes have nothing to gain.
    let in_rows = matches!((kept.as_slice(), gone.as_slice()), ([] | [_], [(_, 1)]));
    if in_rows && lanes >= LEAST_JOINED {
        let shader = &rows::SHADER;
        let params = rows::Params {
            outputs: size(outputs)?,
            length: size(length)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let groups = spread(outputs.div_ceil(256 / lanes))?;
        let call = Call::new(shader, &params, &[from, Operand::Output], groups);
        let call = call.with(&[(rows::LANES, lanes as f64), (rows::LARGEST, flag(largest))]);
        calls.variants.push(Variant { calls: call.into(), exact: true });
    }
    Ok(calls)
}

/// See [`ARGMAX`](super::ARGMAX).
///
/// # Errors
/// Too many elements.
pub fn argmax_calls(outer: usize, length: usize, inner: usize) -> Result<Calls, String> {
    unless_empty(outer * inner, || {
        let params = argmax::Params {
            outputs: size(outer * inner)?,
            length: size(length)?,
            inner: size(inner)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let groups = linear(&argmax::SHADER, outer * inner)?;
        Ok(Call::new(&argmax::SHADER, &params, &[Operand::Input(0), Operand::Output], groups))
    })
}
