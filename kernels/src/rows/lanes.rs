//! The products over registers, for any [`Lanes`].
//!
//! Every loop works on one position at a time, on all samples whose windows
//! cover it, in tiles of up to [`GROUP`] of them (or of channels) by a few
//! registers of outputs.

// See `Lanes` for the one condition; lengths and index are checked before.
#![allow(unsafe_op_in_unsafe_fn)]

use super::gaps::Gaps;
use super::rule::{Numbers, Rule};
use super::{Change, Classes, Missed, Rows};
use crate::elementwise::lanes::Lanes;
use crate::parallel::{GRAIN, Shared, for_parts};
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use std::ops::Range;

/// Most rows of a tile.
const GROUP: usize = 6;
/// Most rows and columns of a tile of inner products.
const SQUARE: usize = 4;
/// Outputs that a thread takes at a time.
const COLUMNS: usize = 64;
/// Parts into which positions are cut.
const PARTS: usize = 16;

type ProductPart = unsafe fn(&Rows, Range<usize>, &[f32], &[f32], &[i32], *mut f32);

/// Positions a part; all of them where that is little work.
fn positions_each(rows: &Rows, work: usize) -> usize {
    if work < GRAIN { rows.positions() } else { rows.positions().div_ceil(PARTS) }
}

/// Multiplications of a product.
fn work(rows: &Rows, index: &[i32]) -> usize {
    index[rows.positions()] as usize * rows.windows.channels * rows.outputs
}

pub fn row_linear(
    rows: &Rows,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: &mut [f32],
    run: ProductPart,
) {
    rows.check(a.len(), out.len(), b.len(), index);
    let shared = Shared::new(out);
    // Columns do not meet, so it is no matter for the sums how they are cut.
    let columns = if work(rows, index) < GRAIN { rows.outputs } else { COLUMNS };
    for_parts(rows.outputs, columns, |columns| {
        // SAFETY: the processor has the instruction set, or the variant would not
        // have been chosen; lengths are checked, and parts write their columns.
        unsafe { run(rows, columns, a, b, index, shared.get()) };
    });
}

pub fn row_linear_patch(
    rows: &Rows,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: &mut [f32],
    run: ProductPart,
) {
    rows.check(out.len(), a.len(), b.len(), index);
    out.fill(0.0);
    let shared = Shared::new(out);
    for_parts(rows.positions(), positions_each(rows, work(rows, index)), |positions| {
        // SAFETY: as above; a place is in the list of one position.
        unsafe { run(rows, positions, a, b, index, shared.get()) };
    });
}

pub fn row_linear_weight(
    rows: &Rows,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: &mut [f32],
    run: ProductPart,
) {
    assert_eq!(rows.parts, 1, "a gradient has one part");
    rows.check(a.len(), b.len(), out.len(), index);
    let shared = Shared::new(out);
    for_parts(rows.positions(), positions_each(rows, rows.elements()), |positions| {
        // SAFETY: as above; parts write the rows of their positions.
        unsafe { run(rows, positions, a, b, index, shared.get()) };
    });
}

pub fn row_sum(
    rows: &Rows,
    classes: &Classes,
    wanted: bool,
    x: &[f32],
    out: &mut [f32],
    run: unsafe fn(&Rows, &Classes, Range<usize>, &[f32], *mut f32),
) {
    classes.check(rows);
    assert_eq!(x.len(), rows.elements(), "length of the rows");
    let all = rows.windows.channels * rows.outputs;
    assert_eq!(out.len(), classes.count * all, "length of the sums");
    out.fill(0.0);
    if !wanted {
        return;
    }
    let shared = Shared::new(out);
    // Every part walks through all positions: two parts, in long stretches.
    let columns = if rows.positions() * all < GRAIN { all } else { all.div_ceil(2) };
    for_parts(all, columns, |columns| {
        // SAFETY: as above; parts write their columns of each sum.
        unsafe { run(rows, classes, columns, x, shared.get()) };
    });
}

pub fn row_update(
    rows: &Rows,
    classes: &Classes,
    rule: &Rule,
    change: &Change<f32>,
    out: &mut [f32],
    run: unsafe fn(&Rows, &Classes, &Rule, &Numbers, &Change<f32>, Range<usize>, *mut f32),
) {
    change.check(rows, classes, rule, out.len());
    let numbers = rule.numbers(change.rate, change.step);
    let shared = Shared::new(out);
    for_parts(rows.positions(), positions_each(rows, rows.elements()), |positions| {
        // SAFETY: as above; parts write the rows of their positions.
        unsafe { run(rows, classes, rule, &numbers, change, positions, shared.get()) };
    });
}

