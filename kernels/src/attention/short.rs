//! Attention over few keys: a row of scores is four registers.
//!
//! With up to 64 keys (AVX-512; 32 for AVX2) the scores of a few queries stay in
//! registers from their product to their weights: largest, exponential and sum
//! are taken where they were added up, of four queries at a time, so that the
//! chains of one (a maximum or sum across lanes is four steps, each waiting for
//! the last) run while the others wait. The general loops of `lanes.rs` write the
//! scores, and pass over them three times, a row at a time; backwards the slopes
//! as well.
//!
//! 256 attentions of 64 queries and keys of 32 values, one thread of a two-core
//! AVX-512 server (Zen 5): 97 to 137 GFLOP/s forwards and 128 to 152 backwards, 50
//! and 56 % of the multiply-add peak of that run; on two threads 54 and 59 %.
//!
//! Rows that lie far apart (packed ones) and are read more than once are brought
//! together first: 64 rows at a step of 1.5 KiB fall into an eighth of the
//! first-level cache.

#![allow(unsafe_op_in_unsafe_fn)]

use super::AttentionShape;
use super::lanes::{Arrays, CHUNK, QUERIES};
use super::product::{Left, Rows, product, transpose};
use crate::elementwise::formula::UnaryFormula;
use crate::elementwise::lanes::Lanes;
use crate::elementwise::scalar::Exp;

/// Registers of a row at most.
const REGISTERS: usize = 4;
/// The longest row, on any register.
const LONGEST: usize = 64;

/// Whether a row of scores fits.
pub fn fits<V: Lanes>(shape: &AttentionShape) -> bool {
    shape.keys <= REGISTERS * V::WIDTH
}

pub fn forward_piece(shape: &AttentionShape) -> usize {
    (shape.size + QUERIES) * LONGEST + LONGEST * shape.value + QUERIES
}

pub fn backward_piece(shape: &AttentionShape) -> usize {
    let strips = (shape.size + shape.value + 2 * QUERIES) * LONGEST;
    strips + (LONGEST + QUERIES) * shape.size + QUERIES * shape.value
}

/// One chunk of queries against all keys.
#[inline(always)]
pub unsafe fn forward_unit<V: Lanes>(
    shape: &AttentionShape,
    unit: usize,
    arrays: &Arrays,
    out: *mut f32,
    scratch: *mut f32,
) {
    match shape.keys.div_ceil(V::WIDTH) {
        ..=1 => forward::<V, 1>(shape, unit, arrays, out, scratch),
        2 => forward::<V, 2>(shape, unit, arrays, out, scratch),
        _ => forward::<V, 4>(shape, unit, arrays, out, scratch),
    }
}

/// All queries of one attention against all keys, backwards.
#[inline(always)]
pub unsafe fn backward_unit<V: Lanes>(
    shape: &AttentionShape,
    unit: usize,
    arrays: &Arrays,
    out: *mut f32,
    scratch: *mut f32,
) {
    match shape.keys.div_ceil(V::WIDTH) {
        ..=1 => backward::<V, 1>(shape, unit, arrays, out, scratch),
        2 => backward::<V, 2>(shape, unit, arrays, out, scratch),
        _ => backward::<V, 4>(shape, unit, arrays, out, scratch),
    }
}

#[inline(always)]
unsafe fn forward<V: Lanes, const N: usize>(
    shape: &AttentionShape,
    unit: usize,
    arrays: &Arrays,
    out: *mut f32,
    scratch: *mut f32,
) {
    let AttentionShape { queries, keys, size, value, .. } = *shape;
    let (place_q, place_k) = (shape.place_q(), shape.place_k());
    let (place_v, place_out) = (shape.place_v(), shape.place_out());
    let chunks = queries.div_ceil(CHUNK);
    let (b, begin) = (unit / chunks, unit % chunks * CHUNK);
    let end = queries.min(begin + CHUNK);
    let step = N * V::WIDTH;
    let turned = scratch;
    let strip = turned.add(size * LONGEST);
    let own_v = strip.add(QUERIES * LONGEST);
    let inverse = own_v.add(LONGEST * value);
    let k = Rows { at: arrays.k.add(place_k.at(b, 0)), step: place_k.step };
    turn::<V>(keys, size, k, turned, step);
    let v = Rows { at: arrays.v.add(place_v.at(b, 0)), step: place_v.step };
    let v = together::<V>(keys, value, v, own_v);
    for row in (begin..end).step_by(QUERIES) {
        let rows = QUERIES.min(end - row);
        let q = Rows { at: arrays.q.add(place_q.at(b, row)), step: place_q.step };
        let mut r = 0;
        while r < rows {
            let (strip, inverse) = (strip.add(r * step), inverse.add(r));
            if V::WIDTH == 16 && r + 4 <= rows {
                weights::<V, 4, N>(shape, row + r, rows_from(q, r), turned, strip, inverse, false);
                r += 4;
            } else {
                weights::<V, 1, N>(shape, row + r, rows_from(q, r), turned, strip, inverse, false);
                r += 1;
            }
        }
        let left = Left { at: strip, row_step: step, depth_step: 1 };
        let out = Rows { at: out.add(place_out.at(b, row)), step: place_out.step };
        product::<V>([rows, value, keys], left, v, out, false, Some(inverse));
    }
}

