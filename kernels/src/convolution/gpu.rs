//! Convolution and its gradients on a GPU.

use super::ConvShape;
use crate::gpu::{
    Call, Calls, MOST_GROUPS, Operand, Split, Variant, convolution as shader, convolution_half,
    size, tile_rows,
};

pub use shader::{FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT};

/// One of the three passes, by its number in the shader.
///
/// Inputs are those of the ops: image and weights; cotangent and weights; image and
/// cotangent.
///
/// # Errors
/// Too many elements or groups.
pub fn calls(pass: u32, shape: &ConvShape) -> Result<Calls, String> {
    let [height, width] = shape.input;
    let [out_height, out_width] = shape.output();
    let [rows, columns] = shape.kernel;
    let groups = shape.groups;
    let (inputs, outputs) = (shape.in_channels / groups, shape.out_channels / groups);
    let taps = rows * columns;
    let (m, n, k) = match pass {
        FORWARD => (outputs, shape.batch * out_height * out_width, inputs * taps),
        INPUT_GRADIENT => (inputs, shape.batch * height * width, outputs * taps),
        _ => (outputs, inputs * taps, shape.batch * out_height * out_width),
    };
    if m * n * groups == 0 {
        return Ok(Calls::default());
    }
    let (area, depth) = (shader::AREA as usize, shader::DEPTH as usize);
    let tile = tile_rows(m, n, area);
    let tiles = n.div_ceil(area / tile);
    let all = m.div_ceil(tile) * tiles;
    let split = match pass {
        WEIGHT_GRADIENT => Split::new(k, depth, all * groups, groups * m * n),
        _ => Split::long(k, depth, groups * m * n),
    };
    if all > MOST_GROUPS || groups > MOST_GROUPS {
        return Err(format!("{groups} groups of {all} tiles are too many"));
    }
    let params = shader::Params {
        m: size(m)?,
        n: size(n)?,
        k: size(k)?,
        tiles: size(tiles)?,
        groups: size(groups)?,
        in_channels: size(inputs)?,
        out_channels: size(outputs)?,
        share: size(split.share)?,
        split_stride: size(groups * m * n)?,
    };
    let number = |value: usize| value as f64;
    let overrides = [
        (shader::PASS, f64::from(pass)),
        (shader::ROWS, number(tile)),
        (shader::IN_HEIGHT, number(height)),
        (shader::IN_WIDTH, number(width)),
        (shader::OUT_HEIGHT, number(out_height)),
        (shader::OUT_WIDTH, number(out_width)),
        (shader::KERNEL_HEIGHT, number(rows)),
        (shader::KERNEL_WIDTH, number(columns)),
        (shader::STRIDE_DOWN, number(shape.stride[0])),
        (shader::STRIDE_ACROSS, number(shape.stride[1])),
        (shader::PADDING_DOWN, number(shape.padding[0])),
        (shader::PADDING_ACROSS, number(shape.padding[1])),
        (shader::DILATION_DOWN, number(shape.dilation[0])),
        (shader::DILATION_ACROSS, number(shape.dilation[1])),
    ];
    let operands = [Operand::Input(0), Operand::Input(1), split.target()];
    let dispatch = [all as u32, groups as u32, split.parts as u32];
    let call = Call::new(&shader::SHADER, &params, &operands, dispatch);
    let mut calls = Calls::from(call.looping(split.rounds(depth)).with(&overrides));
    split.finish(&mut calls, groups * m * n)?;
    let mut half = calls.clone();
    half.calls[0].shader = &convolution_half::SHADER;
    calls.variants.push(Variant { shader: &convolution_half::SHADER, calls: half, suits: true });
    Ok(calls)
}
