//! Running totals on a GPU.

use super::Scanning;
use crate::gpu::{Call, Calls, Operand, linear, scan, size, unless_empty};

/// See [`CUMULATIVE_SUM`](super::CUMULATIVE_SUM).
///
/// # Errors
/// Too many elements.
pub fn cumulative_sum(shape: &Scanning) -> Result<Calls, String> {
    let lines = shape.outer * shape.inner;
    unless_empty(lines * shape.length, || {
        let params = scan::Params {
            lines: size(lines)?,
            length: size(shape.length)?,
            inner: size(shape.inner)?,
            reverse: u32::from(shape.reverse),
        };
        size(lines * shape.length)?;
        let groups = linear(&scan::SHADER, lines)?;
        Ok(Call::new(&scan::SHADER, &params, &[Operand::Input(0), Operand::Output], groups))
    })
}