#[inline(always)]
unsafe fn backward<V: Lanes, const N: usize>(
    shape: &AttentionShape,
    b: usize,
    arrays: &Arrays,
    out: *mut f32,
    scratch: *mut f32,
) {
    let AttentionShape { queries, keys, size, value, .. } = *shape;
    let (place_q, place_k) = (shape.place_q(), shape.place_k());
    let (place_v, place_c) = (shape.place_v(), shape.place_out());
    let [place_dq, place_dk, place_dv] = shape.place_gradients();
    let step = N * V::WIDTH;
    let turned_k = scratch;
    let turned_v = turned_k.add(size * LONGEST);
    let strip = turned_v.add(value * LONGEST);
    let slopes = strip.add(QUERIES * LONGEST);
    let own_k = slopes.add(QUERIES * LONGEST);
    let own_q = own_k.add(LONGEST * size);
    let own_c = own_q.add(QUERIES * size);
    let mut inverse = [0.0f32; 4];
    let k = Rows { at: arrays.k.add(place_k.at(b, 0)), step: place_k.step };
    let k = together::<V>(keys, size, k, own_k);
    turn::<V>(keys, size, k, turned_k, step);
    let v = Rows { at: arrays.v.add(place_v.at(b, 0)), step: place_v.step };
    turn::<V>(keys, value, v, turned_v, step);
    let dk = Rows { at: out.add(place_dk.at(b, 0)), step: place_dk.step };
    let dv = Rows { at: out.add(place_dv.at(b, 0)), step: place_dv.step };
    for row in (0..queries).step_by(QUERIES) {
        let rows = QUERIES.min(queries - row);
        let q = Rows { at: arrays.q.add(place_q.at(b, row)), step: place_q.step };
        let q = together::<V>(rows, size, q, own_q);
        let c = Rows { at: arrays.c.add(place_c.at(b, row)), step: place_c.step };
        let c = together::<V>(rows, value, c, own_c);
        let mut r = 0;
        while r < rows {
            let (strip, slopes) = (strip.add(r * step), slopes.add(r * step));
            let (query, q, c) = (row + r, rows_from(q, r), rows_from(c, r));
            let inverse = inverse.as_mut_ptr();
            if V::WIDTH == 16 && r + 4 <= rows {
                weights::<V, 4, N>(shape, query, q, turned_k, strip, inverse, true);
                pull::<V, 4, N>(shape, c, turned_v, strip, slopes);
                r += 4;
            } else {
                weights::<V, 1, N>(shape, query, q, turned_k, strip, inverse, true);
                pull::<V, 1, N>(shape, c, turned_v, strip, slopes);
                r += 1;
            }
        }
        let left = Left { at: slopes, row_step: step, depth_step: 1 };
        let dq = Rows { at: out.add(place_dq.at(b, row)), step: place_dq.step };
        product::<V>([rows, size, keys], left, k, dq, false, None);
        let left = Left { at: slopes, row_step: 1, depth_step: step };
        product::<V>([keys, size, rows], left, q, dk, row > 0, None);
        let left = Left { at: strip, row_step: 1, depth_step: step };
        product::<V>([keys, value, rows], left, c, dv, row > 0, None);
    }
}

unsafe fn rows_from(rows: Rows<*const f32>, first: usize) -> Rows<*const f32> {
    Rows { at: rows.at.add(first * rows.step), ..rows }
}

/// The transpose of some rows, in rows of `step`, zeros at their ends.
#[inline(always)]
unsafe fn turn<V: Lanes>(
    rows: usize,
    columns: usize,
    from: Rows<*const f32>,
    to: *mut f32,
    step: usize,
) {
    transpose::<V>(rows, columns, from, to, step);
    if rows < step {
        for column in 0..columns {
            for row in rows..step {
                *to.add(column * step + row) = 0.0;
            }
        }
    }
}

