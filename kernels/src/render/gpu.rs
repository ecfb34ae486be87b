//! Drawing on a GPU.

use super::RenderShape;
use crate::gpu::{Call, Calls, Operand, in_turn, linear, render, signed, size};

pub use render::{RENDER, TARGETS, UNRENDER};

/// One of the three passes, by its number in the shader. Inputs are those of the ops:
/// positions, then colours and background, the image, or nothing.
///
/// # Errors
/// Too many elements.
pub fn calls(pass: u32, shape: &RenderShape) -> Result<Calls, String> {
    let RenderShape { samples, specks, channels, height, width, .. } = *shape;
    let count = match pass {
        RENDER => samples * channels * height * width,
        UNRENDER => samples * specks * channels,
        _ => samples * (height + width),
    };
    let mut calls = Calls::default();
    if count == 0 {
        return Ok(calls);
    }
    // A pixel asks all specks; a speck all of its pixels, some of its rows in a dispatch.
    let row = shape.size * (specks + 2) + 2;
    let (rows, each) = if pass == UNRENDER { (shape.size, row) } else { (0, 0) };
    for [first, last] in in_turn(rows, each) {
        let params = render::Params {
            count: size(count)?,
            specks: size(specks)?,
            backgrounds: size(shape.backgrounds)?,
            channels: size(channels)?,
            height: signed(height)?,
            width: signed(width)?,
            size: signed(shape.size)?,
            first: signed(first)?,
            last: signed(last)?,
        };
        let [x, background] = match pass {
            RENDER => [1, 2],
            UNRENDER => [1, 1],
            _ => [0, 0],
        };
        let operands =
            [Operand::Input(0), Operand::Input(x), Operand::Input(background), Operand::Output];
        let groups = linear(&render::SHADER, count)?;
        let call = Call::new(&render::SHADER, &params, &operands, groups);
        let call = call.looping((last - first) * each + specks + 2);
        calls.calls.push(call.with(&[(render::PASS, f64::from(pass))]));
    }
    Ok(calls)
}
