//! Attention over blocks, for any [`Lanes`].
//!
//! The reference multiplies out a matrix of scores, takes its softmax row by
//! row, and multiplies again: of 64 queries and keys of 32 values that is
//! 16 KiB written, read, written and read for 0.5 MFLOP, and 128 products too
//! small for a packed matrix product to get going. Here, for a block of keys
//!
//! 1. the keys are transposed into scratch memory, so that neighbouring scores
//!    lie in neighbouring lanes,
//! 2. a block of queries is multiplied with them into a strip of scores,
//! 3. the strip becomes weights: each query keeps its largest score so far and
//!    the sum of its weights, and what an earlier block of keys gave is scaled
//!    down when a larger score appears,
//! 4. the weights are multiplied with the values into the output, which is
//!    divided by the sums at the end.
//!
//! Backwards the same scores are computed again. With weights P, slopes
//! S = c vᵀ and m the mean of S under P in each row, the scores have the
//! gradient G = P ∘ (S - m) · scale; then the queries get G k, the keys Gᵀ q
//! and the values Pᵀ c. Where all keys are one block, the softmax is whole at
//! the first meeting; where they are several, a first round over the blocks
//! finds the largest scores, the sums and m.
//!
//! These loops are for more keys than 64 (AVX-512; 32 for AVX2); fewer are
//! `short`'s, and so are the figures for them. One thread of a two-core AVX-512
//! server (Zen 5), shares of the multiply-add peak, two runs; backwards five
//! products are counted, one of which computes the scores again:
//!
//! | attentions | `avx512` | `avx2` | `scalar` takes |
//! |---|---|---|---|
//! | 256 of 128 queries and keys of 32 values | 40 to 48 % | 25 % | 35 times `avx512` |
//! | the same backwards | 63 % | 32 % | 30 times |
//! | 32 of 512 queries and keys of 64 values | 72 % | 34 % | 54 times |
//!
//! AVX2's own peak is half of that. The longer queries and values are, the more of
//! the work is products: a weight is an exponential and three passes whatever their
//! length, which is what `short` saves by keeping scores in registers.
//!
//! Steps, when 64 keys of 32 values were computed here, with AVX-512: products and
//! softmax as ops of their own reached 30 % forwards; these loops 46 % and, backwards,
//! 42 %. What mattered:
//!
//! * closures in the loops were compiled without AVX-512 and called for each
//!   register: 36 % and 23 % before, with everything else the same;
//! * transposing with one exchange of registers a step, all indices known when
//!   compiled: with the distance as a variable the square went through memory.

#![allow(unsafe_op_in_unsafe_fn)]

use super::product::{Left, Rows, product, transpose};
use super::{AttentionShape, pieces, short};
use crate::elementwise::formula::UnaryFormula;
use crate::elementwise::lanes::Lanes;
use crate::elementwise::scalar::Exp;
use crate::parallel::{Shared, for_parts};

/// Keys of a block, queries of a strip: a strip of scores and one of slopes
/// fit a first-level cache while there are no more than 64 keys, as a vision
/// transformer has; longer ones stay in the second.
const KEYS: usize = 128;
pub const QUERIES: usize = 64;
/// Queries of a unit of the forward pass: for these a block of keys is
/// transposed once.
pub const CHUNK: usize = 256;

/// The step from row to row of a strip.
fn step(shape: &AttentionShape) -> usize {
    shape.keys.min(KEYS).next_multiple_of(16)
}

fn units(shape: &AttentionShape) -> usize {
    shape.batch * shape.queries.div_ceil(CHUNK)
}

fn forward_piece(shape: &AttentionShape) -> usize {
    if shape.keys <= KEYS {
        return (shape.size + QUERIES) * step(shape) + short::forward_piece(shape);
    }
    (shape.size + QUERIES) * step(shape)
}

fn backward_piece(shape: &AttentionShape) -> usize {
    let short = if shape.keys <= KEYS { short::backward_piece(shape) } else { 0 };
    short
        + (shape.size + shape.value + 2 * QUERIES) * step(shape)
        + 3 * shape.queries.next_multiple_of(16)
}

pub fn forward_scratch(shape: &AttentionShape) -> usize {
    pieces(units(shape)).1 * forward_piece(shape)
}

pub fn backward_scratch(shape: &AttentionShape) -> usize {
    pieces(shape.batch).1 * backward_piece(shape)
}

/// The arrays of one call. Gradients begin with those of the queries.
#[derive(Clone, Copy)]
pub struct Arrays {
    pub q: *const f32,
    pub k: *const f32,
    pub v: *const f32,
    pub c: *const f32,
}

// SAFETY: the arrays are only read.
unsafe impl Sync for Arrays {}
// SAFETY: as above.
unsafe impl Send for Arrays {}

