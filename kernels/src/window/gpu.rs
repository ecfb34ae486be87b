//! Windows on a GPU.

use super::{OriginAxis, Picks, Tile, Windows};
use crate::gpu::{
    Call, Calls, Operand, flag, in_turn, linear, picks as pick_shader, signed, size, spread,
    unless_empty, window, window_tile as tile_shader,
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
    let mut calls = Calls::default();
    if count == 0 {
        return Ok(calls);
    }
    // Each place of a window asks all slots; what goes back to a speck asks all places,
    // those of some windows in a dispatch.
    let [height, width] = windows.size;
    let window = height * (width * (slots + 2) + 2) + 2;
    let (own, each) = if pass == UNRENDER { (slots, window) } else { (0, 0) };
    for [first, last] in in_turn(own, each) {
        let params = window::Params {
            count: size(count)?,
            slots: size(slots)?,
            channels: size(channels)?,
            height: signed(windows.size[0])?,
            width: signed(windows.size[1])?,
            map_height: signed(windows.map[0])?,
            map_width: signed(windows.map[1])?,
            first: size(first)?,
            last: size(last)?,
            ..window::Params::default()
        };
        let x = if pass == MASK { 0 } else { 1 };
        let operands = [Operand::Input(0), Operand::Input(x), Operand::Output];
        let groups = linear(&window::SHADER, count)?;
        let rounds = (last - first) * each + slots + 2;
        let call = Call::new(&window::SHADER, &params, &operands, groups).looping(rounds);
        let overrides = [(window::PASS, f64::from(pass)), (window::OWNED, flag(owned))];
        calls.calls.push(call.with(&overrides));
    }
    Ok(calls)
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
        let call = call.looping(tile_rounds(pass, tile, parts));
        Ok(call.with(&[(tile_shader::PASS, f64::from(pass))]))
    })?;
    calls.tables.push([&tile.classes[0][..], &tile.classes[1][..]].concat());
    if let Some(first) = calls.calls.first().filter(|_| parts > 1).cloned() {
        let shader = &tile_shader::SHADER;
        let mut operands = first.operands.clone();
        (operands[0], operands[5]) = (Operand::Scratch(0), Operand::Output);
        let overrides = vec![(tile_shader::PASS, f64::from(tile_shader::SUM))];
        let groups = linear(shader, count)?;
        let rounds = tile_rounds(tile_shader::SUM, tile, parts);
        calls.calls.push(Call { operands, groups, overrides, rounds, ..first });
        calls.scratch.push(size_of::<f32>() * count * parts);
    }
    Ok(calls)
}

/// The tiles that read one background.
fn base_tiles(tile: &Tile) -> usize {
    tile.tiles * if tile.backgrounds > 1 { 1 } else { tile.windows.samples }
}

/// Rounds of loops for a place of a tile: its own, and those of the slots that it asks.
fn place_rounds(tile: &Tile) -> usize {
    tile.windows.slots + 2
}

/// Parts of the tiles whose sums are made side by side: so many that no lane of 64 makes
/// more than some 16 000 rounds of its loops.
fn base_parts(tile: &Tile) -> usize {
    const ROUNDS: usize = 1 << 20;
    let [height, width] = tile.size;
    let tiles = base_tiles(tile);
    (tiles * height * width * place_rounds(tile)).div_ceil(ROUNDS).clamp(1, tiles.max(1))
}

/// Rounds of loops of an invocation.
fn tile_rounds(pass: u32, tile: &Tile, parts: usize) -> usize {
    let rows = base_tiles(tile).div_ceil(parts.max(1)) * tile.size[0];
    match pass {
        TILE => place_rounds(tile),
        PATCH => tile.tiles * place_rounds(tile) + 1,
        BASE => rows.div_ceil(64) * (tile.size[1] * place_rounds(tile) + 2) + 8,
        _ => parts + 1,
    }
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
        let call = call.looping(if adjoint { most_readers(picks) } else { 0 });
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

/// Rounds of loops for the pixel that is read most often.
fn most_readers(picks: &Picks) -> usize {
    let most = |reads: &[u32], size: usize| {
        let mut counts = vec![0; size];
        for read in reads {
            if let Some(count) = counts.get_mut(*read as usize) {
                *count += 1;
            }
        }
        counts.into_iter().max().unwrap_or(0)
    };
    let [rows, columns] = &picks.reads;
    let [height, width] = picks.image;
    most(rows, height) * (most(columns, width) + 2) + 1
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
