//! Order on a GPU.

use super::Sorting;
use crate::gpu::{Call, Calls, Operand, argsort, linear, size, unless_empty};

/// See [`ARGSORT`](super::ARGSORT).
///
/// # Errors
/// Too many elements.
pub fn argsort_calls(shape: &Sorting) -> Result<Calls, String> {
    let elements = shape.elements();
    unless_empty(elements, || {
        let params = argsort::Params {
            elements: size(elements)?,
            length: size(shape.length)?,
            inner: size(shape.inner)?,
            count: size(shape.count)?,
            descending: u32::from(shape.descending),
        };
        let groups = linear(&argsort::SHADER, elements)?;
        Ok(Call::new(&argsort::SHADER, &params, &[Operand::Input(0), Operand::Output], groups))
    })
}