/// One unit, compiled for an instruction set.
pub type Unit = unsafe fn(&AttentionShape, usize, &Arrays, *mut f32, *mut f32);

/// The whole forward pass; the contract of [`Forward`](super::Forward).
pub unsafe fn forward(
    shape: &AttentionShape,
    [q, k, v]: [&[f32]; 3],
    out: &mut [f32],
    scratch: &mut [f32],
    unit: Unit,
) {
    if shape.keys == 0 {
        return out.fill(0.0);
    }
    let arrays = Arrays { q: q.as_ptr(), k: k.as_ptr(), v: v.as_ptr(), c: std::ptr::null() };
    spread(shape, units(shape), forward_piece(shape), arrays, out, scratch, unit);
}

/// The whole backward pass; the contract of [`Backward`](super::Backward).
pub unsafe fn backward(
    shape: &AttentionShape,
    [q, k, v, c]: [&[f32]; 4],
    out: &mut [f32],
    scratch: &mut [f32],
    unit: Unit,
) {
    if shape.keys == 0 || shape.queries == 0 {
        return out.fill(0.0);
    }
    let arrays = Arrays { q: q.as_ptr(), k: k.as_ptr(), v: v.as_ptr(), c: c.as_ptr() };
    spread(shape, shape.batch, backward_piece(shape), arrays, out, scratch, unit);
}

unsafe fn spread(
    shape: &AttentionShape,
    units: usize,
    piece: usize,
    arrays: Arrays,
    out: &mut [f32],
    scratch: &mut [f32],
    unit: Unit,
) {
    let (each, _) = pieces(units);
    let (out, scratch) = (Shared::new(out), Shared::new(scratch));
    for_parts(units, each, |range| {
        let own = scratch.get().wrapping_add(range.start / each * piece);
        for number in range {
            // SAFETY: units write outputs of their own, and each part has a
            // piece of the scratch memory.
            unsafe { unit(shape, number, &arrays, out.get(), own) };
        }
    });
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
    if short::fits::<V>(shape) {
        return short::forward_unit::<V>(shape, unit, arrays, out, scratch);
    }
    let AttentionShape { queries, keys, size, value, .. } = *shape;
    let (place_q, place_k) = (shape.place_q(), shape.place_k());
    let (place_v, place_out) = (shape.place_v(), shape.place_out());
    let chunks = queries.div_ceil(CHUNK);
    let (b, begin) = (unit / chunks, unit % chunks * CHUNK);
    let end = queries.min(begin + CHUNK);
    let step = step(shape);
    let (turned, strip) = (scratch, scratch.add(size * step));
    let mut largest = [f32::NEG_INFINITY; CHUNK];
    let mut sums = [0.0f32; CHUNK];
    for first in (0..keys).step_by(KEYS) {
        if shape.causal && first >= end {
            break;
        }
        let count = KEYS.min(keys - first);
        let k = Rows { at: arrays.k.add(place_k.at(b, first)), step: place_k.step };
        transpose::<V>(count, size, k, turned, step);
        for row in (begin..end).step_by(QUERIES) {
            let rows = QUERIES.min(end - row);
            if shape.causal && first >= row + rows {
                continue;
            }
            let q = Rows { at: arrays.q.add(place_q.at(b, row)), step: place_q.step };
            scores::<V>([rows, count, size], q, turned, strip, step);
            let out = out.add(place_out.at(b, row));
            for r in 0..rows {
                let met = shape.met(row + r).saturating_sub(first).min(count);
                let own = row + r - begin;
                let (largest, sum) = (&mut largest[own], &mut sums[own]);
                let weights = strip.add(r * step);
                let kept = weigh::<V>(shape, weights, met, count, largest, sum);
                if first > 0 && kept != 1.0 {
                    scale::<V>(out.add(r * place_out.step), value, kept);
                }
            }
            let left = Left { at: strip, row_step: step, depth_step: 1 };
            let v = Rows { at: arrays.v.add(place_v.at(b, first)), step: place_v.step };
            let out = Rows { at: out, step: place_out.step };
            product::<V>([rows, value, count], left, v, out, first > 0, None);
        }
    }
    for row in begin..end {
        scale::<V>(out.add(place_out.at(b, row)), value, 1.0 / sums[row - begin]);
    }
}

/// `strip = rows · turned`.
#[inline(always)]
unsafe fn scores<V: Lanes>(
    sizes: [usize; 3],
    rows: Rows<*const f32>,
    turned: *const f32,
    strip: *mut f32,
    step: usize,
) {
    let left = Left { at: rows.at, row_step: rows.step, depth_step: 1 };
    product::<V>(sizes, left, Rows { at: turned, step }, Rows { at: strip, step }, false, None);
}

