//! Order on a GPU.

use super::Sorting;
use crate::gpu::{Call, Calls, Operand, argsort, in_turn, linear, size};

/// See [`ARGSORT`](super::ARGSORT).
///
/// # Errors
/// Too many elements.
pub fn argsort_calls(shape: &Sorting) -> Result<Calls, String> {
    let elements = shape.elements();
    let mut calls = Calls::default();
    if elements == 0 {
        return Ok(calls);
    }
    for [first, last] in in_turn(shape.length, 1) {
        let params = argsort::Params {
            elements: size(elements)?,
            length: size(shape.length)?,
            inner: size(shape.inner)?,
            count: size(shape.count)?,
            descending: u32::from(shape.descending),
            first: size(first)?,
            last: size(last)?,
        };
        let groups = linear(&argsort::SHADER, elements)?;
        let operands = [Operand::Input(0), Operand::Output, Operand::Scratch(0)];
        let call = Call::new(&argsort::SHADER, &params, &operands, groups);
        calls.calls.push(call.looping(last - first + 1));
    }
    calls.scratch.push(if calls.calls.len() > 1 { 4 * elements } else { 4 });
    Ok(calls)
}
