//! Conversions on a GPU.

use crate::gpu::{Call, Calls, Operand, convert, linear, size, unless_empty};

/// The conversion of this number, one of the constants of the shader `convert`.
///
/// # Errors
/// Too many elements.
pub fn converted(function: u32, count: usize) -> Result<Calls, String> {
    unless_empty(count, || {
        let params = convert::Params { count: size(count)? };
        let operands = [Operand::Input(0), Operand::Output];
        let groups = linear(&convert::SHADER, count)?;
        let call = Call::new(&convert::SHADER, &params, &operands, groups);
        Ok(call.with(&[(convert::FUNCTION, f64::from(function))]))
    })
}
