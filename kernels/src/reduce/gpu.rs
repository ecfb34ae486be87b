//! Sums, maxima and the places of maxima on a GPU.

use super::{Dim, collapse};
use crate::gpu::{
    BUSY_LANES, Call, Calls, Operand, ROUNDS, Variant, argmax, dims, flag, reduce,
    reduce_rows_subgroup as rows, size, spread, unless_empty,
};

/// Values that a lane adds at least.
const LEAST: usize = 4;

/// The lanes that share a sum of `length`, where there are `outputs` of them: as few
/// as keep a GPU busy, for the tree at the end costs a barrier a level.
pub(crate) fn lanes(outputs: usize, length: usize) -> usize {
    let wanted = BUSY_LANES.div_ceil(outputs.max(1)).min(length / LEAST);
    wanted.clamp(1, 256).next_power_of_two().min(256)
}

/// Lanes from which on joining them by subgroups is worth a variant.
pub(crate) const LEAST_JOINED: usize = 8;

/// Outputs that neighbouring lanes have at least, where they are what lies together.
const NEIGHBOURS: usize = 32;

/// Values that a lane adds at least where the sum of an output is cut in parts.
const LONG: usize = 16;

/// How a reduction is laid out.
struct Layout {
    outputs: usize,
    kept: Vec<(usize, isize)>,
    /// The innermost dimension that goes, and the others.
    run: (usize, isize),
    others: Vec<(usize, isize)>,
    /// Whether outputs lie together.
    across: bool,
}

impl Layout {
    fn new(all: &[Dim]) -> Self {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let mut stride = 1;
        for dim in collapse(all).iter().rev() {
            if dim.reduced { &mut gone } else { &mut kept }.push((dim.size, stride as isize));
            stride *= dim.size;
        }
        kept.reverse();
        gone.reverse();
        let run = gone.pop().unwrap_or((1, 1));
        let outputs = kept.iter().map(|(size, _)| size).product();
        let across = kept.last().is_some_and(|(size, stride)| *stride == 1 && *size > 1);
        Layout { outputs, kept, run, others: gone, across }
    }

    fn count(&self) -> usize {
        self.others.iter().map(|(size, _)| size).product()
    }

    fn length(&self) -> usize {
        self.run.0 * self.count()
    }

    fn lanes(&self) -> usize {
        let most = match self.across {
            true => 256 / self.kept.last().map_or(1, |(size, _)| *size).clamp(1, NEIGHBOURS),
            false => 256,
        };
        let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
        lanes(self.outputs, self.length()).min(most)
    }

    /// Parts of an output's sum, and the steps of each: of the run, or of the others.
    fn parts(&self) -> (usize, usize, bool) {
        let lanes = self.lanes();
        let wanted = BUSY_LANES.div_ceil((self.outputs * lanes).max(1));
        let wanted = wanted.min(self.length() / (lanes * LONG)).clamp(1, MOST_PARTS);
        let of_run = self.count() < wanted;
        let steps = if of_run { self.run.0 } else { self.count() };
        let share = steps.div_ceil(wanted).max(1);
        (steps.div_ceil(share).max(1), share, of_run)
    }

    fn call(
        &self,
        largest: bool,
        (parts, share, of_run): (usize, usize, bool),
        [from, into]: [Operand; 2],
        begin: usize,
    ) -> Result<Calls, String> {
        unless_empty(self.outputs, || {
            size(self.outputs * self.length().max(parts))?;
            let sizes = |list: &[(usize, isize)]| dims(list.iter().map(|(size, _)| *size as isize));
            let strides = |list: &[(usize, isize)]| dims(list.iter().map(|(_, stride)| *stride));
            let params = reduce::Params {
                outputs: size(self.outputs)?,
                run: size(self.run.0)?,
                run_stride: size(self.run.1.unsigned_abs())?,
                others: size(self.count())?,
                share: size(share)?,
                kept_rank: size(self.kept.len())?,
                others_rank: size(self.others.len())?,
                begin: size(begin)?,
                lowest: f32::NEG_INFINITY.to_bits(),
                kept_sizes: sizes(&self.kept)?,
                kept_strides: strides(&self.kept)?,
                others_sizes: sizes(&self.others)?,
                others_strides: strides(&self.others)?,
            };
            let lanes = self.lanes();
            let [across, down, _] = spread(self.outputs.div_ceil(256 / lanes))?;
            let groups = [across, down, size(parts)?];
            let call = Call::new(&reduce::SHADER, &params, &[from, into], groups);
            // Lanes beyond the run take further ones.
            let along = if of_run { share } else { self.run.0 };
            let along = along.max(1).next_power_of_two().min(lanes);
            // Of a part: its runs, and the steps of each.
            let (runs, steps) = if of_run { (self.count(), share) } else { (share, self.run.0) };
            let each = steps.div_ceil(along) + self.others.len() + 3;
            let rounds = runs.div_ceil(lanes / along) * each + self.kept.len() + 10;
            Ok(call.looping(rounds).with(&[
                (reduce::LANES, lanes as f64),
                (reduce::RUN, along as f64),
                (reduce::ACROSS, flag(self.across)),
                (reduce::PARTS_OF_RUN, flag(of_run)),
                (reduce::LARGEST, flag(largest)),
            ]))
        })
    }
}

