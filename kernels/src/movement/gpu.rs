//! Moving elements on a GPU.

use super::{Gathering, Strided};
use crate::gpu::{
    Call, Calls, Operand, Variant, copy_strided, dims, fill, flag, gather, in_turn, linear,
    scatter, scatter_rounds, size, spread, unless_empty,
};

fn copy(layout: &Strided<'_>, operands: [Operand; 2], writes: bool) -> Result<Calls, String> {
    // Dimensions of size 1 go, neighbours walked in one are joined.
    let mut merged: Vec<(usize, isize)> = Vec::new();
    let pairs = layout.sizes.iter().zip(layout.strides).filter(|(size, _)| **size != 1);
    for (&length, &stride) in pairs {
        match merged.last_mut() {
            Some((outer, step)) if *step == stride * length as isize => {
                (*outer, *step) = (*outer * length, stride);
            }
            _ => merged.push((length, stride)),
        }
    }
    let count = layout.elements();
    unless_empty(count, || {
        let params = copy_strided::Params {
            count: size(count)?,
            rank: size(merged.len())?,
            offset: size(layout.offset)?,
            sizes: dims(merged.iter().map(|(size, _)| *size as isize))?,
            strides: dims(merged.iter().map(|(_, stride)| *stride))?,
        };
        let shader = &copy_strided::SHADER;
        let call = Call::new(shader, &params, &operands, linear(shader, count)?);
        Ok(call.with(&[(copy_strided::WRITES, flag(writes))]))
    })
}

/// See [`READ_STRIDED`](super::READ_STRIDED).
///
/// # Errors
/// Too many elements or dimensions.
pub fn read(layout: &Strided<'_>) -> Result<Calls, String> {
    copy(layout, [Operand::Input(0), Operand::Output], false)
}

/// See [`WRITE_STRIDED`](super::WRITE_STRIDED); writes input `number`.
///
/// # Errors
/// As [`read`].
pub fn write(layout: &Strided<'_>, number: usize) -> Result<Calls, String> {
    copy(layout, [Operand::Input(number), Operand::Output], true)
}

/// `count` elements of the output, or what other `operand` there is, set to `bits`.
///
/// # Errors
/// Too many elements.
pub fn filled(count: usize, bits: u32, operand: Operand) -> Result<Calls, String> {
    unless_empty(count, || {
        let params = fill::Params { count: size(count)?, bits };
        Ok(Call::new(&fill::SHADER, &params, &[operand], linear(&fill::SHADER, count)?))
    })
}

/// `out[i] = i`.
///
/// # Errors
/// Too many elements.
pub fn counted(count: usize) -> Result<Calls, String> {
    let mut calls = filled(count, 0, Operand::Output)?;
    for call in &mut calls.calls {
        call.overrides.push((fill::COUNTS, 1.0));
    }
    Ok(calls)
}

/// See [`GATHER`](super::GATHER), or with one index a row
/// [`INDEX_SELECT`](super::INDEX_SELECT).
///
/// # Errors
/// Too many elements.
pub fn gathered(shape: &Gathering, by_rows: bool, outside: f32) -> Result<Calls, String> {
    let count = shape.outer * shape.picks * shape.inner;
    unless_empty(count, || {
        let params = gather::Params {
            count: size(count)?,
            source: size(shape.source)?,
            picks: size(shape.picks)?,
            inner: size(shape.inner)?,
            outside: outside.to_bits(),
        };
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
        let groups = linear(&gather::SHADER, count)?;
        let call = Call::new(&gather::SHADER, &params, &operands, groups);
        Ok(call.with(&[(gather::BY_ROWS, flag(by_rows))]))
    })
}

/// Picks from which on a workgroup has enough to do with those of one outer index.
const MANY_PICKS: usize = 128;

/// See [`SCATTER_ADD`](super::SCATTER_ADD), with one index a row
/// [`INDEX_ADD`](super::INDEX_ADD) or [`SEGMENT_MAX`](super::SEGMENT_MAX).
///
/// # Errors
/// Too many elements.
pub fn scattered(shape: &Gathering, by_rows: bool, largest: bool) -> Result<Calls, String> {
    let count = shape.outer * shape.source * shape.inner;
    let mut calls = Calls::default();
    if count == 0 {
        return Ok(calls);
    }
    let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
    for [first, last] in in_turn(shape.picks, 1) {
        let params = scatter::Params {
            count: size(count)?,
            source: size(shape.source)?,
            picks: size(shape.picks)?,
            inner: size(shape.inner)?,
            lowest: f32::NEG_INFINITY.to_bits(),
            first: size(first)?,
            last: size(last)?,
        };
        let groups = linear(&scatter::SHADER, count)?;
        let call = Call::new(&scatter::SHADER, &params, &operands, groups);
        let overrides = [(scatter::BY_ROWS, flag(by_rows)), (scatter::LARGEST, flag(largest))];
        calls.calls.push(call.looping(last - first + 1).with(&overrides));
    }
    if shape.inner == 1 && !by_rows && !largest {
        let shader = &scatter_rounds::SHADER;
        let tiles = shape.source.div_ceil(scatter_rounds::SLOTS as usize);
        let mut own = Calls::default();
        // Of a chunk of picks all may fall on one element, and one more round sees that
        // none is left.
        let chunk = 256;
        for [first, last] in in_turn(shape.picks.div_ceil(chunk), chunk + 2) {
            let params = scatter_rounds::Params {
                outer: size(shape.outer)?,
                source: size(shape.source)?,
                picks: size(shape.picks)?,
                tiles: size(tiles)?,
                first: size(first * chunk)?,
                last: size((last * chunk).min(shape.picks))?,
            };
            let call = Call::new(shader, &params, &operands, spread(shape.outer * tiles)?);
            own.calls.push(call.looping((last - first) * (chunk + 2) + 16));
        }
        let suits = shape.picks >= MANY_PICKS;
        calls.variants.push(Variant { shader, calls: own, suits });
    }
    Ok(calls)
}