/// Rows one behind the other: where they are, or copied.
#[inline(always)]
unsafe fn together<V: Lanes>(
    rows: usize,
    columns: usize,
    from: Rows<*const f32>,
    to: *mut f32,
) -> Rows<*const f32> {
    if from.step == columns {
        return from;
    }
    for row in 0..rows {
        let (from, to) = (from.at.add(row * from.step), to.add(row * columns));
        let mut at = 0;
        while at + V::WIDTH <= columns {
            V::load(from.add(at)).store(to.add(at));
            at += V::WIDTH;
        }
        while at < columns {
            *to.add(at) = *from.add(at);
            at += 1;
        }
    }
    Rows { at: to, step: columns }
}

/// R rows times the turned matrix, in registers.
#[inline(always)]
unsafe fn multiplied<V: Lanes, const R: usize, const N: usize>(
    rows: Rows<*const f32>,
    depth: usize,
    turned: *const f32,
) -> [[V; N]; R] {
    let mut sums = [[V::splat(0.0); N]; R];
    for p in 0..depth {
        let mut b = [V::splat(0.0); N];
        for (k, b) in b.iter_mut().enumerate() {
            *b = V::load(turned.add((p * N + k) * V::WIDTH));
        }
        for (r, row) in sums.iter_mut().enumerate() {
            let a = V::splat(*rows.at.add(r * rows.step + p));
            for (sum, b) in row.iter_mut().zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    sums
}

/// The weights of R queries, and the reciprocals of their sums; if `whole`, the
/// weights are multiplied by these.
#[inline(always)]
unsafe fn weights<V: Lanes, const R: usize, const N: usize>(
    shape: &AttentionShape,
    query: usize,
    q: Rows<*const f32>,
    turned: *const f32,
    strip: *mut f32,
    inverse: *mut f32,
    whole: bool,
) {
    let mut x = multiplied::<V, R, N>(q, shape.size, turned);
    let factor = V::splat(shape.scale as f32);
    let mut largest = [V::splat(0.0); R];
    for (r, row) in x.iter_mut().enumerate() {
        let met = shape.met(query + r);
        for x in row.iter_mut() {
            *x = x.mul(factor);
        }
        if met < N * V::WIDTH {
            hide::<V, N>(row, met);
        }
        largest[r] = row[0];
        for x in &row[1..] {
            largest[r] = x.max(largest[r]);
        }
    }
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        for largest in &mut largest {
            *largest = largest.max(largest.exchange(distance));
        }
        distance /= 2;
    }
    let mut sums = [V::splat(0.0); R];
    for (r, row) in x.iter_mut().enumerate() {
        for x in row.iter_mut() {
            *x = Exp::lanes(x.sub(largest[r]));
            sums[r] = sums[r].add(*x);
        }
    }
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        for sum in &mut sums {
            *sum = sum.add(sum.exchange(distance));
        }
        distance /= 2;
    }
    for (r, row) in x.iter().enumerate() {
        let share = V::splat(1.0).div(sums[r]);
        *inverse.add(r) = share.first();
        for (k, x) in row.iter().enumerate() {
            let x = if whole { x.mul(share) } else { *x };
            x.store(strip.add((r * N + k) * V::WIDTH));
        }
    }
}

/// -∞ in the lanes from `met` on.
#[inline(always)]
unsafe fn hide<V: Lanes, const N: usize>(row: &mut [V; N], met: usize) {
    let mut places = [0.0f32; 16];
    for (i, place) in places.iter_mut().enumerate() {
        *place = i as f32;
    }
    let places = V::load(places.as_ptr());
    for (k, x) in row.iter_mut().enumerate() {
        let bound = V::splat(met as f32 - (k * V::WIDTH) as f32);
        *x = V::select(bound.greater(places), *x, V::splat(f32::NEG_INFINITY));
    }
}

/// The gradients of the scores of R queries, out of their weights.
#[inline(always)]
unsafe fn pull<V: Lanes, const R: usize, const N: usize>(
    shape: &AttentionShape,
    c: Rows<*const f32>,
    turned: *const f32,
    weights: *const f32,
    slopes: *mut f32,
) {
    let x = multiplied::<V, R, N>(c, shape.value, turned);
    let factor = V::splat(shape.scale as f32);
    let mut means = [V::splat(0.0); R];
    for (r, row) in x.iter().enumerate() {
        for (k, x) in row.iter().enumerate() {
            let weight = V::load(weights.add((r * N + k) * V::WIDTH));
            means[r] = weight.mul_add(*x, means[r]);
        }
    }
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        for mean in &mut means {
            *mean = mean.add(mean.exchange(distance));
        }
        distance /= 2;
    }
    for (r, row) in x.iter().enumerate() {
        for (k, x) in row.iter().enumerate() {
            let at = (r * N + k) * V::WIDTH;
            let weight = V::load(weights.add(at)).mul(factor);
            weight.mul(x.sub(means[r])).store(slopes.add(at));
        }
    }
}
