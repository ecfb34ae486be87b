//! Convolution by lists on a GPU.

use super::{BEYOND, Correlation};
use crate::gpu::{
    Call, Calls, MOST_GROUPS, Operand, Split, linear, picked_conv as shader, picked_conv_input,
    size, tile_rows, unless_empty,
};

const _: () = assert!(shader::BEYOND == BEYOND);

fn tiled(c: &Correlation, pass: u32) -> Result<Calls, String> {
    let (rows, depth, outputs) = (c.rows(), c.depth(), c.outputs);
    let (m, k) = if pass == shader::FORWARD { (rows, depth) } else { (depth, rows) };
    if m * outputs == 0 {
        return Ok(Calls::default());
    }
    let area = shader::AREA as usize;
    let tile = tile_rows(m, outputs, area);
    let across = outputs.div_ceil(area / tile);
    let tiles = m.div_ceil(tile) * across;
    if tiles > MOST_GROUPS {
        return Err(format!("{tiles} tiles are too many"));
    }
    let step = shader::DEPTH as usize;
    let split = match pass {
        shader::FORWARD => Split::none(k, step),
        _ => Split::new(k, step, tiles),
    };
    size(rows * depth.max(outputs))?;
    let params = shader::Params {
        m: size(m)?,
        n: size(outputs)?,
        k: size(k)?,
        tiles: size(across)?,
        channels: size(c.picks.channels)?,
        taps: size(c.taps())?,
        positions: size(c.positions())?,
        image: size(c.image())?,
        share: size(split.share)?,
    };
    let operands = [Operand::Input(0), Operand::Input(1), Operand::Table(0), split.target()];
    let groups = [tiles as u32, 1, split.parts as u32];
    let call = Call::new(&shader::SHADER, &params, &operands, groups);
    let mut calls =
        Calls::from(call.with(&[(shader::PASS, f64::from(pass)), (shader::ROWS, tile as f64)]));
    split.finish(&mut calls, m * outputs)?;
    calls.tables.push(c.reads.clone());
    Ok(calls)
}

/// See [`PICKED_CONV`](super::PICKED_CONV).
///
/// # Errors
/// Too many elements.
pub fn forward(c: &Correlation) -> Result<Calls, String> {
    tiled(c, shader::FORWARD)
}

/// See [`PICKED_CONV_WEIGHT_GRADIENT`](super::PICKED_CONV_WEIGHT_GRADIENT).
///
/// # Errors
/// Too many elements.
pub fn weight_gradient(c: &Correlation) -> Result<Calls, String> {
    tiled(c, shader::WEIGHT_GRADIENT)
}

/// See [`PICKED_CONV_INPUT_GRADIENT`](super::PICKED_CONV_INPUT_GRADIENT).
///
/// # Errors
/// Too many elements.
pub fn input_gradient(c: &Correlation) -> Result<Calls, String> {
    let pixels = c.picks.image[0] * c.picks.image[1];
    let channels = c.picks.channels;
    let mut readers = vec![Vec::new(); pixels];
    for (tap, inside) in c.inside.iter().enumerate() {
        for [position, at] in inside {
            readers[*at as usize / channels.max(1)].push([tap as u32, *position]);
        }
    }
    let mut lists = vec![0];
    for list in &readers {
        lists.push(lists[lists.len() - 1] + list.len() as u32);
    }
    lists.extend(readers.iter().flatten().flatten());
    let count = c.picks.image_elements();
    let mut calls = unless_empty(count, || {
        let params = picked_conv_input::Params {
            count: size(count)?,
            pixels: size(pixels)?,
            channels: size(channels)?,
            taps: size(c.taps())?,
            positions: size(c.positions())?,
            outputs: size(c.outputs)?,
        };
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Table(0), Operand::Output];
        let shader = &picked_conv_input::SHADER;
        Ok(Call::new(shader, &params, &operands, linear(shader, count)?))
    })?;
    calls.tables.push(lists);
    Ok(calls)
}