pub fn row_catch_up(
    rows: &Rows,
    rule: &Rule,
    missed: &Missed<f32>,
    out: &mut [f32],
    run: unsafe fn(&Rows, &Rule, &Missed<f32>, &Gaps, Range<usize>, *mut f32),
) {
    assert_eq!(rows.parts, rule.parts(), "parts of the rows");
    missed.check(rows, out.len());
    let behind = |position| missed.from(rows, position).map(|last| missed.step - last);
    let most = (0..rows.positions()).filter_map(behind).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let gaps = Gaps::new(rule, missed, most);
    let shared = Shared::new(out);
    for_parts(rows.positions(), positions_each(rows, rows.elements()), |positions| {
        // SAFETY: as above; parts write the rows of their positions.
        unsafe { run(rows, rule, missed, &gaps, positions, shared.get()) };
    });
}

/// A register, or its first `part` lanes if that is not 0.
#[inline(always)]
pub unsafe fn load<V: Lanes>(from: *const f32, part: usize) -> V {
    if part == 0 { V::load(from) } else { V::load_part(from, part, V::splat(0.0)) }
}

/// As [`load`].
#[inline(always)]
pub unsafe fn store<V: Lanes>(value: V, to: *mut f32, part: usize) {
    if part == 0 { value.store(to) } else { value.store_part(to, part) }
}

/// Entries of different samples from the first on, at most [`GROUP`]: two places
/// of one sample would add to the same outputs.
fn apart(entries: &[[i32; 2]]) -> usize {
    let most = entries.len().min(GROUP);
    // Samples are in ascending order.
    (1..most).find(|i| entries[*i][0] == entries[*i - 1][0]).unwrap_or(most)
}

/// Part of [`super::ROW_LINEAR`]: some columns of all outputs.
#[inline(always)]
pub unsafe fn linear<V: Lanes, const N: usize>(
    rows: &Rows,
    columns: Range<usize>,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: *mut f32,
) {
    for sample in 0..rows.windows.samples {
        out.add(sample * rows.outputs + columns.start).write_bytes(0, columns.len());
    }
    let length = rows.windows.channels * rows.stride();
    for position in 0..rows.positions() {
        let mut entries = rows.entries(index, position);
        let weights = b.as_ptr().add(position * length);
        while !entries.is_empty() {
            let (group, rest) = entries.split_at(apart(entries));
            match group.len() {
                1 => linear_group::<V, 1, N>(rows, group, columns.clone(), a, weights, out),
                2 => linear_group::<V, 2, N>(rows, group, columns.clone(), a, weights, out),
                3 => linear_group::<V, 3, N>(rows, group, columns.clone(), a, weights, out),
                4 => linear_group::<V, 4, N>(rows, group, columns.clone(), a, weights, out),
                5 => linear_group::<V, 5, N>(rows, group, columns.clone(), a, weights, out),
                _ => linear_group::<V, GROUP, N>(rows, group, columns.clone(), a, weights, out),
            }
            entries = rest;
        }
    }
}

#[inline(always)]
unsafe fn linear_group<V: Lanes, const M: usize, const N: usize>(
    rows: &Rows,
    entries: &[[i32; 2]],
    columns: Range<usize>,
    a: &[f32],
    weights: *const f32,
    out: *mut f32,
) {
    let channels = rows.windows.channels;
    let mut from = [a.as_ptr(); M];
    let mut to = [out; M];
    for (m, [sample, place]) in entries.iter().enumerate().take(M) {
        from[m] = a.as_ptr().add(*place as usize * channels);
        to[m] = out.add(*sample as usize * rows.outputs);
    }
    let mut at = columns.start;
    while at + N * V::WIDTH <= columns.end {
        linear_tile::<V, M, N>(rows, &from, weights, &to, at, 0);
        at += N * V::WIDTH;
    }
    while at < columns.end {
        let part = (columns.end - at).min(V::WIDTH) % V::WIDTH;
        linear_tile::<V, M, 1>(rows, &from, weights, &to, at, part);
        at += V::WIDTH;
    }
}

