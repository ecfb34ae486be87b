//! Norms and moments on a GPU.

use super::{MomentsShape, NormShape};
use crate::gpu::{
    BUSY_GROUPS, BUSY_LANES, Call, Calls, Operand, Variant, flag, linear, moments, norm,
    norm_statistics, norm_statistics_subgroup, norm_weights, size, spread, unless_empty,
};
use crate::reduce::gpu::{joined, lanes};

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
        let walks = if gradient { 3 } else { 2 };
        let call = call.looping(walks * shape.width.div_ceil(64) + 64);
        Ok(call.with(&[(norm_statistics::GRADIENT, flag(gradient))]))
    })?;
    calls.scratch.push(16 * shape.rows);
    Ok(calls)
}

fn pass(shape: &NormShape, pass: u32, c: Operand) -> Result<Calls, String> {
    let count = shape.rows * shape.width;
    unless_empty(count, || {
        let params = norm::Params {
            count: size(count)?,
            width: size(shape.width)?,
            run: size(shape.run)?,
            groups: size(shape.groups)?,
            centred: u32::from(shape.centred),
        };
        let operands =
            [Operand::Input(0), Operand::Input(1), c, Operand::Scratch(0), Operand::Output];
        let call = Call::new(&norm::SHADER, &params, &operands, linear(&norm::SHADER, count)?);
        Ok(call.with(&[(norm::PASS, f64::from(pass))]))
    })
}

/// Rows of a group that a part of the sum goes through at least.
const LEAST_ROWS: usize = 16;

/// The gradients of weights and bias, behind the others in the output.
fn weights(shape: &NormShape, c: Operand) -> Result<Calls, String> {
    let count = shape.weights();
    let rows = shape.rows / shape.groups.max(1);
    let across = shape.run == 1;
    let lanes = lanes(count, rows * shape.run).min(if across { 8 } else { 256 });
    let along = shape.run.max(1).next_power_of_two().min(lanes);
    // Each lane of a part goes through some rows, or none is left for it.
    let least = LEAST_ROWS.max(lanes / along);
    let wanted = BUSY_LANES.div_ceil((count * lanes).max(1)).min(rows / least).max(1);
    let share = rows.div_ceil(wanted).max(1);
    let parts = rows.div_ceil(share).max(1);
    let results = if shape.centred { 2 } else { 1 };
    let (partial, begin) = (Operand::Scratch(1), shape.rows * shape.width);
    let mut calls = unless_empty(count, || {
        let params = norm_weights::Params {
            weights: size(count)?,
            rows: size(shape.rows)?,
            width: size(shape.width)?,
            run: size(shape.run)?,
            groups: size(shape.groups)?,
            centred: u32::from(shape.centred),
            share: size(share)?,
            parts: size(parts)?,
        };
        let operands = [Operand::Input(0), c, Operand::Scratch(0), partial];
        let [across_groups, down, _] = spread(count.div_ceil(256 / lanes))?;
        let groups = [across_groups, down, size(parts)?];
        let call = Call::new(&norm_weights::SHADER, &params, &operands, groups);
        let rounds = share.div_ceil(lanes / along) * (shape.run.div_ceil(along) + 2) + 10;
        let call = call.looping(rounds);
        Ok(call.with(&[
            (norm_weights::LANES, lanes as f64),
            (norm_weights::RUN, along as f64),
            (norm_weights::ACROSS, flag(across)),
        ]))
    })?;
    let sizes = [results, parts, count];
    calls.calls.extend(joined(sizes, false, [partial, Operand::Output], begin)?.calls);
    calls.scratch.push(4 * results * parts * count);
    Ok(calls)
}

/// The same with the statistics by subgroups.
fn with_subgroups(mut calls: Calls) -> Calls {
    let shader = &norm_statistics_subgroup::SHADER;
    let mut own = calls.clone();
    let mut found = false;
    for call in own.calls.iter_mut().filter(|call| call.shader.name == norm_statistics::SHADER.name)
    {
        call.shader = shader;
        found = true;
    }
    if found {
        calls.variants.push(Variant { shader, calls: own, suits: true });
    }
    calls
}

/// See [`NORM`](super::NORM).
///
/// # Errors
/// Too many elements.
pub fn forward(shape: &NormShape) -> Result<Calls, String> {
    let bias = Operand::Input(if shape.centred { 2 } else { 1 });
    let mut calls = statistics(shape, Operand::Input(0), false)?;
    calls.calls.extend(pass(shape, norm::FORWARD, bias)?.calls);
    Ok(with_subgroups(calls))
}

/// See [`NORM_GRADIENT`](super::NORM_GRADIENT).
///
/// # Errors
/// Too many elements.
pub fn backward(shape: &NormShape) -> Result<Calls, String> {
    let c = Operand::Input(2);
    let mut calls = statistics(shape, c, true)?;
    calls.calls.extend(pass(shape, norm::INPUT, c)?.calls);
    let weights = weights(shape, c)?;
    calls.calls.extend(weights.calls);
    calls.scratch.extend(weights.scratch);
    Ok(with_subgroups(calls))
}

/// Values of a channel that a part goes through at least.
const LEAST_VALUES: usize = 1 << 12;

/// See [`MOMENTS`](super::MOMENTS).
///
/// # Errors
/// Too many elements.
pub fn moments_calls(shape: &MomentsShape) -> Result<Calls, String> {
    let channels = shape.channels;
    // Parts are of whole samples.
    let wanted = BUSY_GROUPS.div_ceil(channels.max(1));
    let wanted = wanted.min(shape.samples * shape.pixels / LEAST_VALUES).max(1);
    let share = shape.samples.div_ceil(wanted).max(1);
    let parts = shape.samples.div_ceil(share).max(1);
    let pass = |joins: bool, parts_here: usize, operands: [Operand; 2]| {
        unless_empty(channels, || {
            size(shape.samples * channels * shape.pixels)?;
            let params = moments::Params {
                samples: size(shape.samples)?,
                channels: size(channels)?,
                pixels: size(shape.pixels)?,
                share: size(share)?,
                parts: size(parts)?,
            };
            let [across, down, _] = spread(channels)?;
            let groups = [across, down, size(parts_here)?];
            let call = Call::new(&moments::SHADER, &params, &operands, groups);
            let values = if joins { parts } else { share * shape.pixels };
            let call = call.looping(2 * values.div_ceil(256) + 32);
            Ok(call.with(&[(moments::JOINS, flag(joins))]))
        })
    };
    let (x, scratch, y) = (Operand::Input(0), Operand::Scratch(0), Operand::Output);
    let mut calls = pass(false, parts, [x, scratch])?;
    calls.calls.extend(pass(true, 1, [scratch, y])?.calls);
    calls.scratch.push(4 * 2 * parts * channels);
    Ok(calls)
}