// No closures in loops: one is compiled without the instruction set of the
// function that it is inlined into, if it is inlined at all.
#[inline(always)]
unsafe fn scale<V: Lanes>(x: *mut f32, n: usize, factor: f32) {
    let factor = V::splat(factor);
    let mut at = 0;
    while at + V::WIDTH <= n {
        V::load(x.add(at)).mul(factor).store(x.add(at));
        at += V::WIDTH;
    }
    if at < n {
        let value = V::load_part(x.add(at), n - at, V::splat(0.0));
        value.mul(factor).store_part(x.add(at), n - at);
    }
}

/// The largest of `n` values times the scale, and of `so_far`.
#[inline(always)]
unsafe fn highest<V: Lanes>(x: *const f32, n: usize, scale: f32, so_far: f32) -> f32 {
    let scale = V::splat(scale);
    let mut highest = V::splat(so_far);
    let mut at = 0;
    while at + V::WIDTH <= n {
        highest = V::load(x.add(at)).mul(scale).max(highest);
        at += V::WIDTH;
    }
    if at < n {
        // The first element fills the lanes beyond.
        let fill = V::splat(*x.add(at));
        highest = V::load_part(x.add(at), n - at, fill).mul(scale).max(highest);
    }
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        highest = highest.max(highest.exchange(distance));
        distance /= 2;
    }
    highest.first()
}

/// The sum of the lanes.
#[inline(always)]
unsafe fn total<V: Lanes>(mut x: V) -> f32 {
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        x = x.add(x.exchange(distance));
        distance /= 2;
    }
    x.first()
}

/// 1 in the first `n` lanes, else 0.
#[inline(always)]
unsafe fn lanes_below<V: Lanes>(n: usize) -> V {
    let ones = [1.0f32; 16];
    V::load_part(ones.as_ptr(), n, V::splat(0.0))
}

/// Turns the first `met` of `count` scores into weights relative to the largest
/// so far, the rest into 0. Returns what earlier weights have to be scaled by.
#[inline(always)]
unsafe fn weigh<V: Lanes>(
    shape: &AttentionShape,
    x: *mut f32,
    met: usize,
    count: usize,
    largest: &mut f32,
    sum: &mut f32,
) -> f32 {
    let factor = shape.scale as f32;
    let mut own = V::splat(0.0);
    let mut kept = 1.0;
    if met > 0 {
        let highest = highest::<V>(x, met, factor, *largest);
        if *sum != 0.0 && highest != *largest {
            kept = Exp::lanes(V::splat(*largest - highest)).first();
        }
        *largest = highest;
        // Where all so far are -∞ their weights are 0, not exp(-∞ + ∞).
        let base = if highest == f32::NEG_INFINITY { 0.0 } else { highest };
        let (factor, highest) = (V::splat(factor), V::splat(base));
        let mut at = 0;
        while at + V::WIDTH <= met {
            let weight = Exp::lanes(V::load(x.add(at)).mul(factor).sub(highest));
            own = own.add(weight);
            weight.store(x.add(at));
            at += V::WIDTH;
        }
        if at < met {
            let score = V::load_part(x.add(at), met - at, V::splat(0.0));
            let weight = Exp::lanes(score.mul(factor).sub(highest));
            let weight = weight.mul(lanes_below(met - at));
            own = own.add(weight);
            weight.store_part(x.add(at), met - at);
        }
    }
    for at in met..count {
        *x.add(at) = 0.0;
    }
    *sum = *sum * kept + total(own);
    kept
}

