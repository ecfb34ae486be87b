//! Drawing on a GPU.

use super::RenderShape;
use crate::gpu::{Call, Calls, Operand, linear, render, signed, size, unless_empty};

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
    unless_empty(count, || {
        let params = render::Params {
            count: size(count)?,
            specks: size(specks)?,
            backgrounds: size(shape.backgrounds)?,
            channels: size(channels)?,
            height: signed(height)?,
            width: signed(width)?,
            size: signed(shape.size)?,
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
        Ok(call.with(&[(render::PASS, f64::from(pass))]))
    })
}
