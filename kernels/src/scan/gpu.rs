//! Running totals on a GPU.

use super::Scanning;
use crate::gpu::{Call, Calls, Operand, in_turn, linear, scan, size};

/// See [`CUMULATIVE_SUM`](super::CUMULATIVE_SUM).
///
/// # Errors
/// Too many elements.
pub fn cumulative_sum(shape: &Scanning) -> Result<Calls, String> {
    let lines = shape.outer * shape.inner;
    let mut calls = Calls::default();
    if lines * shape.length == 0 {
        return Ok(calls);
    }
    size(lines * shape.length)?;
    for [first, last] in in_turn(shape.length, 1) {
        let params = scan::Params {
            lines: size(lines)?,
            length: size(shape.length)?,
            inner: size(shape.inner)?,
            reverse: u32::from(shape.reverse),
            first: size(first)?,
            last: size(last)?,
        };
        let groups = linear(&scan::SHADER, lines)?;
        let operands = [Operand::Input(0), Operand::Output, Operand::Scratch(0)];
        let call = Call::new(&scan::SHADER, &params, &operands, groups);
        calls.calls.push(call.looping(last - first + 1));
    }
    calls.scratch.push(if calls.calls.len() > 1 { 8 * lines } else { 8 });
    Ok(calls)
}