/// All queries of one attention against all keys, backwards.
#[inline(always)]
pub unsafe fn backward_unit<V: Lanes>(
    shape: &AttentionShape,
    b: usize,
    arrays: &Arrays,
    out: *mut f32,
    scratch: *mut f32,
) {
    if short::fits::<V>(shape) {
        return short::backward_unit::<V>(shape, b, arrays, out, scratch);
    }
    let AttentionShape { queries, keys, size, value, .. } = *shape;
    let (place_q, place_k) = (shape.place_q(), shape.place_k());
    let (place_v, place_c) = (shape.place_v(), shape.place_out());
    let [place_dq, place_dk, place_dv] = shape.place_gradients();
    let step = step(shape);
    let turned_k = scratch;
    let turned_v = turned_k.add(size * step);
    let strip = turned_v.add(value * step);
    let slopes = strip.add(QUERIES * step);
    let largest = slopes.add(QUERIES * step);
    let sums = largest.add(queries.next_multiple_of(16));
    let means = sums.add(queries.next_multiple_of(16));
    let one_block = keys <= KEYS;
    for query in 0..queries {
        *largest.add(query) = f32::NEG_INFINITY;
        *sums.add(query) = 0.0;
        *means.add(query) = 0.0;
    }
    for round in usize::from(one_block)..2 {
        for first in (0..keys).step_by(KEYS) {
            let count = KEYS.min(keys - first);
            let k = Rows { at: arrays.k.add(place_k.at(b, first)), step: place_k.step };
            let v = Rows { at: arrays.v.add(place_v.at(b, first)), step: place_v.step };
            let dk = Rows { at: out.add(place_dk.at(b, first)), step: place_dk.step };
            let dv = Rows { at: out.add(place_dv.at(b, first)), step: place_dv.step };
            transpose::<V>(count, size, k, turned_k, step);
            transpose::<V>(count, value, v, turned_v, step);
            // The first queries that meet these keys write, later ones add.
            let mut met_before = false;
            for row in (0..queries).step_by(QUERIES) {
                let rows = QUERIES.min(queries - row);
                if shape.causal && first >= row + rows {
                    continue;
                }
                let q = Rows { at: arrays.q.add(place_q.at(b, row)), step: place_q.step };
                let c = Rows { at: arrays.c.add(place_c.at(b, row)), step: place_c.step };
                scores::<V>([rows, count, size], q, turned_k, strip, step);
                scores::<V>([rows, count, value], c, turned_v, slopes, step);
                for r in 0..rows {
                    let query = row + r;
                    let met = shape.met(query).saturating_sub(first).min(count);
                    let (x, slope) = (strip.add(r * step), slopes.add(r * step));
                    let (largest, sum) = (&mut *largest.add(query), &mut *sums.add(query));
                    let mean = &mut *means.add(query);
                    if round == 0 || one_block {
                        let kept = weigh::<V>(shape, x, met, count, largest, sum);
                        *mean = *mean * kept + weighted::<V>(x, slope, met);
                    }
                    if round == 1 {
                        // With one block the weights are there already.
                        let of = (!one_block).then_some(*largest);
                        let inverse = 1.0 / *sum;
                        pull::<V>(shape, x, slope, met, of, inverse, *mean * inverse);
                        for at in met..count {
                            *x.add(at) = 0.0;
                            *slope.add(at) = 0.0;
                        }
                    }
                }
                if round == 0 {
                    continue;
                }
                let left = Left { at: slopes, row_step: step, depth_step: 1 };
                let dq = Rows { at: out.add(place_dq.at(b, row)), step: place_dq.step };
                product::<V>([rows, size, count], left, k, dq, first > 0, None);
                let left = Left { at: slopes, row_step: 1, depth_step: step };
                product::<V>([count, size, rows], left, q, dk, met_before, None);
                let left = Left { at: strip, row_step: 1, depth_step: step };
                product::<V>([count, value, rows], left, c, dv, met_before, None);
                met_before = true;
            }
            if round == 1 && !met_before {
                for key in 0..count {
                    std::slice::from_raw_parts_mut(dk.at.add(key * dk.step), size).fill(0.0);
                    std::slice::from_raw_parts_mut(dv.at.add(key * dv.step), value).fill(0.0);
                }
            }
        }
    }
}

/// Σ weight · slope.
#[inline(always)]
unsafe fn weighted<V: Lanes>(weights: *const f32, slopes: *const f32, n: usize) -> f32 {
    let mut sum = V::splat(0.0);
    let mut at = 0;
    while at + V::WIDTH <= n {
        sum = V::load(weights.add(at)).mul_add(V::load(slopes.add(at)), sum);
        at += V::WIDTH;
    }
    if at < n {
        let zero = V::splat(0.0);
        let weight = V::load_part(weights.add(at), n - at, zero);
        sum = weight.mul_add(V::load_part(slopes.add(at), n - at, zero), sum);
    }
    total(sum)
}

/// Turns weights (or scores, where the largest one is given) and slopes into
/// weights that sum to 1 and the gradient of the scores.
#[inline(always)]
unsafe fn pull<V: Lanes>(
    shape: &AttentionShape,
    x: *mut f32,
    slopes: *mut f32,
    n: usize,
    largest: Option<f32>,
    inverse: f32,
    mean: f32,
) {
    let factor = V::splat(shape.scale as f32);
    let (inverse, mean) = (V::splat(inverse), V::splat(mean));
    let mut at = 0;
    while at < n {
        let count = V::WIDTH.min(n - at);
        let (mut weight, mut slope) = if count == V::WIDTH {
            (V::load(x.add(at)), V::load(slopes.add(at)))
        } else {
            let zero = V::splat(0.0);
            (V::load_part(x.add(at), count, zero), V::load_part(slopes.add(at), count, zero))
        };
        if let Some(largest) = largest {
            weight = Exp::lanes(weight.mul(factor).sub(V::splat(largest)));
        }
        weight = weight.mul(inverse);
        slope = weight.mul(slope.sub(mean)).mul(factor);
        if count == V::WIDTH {
            weight.store(x.add(at));
            slope.store(slopes.add(at));
        } else {
            weight.store_part(x.add(at), count);
            slope.store_part(slopes.add(at), count);
        }
        at += count;
    }
}
