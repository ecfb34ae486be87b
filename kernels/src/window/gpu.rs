//! Windows on a GPU.

use super::{OriginAxis, Picks, Tile, Windows};
use crate::gpu::{
    Call, Calls, Operand, flag, linear, picks as pick_shader, signed, size, spread, unless_empty,
    window, window_tile as tile_shader,
};

pub use tile_shader::{BASE, PATCH, TILE};
pub use window::{MASK, RENDER, UNRENDER};

/// See [`WINDOW_ORIGINS`](super::WINDOW_ORIGINS): `count` numbers, two a window.
///
/// # Errors
/// Too many elements.
pub fn origins(axes: &[OriginAxis; 2], count: usize) -> Result<Calls, String> {
    unless_empty(count, || {
        let [down, across] = axes;
        let params = window::Params {
            count: size(count)?,
            add_down: down.add,
            divide_down: down.divide,
            multiply_down: down.multiply,
            offset_down: down.offset,
            add_across: across.add,
            divide_across: across.divide,
            multiply_across: across.multiply,
            offset_across: across.offset,
            ..window::Params::default()
        };
        // The second operand is bound, not read.
        let operands = [Operand::Input(0), Operand::Input(0), Operand::Output];
        let groups = linear(&window::SHADER, count)?;
        let call = Call::new(&window::SHADER, &params, &operands, groups);
        Ok(call.with(&[(window::PASS, f64::from(window::ORIGINS))]))
    })
}

/// [`RENDER`], [`UNRENDER`], or [`MASK`] of all places or of those `owned`.
///
/// # Errors
/// Too many elements.
pub fn calls(pass: u32, windows: &Windows, owned: bool) -> Result<Calls, String> {
    let Windows { samples, slots, channels, .. } = *windows;
    let count = match pass {
        RENDER => windows.elements(),
        UNRENDER => samples * slots * channels,
        _ => windows.elements() / channels.max(1),
    };
    unless_empty(count, || {
        let params = window::Params {
            count: size(count)?,
            slots: size(slots)?,
            channels: size(channels)?,
            height: signed(windows.size[0])?,
            width: signed(windows.size[1])?,
            map_height: signed(windows.map[0])?,
            map_width: signed(windows.map[1])?,
            ..window::Params::default()
        };
        let x = if pass == MASK { 0 } else { 1 };
        let operands = [Operand::Input(0), Operand::Input(x), Operand::Output];
        let groups = linear(&window::SHADER, count)?;
        let call = Call::new(&window::SHADER, &params, &operands, groups);
        Ok(call.with(&[(window::PASS, f64::from(pass)), (window::OWNED, flag(owned))]))
    })
}

