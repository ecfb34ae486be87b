//! Norms and moments on a GPU.

use super::{MomentsShape, NormShape};
use crate::gpu::{
    Call, Calls, Operand, flag, linear, moments, norm, norm_statistics, size, spread, unless_empty,
};

fn statistics(shape: &NormShape, c: Operand, gradient: bool) -> Result<Calls, String> {
    let mut calls = unless_empty(shape.rows, || {
        size(shape.rows * shape.width)?;
        let params = norm_statistics::Params {
            rows: size(shape.rows)?,
            width: size(shape.width)?,
            run: size(shape.run)?,
            groups: size(shape.groups)?,
            centred: u32::from(shape.centred),
            epsilon: shape.epsilon as f32,
        };
        let operands = [Operand::Input(0), Operand::Input(1), c, Operand::Scratch(0)];
        let call = Call::new(&norm_statistics::SHADER, &params, &operands, spread(shape.rows)?);
        Ok(call.with(&[(norm_statistics::GRADIENT, flag(gradient))]))
    })?;
    calls.scratch.push(16 * shape.rows);
    Ok(calls)
}

fn pass(shape: &NormShape, pass: u32, c: Operand) -> Result<Calls, String> {
    let values = shape.rows * shape.width;
    let count = if pass == norm::WEIGHTS { shape.weights() } else { values };
    unless_empty(count, || {
        let params = norm::Params {
            count: size(count)?,
            rows: size(shape.rows)?,
            width: size(shape.width)?,
            run: size(shape.run)?,
            groups: size(shape.groups)?,
            centred: u32::from(shape.centred),
            weights_at: size(values)?,
            bias_at: size(values + shape.weights())?,
        };
        let operands =
            [Operand::Input(0), Operand::Input(1), c, Operand::Scratch(0), Operand::Output];
        let call = Call::new(&norm::SHADER, &params, &operands, linear(&norm::SHADER, count)?);
        Ok(call.with(&[(norm::PASS, f64::from(pass))]))
    })
}

/// See [`NORM`](super::NORM).
///
/// # Errors
/// Too many elements.
pub fn forward(shape: &NormShape) -> Result<Calls, String> {
    let bias = Operand::Input(if shape.centred { 2 } else { 1 });
    let mut calls = statistics(shape, Operand::Input(0), false)?;
    calls.calls.extend(pass(shape, norm::FORWARD, bias)?.calls);
    Ok(calls)
}

/// See [`NORM_GRADIENT`](super::NORM_GRADIENT).
///
/// # Errors
/// Too many elements.
pub fn backward(shape: &NormShape) -> Result<Calls, String> {
    let c = Operand::Input(2);
    let mut calls = statistics(shape, c, true)?;
    calls.calls.extend(pass(shape, norm::INPUT, c)?.calls);
    calls.calls.extend(pass(shape, norm::WEIGHTS, c)?.calls);
    Ok(calls)
}

/// See [`MOMENTS`](super::MOMENTS).
///
/// # Errors
/// Too many elements.
pub fn moments_calls(shape: &MomentsShape) -> Result<Calls, String> {
    unless_empty(shape.channels, || {
        size(shape.samples * shape.channels * shape.pixels)?;
        let params = moments::Params {
            samples: size(shape.samples)?,
            channels: size(shape.channels)?,
            pixels: size(shape.pixels)?,
        };
        let operands = [Operand::Input(0), Operand::Output];
        Ok(Call::new(&moments::SHADER, &params, &operands, spread(shape.channels)?))
    })
}
