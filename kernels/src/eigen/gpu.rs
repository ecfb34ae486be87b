//! Eigenvalues on a GPU.

use crate::gpu::{Call, Calls, Operand, size, spread, symmetric_eigen, unless_empty};

/// See [`SYMMETRIC`](super::SYMMETRIC), of `count` matrices `[n, n]`; in f32.
///
/// # Errors
/// Too many elements.
pub fn symmetric_calls(count: usize, n: usize) -> Result<Calls, String> {
    let numbers = 2 * count * n * n;
    // The shader counts these.
    size(numbers)?;
    let mut calls = unless_empty(count * n, || {
        let params = symmetric_eigen::Params { count: size(count)?, n: size(n)? };
        let operands = [Operand::Input(0), Operand::Scratch(0), Operand::Output];
        Ok(Call::new(&symmetric_eigen::SHADER, &params, &operands, spread(count)?))
    })?;
    if !calls.calls.is_empty() {
        calls.scratch.push(size_of::<f32>() * numbers);
    }
    Ok(calls)
}