/// [`TILE`] of base, patch, origins and starts; [`PATCH`] or [`BASE`] of tiles, origins
/// and starts.
///
/// # Errors
/// Too many elements.
pub fn tiles(pass: u32, tile: &Tile) -> Result<Calls, String> {
    let windows = &tile.windows;
    let parts = if pass == BASE { base_parts(tile) } else { 1 };
    let count = match pass {
        TILE => tile.elements(),
        PATCH => windows.elements(),
        _ => tile.base_elements(),
    };
    let mut calls = unless_empty(count, || {
        let beyond = if tile.negative { f32::NEG_INFINITY } else { 0.0 };
        let params = tile_shader::Params {
            count: size(count)?,
            samples: size(windows.samples)?,
            slots: size(windows.slots)?,
            tiles: size(tile.tiles)?,
            channels: size(windows.channels)?,
            backgrounds: size(tile.backgrounds)?,
            height: signed(windows.size[0])?,
            width: signed(windows.size[1])?,
            tile_height: signed(tile.size[0])?,
            tile_width: signed(tile.size[1])?,
            map_height: signed(windows.map[0])?,
            map_width: signed(windows.map[1])?,
            base_height: size(tile.base[0])?,
            base_width: size(tile.base[1])?,
            beyond: beyond.to_bits(),
            parts: size(parts)?,
        };
        let [patch, origins, starts] = if pass == TILE { [1, 2, 3] } else { [0, 1, 2] };
        let operands = [
            Operand::Input(0),
            Operand::Input(patch),
            Operand::Input(origins),
            Operand::Input(starts),
            Operand::Table(0),
            if parts > 1 { Operand::Scratch(0) } else { Operand::Output },
        ];
        let shader = &tile_shader::SHADER;
        let groups = match pass {
            BASE => spread(size(count * parts)? as usize)?,
            _ => linear(shader, count)?,
        };
        let call = Call::new(shader, &params, &operands, groups);
        Ok(call.with(&[(tile_shader::PASS, f64::from(pass))]))
    })?;
    calls.tables.push([&tile.classes[0][..], &tile.classes[1][..]].concat());
    if let Some(first) = calls.calls.first().filter(|_| parts > 1).cloned() {
        let shader = &tile_shader::SHADER;
        let mut operands = first.operands.clone();
        (operands[0], operands[5]) = (Operand::Scratch(0), Operand::Output);
        let overrides = vec![(tile_shader::PASS, f64::from(tile_shader::SUM))];
        let groups = linear(shader, count)?;
        calls.calls.push(Call { operands, groups, overrides, ..first });
        calls.scratch.push(size_of::<f32>() * count * parts);
    }
    Ok(calls)
}

/// Parts of the samples whose sums are made side by side: so many that no lane of 64 has
/// more than some 16 000 places to go through.
fn base_parts(tile: &Tile) -> usize {
    const PLACES: usize = 1 << 20;
    if tile.backgrounds > 1 {
        return 1;
    }
    let [height, width] = tile.size;
    let places = tile.windows.samples * tile.tiles * height * width;
    places.div_ceil(PLACES).clamp(1, tile.windows.samples.max(1))
}

/// See [`PICKS`](super::PICKS) and its adjoint.
///
/// # Errors
/// Too many elements.
pub fn picks(picks: &Picks, adjoint: bool) -> Result<Calls, String> {
    let count = if adjoint { picks.image_elements() } else { picks.elements() };
    let [down, across] = picks.output();
    let mut calls = unless_empty(count, || {
        let beyond = if picks.negative { f32::NEG_INFINITY } else { 0.0 };
        size(picks.elements())?;
        let params = pick_shader::Params {
            count: size(count)?,
            height: size(picks.image[0])?,
            width: size(picks.image[1])?,
            channels: size(picks.channels)?,
            kernel_height: size(picks.kernel[0])?,
            kernel_width: size(picks.kernel[1])?,
            down: size(down)?,
            across: size(across)?,
            beyond: beyond.to_bits(),
        };
        let operands = [Operand::Input(0), Operand::Table(0), Operand::Output];
        let shader = &pick_shader::SHADER;
        let call = Call::new(shader, &params, &operands, linear(shader, count)?);
        Ok(call.with(&[(pick_shader::ADJOINT, flag(adjoint))]))
    })?;
    let [rows, columns] = &picks.reads;
    let [height, width] = picks.image;
    calls.tables.push(match adjoint {
        true => [readers(rows, height), readers(columns, width)].concat(),
        false => [&rows[..], &columns[..]].concat(),
    });
    Ok(calls)
}

/// Of each of `size` rows or columns, where the list of those that read it begins, the
/// last list's end, and the lists.
fn readers(reads: &[u32], size: usize) -> Vec<u32> {
    let mut begins = vec![0];
    let mut lists = Vec::new();
    for own in 0..size {
        let of = (0u32..).zip(reads).filter(|(_, read)| **read as usize == own);
        lists.extend(of.map(|(place, _)| place));
        begins.push(lists.len() as u32);
    }
    // Reads beyond the border are in no list; the room for them stays.
    lists.resize(reads.len(), 0);
    begins.extend(lists);
    begins
}