#[inline(always)]
unsafe fn linear_tile<V: Lanes, const M: usize, const N: usize>(
    rows: &Rows,
    from: &[*const f32; M],
    weights: *const f32,
    to: &[*mut f32; M],
    at: usize,
    part: usize,
) {
    let mut sums = [[V::splat(0.0); N]; M];
    let mut row = weights.add(at);
    for channel in 0..rows.windows.channels {
        let mut weight = [V::splat(0.0); N];
        for n in 0..N {
            weight[n] = load(row.add(n * V::WIDTH), part);
        }
        for m in 0..M {
            let x = V::splat(*from[m].add(channel));
            for n in 0..N {
                sums[m][n] = x.mul_add(weight[n], sums[m][n]);
            }
        }
        row = row.add(rows.stride());
    }
    for m in 0..M {
        for n in 0..N {
            let to = to[m].add(at + n * V::WIDTH);
            store(load::<V>(to, part).add(sums[m][n]), to, part);
        }
    }
}

/// Part of [`super::ROW_LINEAR_PATCH`]: the places on some positions.
#[inline(always)]
pub unsafe fn patch<V: Lanes>(
    rows: &Rows,
    positions: Range<usize>,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: *mut f32,
) {
    let channels = rows.windows.channels;
    for position in positions {
        let weights = b.as_ptr().add(position * channels * rows.stride());
        for group in rows.entries(index, position).chunks(SQUARE) {
            let mut channel = 0;
            while channel < channels {
                // A tile that is not full does its last line again.
                let count = SQUARE.min(channels - channel);
                let line = |i: usize| channel + i.min(count - 1);
                let weights = [0, 1, 2, 3].map(|i| weights.add(line(i) * rows.stride()));
                let entry = |i: usize| group[i.min(group.len() - 1)];
                let from =
                    [0, 1, 2, 3].map(|i| a.as_ptr().add(entry(i)[0] as usize * rows.outputs));
                let products = inner::<V>(&from, &weights, rows.outputs);
                for (i, line) in products.iter().enumerate().take(group.len()) {
                    let to = out.add(entry(i)[1] as usize * channels + channel);
                    std::ptr::copy_nonoverlapping(line.as_ptr(), to, count);
                }
                channel += SQUARE;
            }
        }
    }
}

/// The inner products of each two.
#[inline(always)]
unsafe fn inner<V: Lanes>(
    a: &[*const f32; SQUARE],
    b: &[*const f32; SQUARE],
    length: usize,
) -> [[f32; SQUARE]; SQUARE] {
    let mut sums = [[V::splat(0.0); SQUARE]; SQUARE];
    let mut at = 0;
    while at < length {
        let part = (length - at).min(V::WIDTH) % V::WIDTH;
        let mut right = [V::splat(0.0); SQUARE];
        for n in 0..SQUARE {
            right[n] = load(b[n].add(at), part);
        }
        for m in 0..SQUARE {
            let left = load::<V>(a[m].add(at), part);
            for n in 0..SQUARE {
                sums[m][n] = left.mul_add(right[n], sums[m][n]);
            }
        }
        at += V::WIDTH;
    }
    let mut totals = [[0.0; SQUARE]; SQUARE];
    for m in 0..SQUARE {
        for n in 0..SQUARE {
            let mut sum = sums[m][n];
            let mut distance = V::WIDTH / 2;
            while distance > 0 {
                sum = sum.add(sum.exchange(distance));
                distance /= 2;
            }
            totals[m][n] = sum.first();
        }
    }
    totals
}

/// Part of [`super::ROW_LINEAR_WEIGHT`]: the rows of some positions.
#[inline(always)]
pub unsafe fn weight<V: Lanes, const N: usize>(
    rows: &Rows,
    positions: Range<usize>,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    out: *mut f32,
) {
    let outputs = rows.outputs;
    for_tiles::<V, N>(rows, positions, true, a, b, index, |tile| {
        for (m, line) in tile.gradient.iter().enumerate().take(tile.rows) {
            let row = out.add((tile.position * rows.windows.channels + tile.channel + m) * outputs);
            for n in 0..tile.across {
                store(line[n], row.add(tile.at + n * V::WIDTH), tile.part);
            }
        }
    });
}

