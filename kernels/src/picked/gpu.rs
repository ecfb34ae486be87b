//! Convolution by lists on a GPU.

use super::{BEYOND, Correlation};
use crate::gpu::{
    Call, Calls, MOST_GROUPS, Operand, Split, picked_conv as shader, picked_conv_input, size,
    spread, tile_rows, unless_empty,
};
use crate::reduce::gpu::lanes;

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
        shader::FORWARD => Split::long(k, step, m * outputs),
        _ => Split::new(k, step, tiles, m * outputs),
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
    let call = call.looping(split.rounds(step));
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
    // Of the pixel that is read most often.
    let entries = readers.iter().map(Vec::len).max().unwrap_or(0);
    let lanes = lanes(count, entries * c.outputs).min(picked_conv_input::MOST_LANES as usize);
    let along = c.outputs.max(1).next_power_of_two().min(lanes);
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
        let groups = spread(count.div_ceil(picked_conv_input::MOST_LANES as usize / lanes))?;
        let rounds = (entries * along).div_ceil(lanes) * (c.outputs.div_ceil(along) + 2) + 8;
        let call = Call::new(&picked_conv_input::SHADER, &params, &operands, groups);
        Ok(call.looping(rounds).with(&[
            (picked_conv_input::LANES, lanes as f64),
            (picked_conv_input::ALONG, along as f64),
        ]))
    })?;
    calls.tables.push(lists);
    Ok(calls)
}