/// The most parts: workgroups in a third dimension.
const MOST_PARTS: usize = 1 << 12;

/// `outer` times the results of `parts` one behind the other, of `outputs` values each,
/// joined; into the elements of `into` from `begin` on.
///
/// # Errors
/// Too many elements.
pub(crate) fn joined(
    [outer, parts, outputs]: [usize; 3],
    largest: bool,
    [from, into]: [Operand; 2],
    begin: usize,
) -> Result<Calls, String> {
    let dim = |size, reduced| Dim { size, reduced };
    let layout = Layout::new(&[dim(outer, false), dim(parts, true), dim(outputs, false)]);
    let (steps, of_run) = match layout.others.is_empty() {
        true => (layout.run.0, true),
        false => (layout.count(), false),
    };
    layout.call(largest, (1, steps.max(1), of_run), [from, into], begin)
}

/// [`SUM`](super::SUM), or with `largest` [`MAX`](super::MAX), of an operand.
///
/// # Errors
/// Too many elements or dimensions.
pub fn reduced(all: &[Dim], largest: bool, from: Operand) -> Result<Calls, String> {
    let layout = Layout::new(all);
    let (parts, share, of_run) = layout.parts();
    let outputs = layout.outputs;
    let into = if parts > 1 { Operand::Scratch(0) } else { Operand::Output };
    let mut calls = layout.call(largest, (parts, share, of_run), [from, into], 0)?;
    if parts > 1 && outputs > 0 {
        calls.scratch.push(4 * parts * outputs);
        let second = joined([1, parts, outputs], largest, [into, Operand::Output], 0)?;
        calls.calls.extend(second.calls);
    }
    // Rows, or all of it as one row; few lanes have nothing to gain.
    let (lanes, length) = (layout.lanes(), layout.length());
    let in_rows = layout.kept.len() <= 1 && layout.others.is_empty() && layout.run.1 == 1;
    if in_rows && lanes >= LEAST_JOINED && parts == 1 && outputs > 0 {
        let shader = &rows::SHADER;
        let params = rows::Params {
            outputs: size(outputs)?,
            length: size(length)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let groups = spread(outputs.div_ceil(256 / lanes))?;
        let call = Call::new(shader, &params, &[from, Operand::Output], groups);
        let call = call.looping(length.div_ceil(lanes) + 32);
        let call = call.with(&[(rows::LANES, lanes as f64), (rows::LARGEST, flag(largest))]);
        calls.variants.push(Variant { shader, calls: call.into(), suits: true });
    }
    Ok(calls)
}

/// See [`ARGMAX`](super::ARGMAX).
///
/// # Errors
/// Too many elements.
pub fn argmax_calls(outer: usize, length: usize, inner: usize) -> Result<Calls, String> {
    unless_empty(outer * inner, || {
        let params = argmax::Params {
            outputs: size(outer * inner)?,
            length: size(length)?,
            inner: size(inner)?,
            lowest: f32::NEG_INFINITY.to_bits(),
        };
        let most = argmax::MOST_LANES as usize;
        let lanes = match inner {
            1 => lanes(outer, length).min(most),
            _ if length > ROUNDS => most,
            _ => 1,
        };
        let groups = spread((outer * inner).div_ceil(most / lanes))?;
        let operands = [Operand::Input(0), Operand::Output];
        let call = Call::new(&argmax::SHADER, &params, &operands, groups);
        Ok(call.looping(length.div_ceil(lanes) + 8).with(&[(argmax::LANES, lanes as f64)]))
    })
}