/// The gradient of some rows, a few registers of it.
pub struct Tile<V, const N: usize> {
    pub position: usize,
    /// The first channel.
    pub channel: usize,
    /// Channels.
    pub rows: usize,
    /// The first output.
    pub at: usize,
    /// Registers.
    pub across: usize,
    /// Lanes of the only register that count, if not 0.
    pub part: usize,
    pub gradient: [[V; N]; GROUP],
}

/// Calls `body` for tiles that cover the rows of these positions, or of those
/// that have entries if not `all`: with Σ a ⊗ b over the position's entries.
#[inline(always)]
pub unsafe fn for_tiles<V: Lanes, const N: usize>(
    rows: &Rows,
    positions: Range<usize>,
    all: bool,
    a: &[f32],
    b: &[f32],
    index: &[i32],
    mut body: impl FnMut(&Tile<V, N>),
) {
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    for position in positions {
        let entries = rows.entries(index, position);
        if !all && entries.is_empty() {
            continue;
        }
        let mut channel = 0;
        while channel < channels {
            let count = GROUP.min(channels - channel);
            let mut at = 0;
            while at < outputs {
                let across = if at + N * V::WIDTH <= outputs { N } else { 1 };
                let part = if across == 1 { (outputs - at).min(V::WIDTH) % V::WIDTH } else { 0 };
                let mut gradient = [[V::splat(0.0); N]; GROUP];
                if across == N {
                    products::<V, N>(rows, entries, channel, count, at, 0, a, b, &mut gradient);
                } else {
                    let mut narrow = [[V::splat(0.0); 1]; GROUP];
                    products::<V, 1>(rows, entries, channel, count, at, part, a, b, &mut narrow);
                    for m in 0..GROUP {
                        gradient[m][0] = narrow[m][0];
                    }
                }
                body(&Tile { position, channel, rows: count, at, across, part, gradient });
                at += across * V::WIDTH;
            }
            channel += count;
        }
    }
}

#[inline(always)]
unsafe fn products<V: Lanes, const N: usize>(
    rows: &Rows,
    entries: &[[i32; 2]],
    channel: usize,
    count: usize,
    at: usize,
    part: usize,
    a: &[f32],
    b: &[f32],
    sums: &mut [[V; N]; GROUP],
) {
    let channels = rows.windows.channels;
    for [sample, place] in entries {
        let left = a.as_ptr().add(*place as usize * channels + channel);
        let right = b.as_ptr().add(*sample as usize * rows.outputs + at);
        let mut values = [V::splat(0.0); N];
        for n in 0..N {
            values[n] = load(right.add(n * V::WIDTH), part);
        }
        if count == GROUP {
            for m in 0..GROUP {
                let x = V::splat(*left.add(m));
                for n in 0..N {
                    sums[m][n] = x.mul_add(values[n], sums[m][n]);
                }
            }
        } else {
            for m in 0..GROUP - 1 {
                if m < count {
                    let x = V::splat(*left.add(m));
                    for n in 0..N {
                        sums[m][n] = x.mul_add(values[n], sums[m][n]);
                    }
                }
            }
        }
    }
}

/// Part of [`super::ROW_SUM`]: some of the values of all channels' rows.
#[inline(always)]
pub unsafe fn sum<V: Lanes>(
    rows: &Rows,
    classes: &Classes,
    columns: Range<usize>,
    x: &[f32],
    out: *mut f32,
) {
    let (channels, outputs) = (rows.windows.channels, rows.outputs);
    let next = channels * rows.stride();
    for (position, class) in classes.of.iter().enumerate() {
        let mut at = columns.start;
        while at < columns.end {
            let (channel, first) = (at / outputs, at % outputs);
            let end = columns.end.min((channel + 1) * outputs);
            let from = (position * channels + channel) * rows.stride() + first;
            let mut from = x.as_ptr().add(from);
            let mut to = out.add(*class as usize * channels * outputs + at);
            while at < end {
                let part = (end - at).min(V::WIDTH) % V::WIDTH;
                // The moments in between break the stream that the processor would
                // see; a prefetch of what is not there is no fault.
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(next).cast());
                store(load::<V>(to, part).add(load(from, part)), to, part);
                let step = (end - at).min(V::WIDTH);
                (from, to) = (from.add(step), to.add(step));
                at += step;
            }
        }
    }
}
