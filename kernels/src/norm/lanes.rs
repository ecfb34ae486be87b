//! Norms over registers, for any [`Lanes`].
//!
//! What limits a norm is memory, if nothing else does: three passes over a row
//! that lies in the first-level cache (mean; squares of what is left; output)
//! take about as long as reading and writing it from the last one. The variance
//! is that of centred values: in one pass it would be a difference of two large
//! numbers where the mean is large. Squares are f32: beyond 1.8e19 a distance from the
//! mean makes the variance infinite and the row 0, where the scalar loop, which sums in
//! f64, goes on to 1e154.
//!
//! Backwards, with x̂ = (x - m) r, r = 1/√(v + ε), g = c · w and means over a row,
//!
//!   dx = r (g - mean g - x̂ · mean(g x̂)),  dw = Σ c x̂,  db = Σ c over the rows.
//!
//! The second pass sums (x - m)², g and g (x - m) at once: r is not needed to do
//! so, x̂ being (x - m) r. The sums over rows add blocks of rows, so that no sum in
//! f32 is longer than some hundred terms where rows are many.
//!
//! Outputs far larger than the caches are written past them, and their inputs asked
//! for a page ahead: the processor's own prefetcher begins anew at each page.
//!
//! Measured on a two-core AVX-512 server (Zen 5), two threads:
//!
//! * 4096 rows of 128 in a vision transformer's step, against a chain of
//!   element-wise ops and sums in fused groups: forwards 2.7 times as fast (0.18 to
//!   0.07 ms), backwards 4 times (0.48 to 0.11 ms);
//! * 48 829 rows of 1024 (50 million values): forwards 83 % of a copy when all of
//!   the next page was asked for in the first pass over a row, 110 % with the
//!   requests spread over the passes, backwards 78 and 101 %: in the first pass
//!   they are more than there are places for, in the others memory stands idle;
//! * 760 rows of 65 536 (group norm), which the first-level cache does not hold: mean
//!   and squares of a block of 8192 after the other, put together as in `moments.rs`,
//!   spare a pass over the second cache; 21 to 26 GB/s, medians of five, while memory
//!   swung. Asking for 2, 8, 32 or 64 Ki values ahead instead of a page gained nothing.

#![allow(unsafe_op_in_unsafe_fn)]

use super::moments::Group;
use super::{Arrays, MomentsShape, NormShape};
use crate::elementwise::lanes::Lanes;
use crate::parallel::{STREAMED, prefetch, streamed};
use std::ops::Range;

/// Values that are summed in f32 before the sum goes to f64.
const BLOCK: usize = 8192;
/// How many values ahead large inputs are asked for: a page.
const AHEAD: usize = 1024;
/// Rows whose gradients for weights are summed before they are added to the rest.
const ROWS: usize = 128;

/// Whether rows are written past the caches: they are many, and whole registers.
fn past<V: Lanes>(shape: &NormShape, out: *const f32) -> bool {
    let bytes = size_of::<f32>();
    let aligned = out.addr().is_multiple_of(V::WIDTH * bytes);
    shape.elements() * bytes >= STREAMED
        && aligned
        && shape.width.is_multiple_of(V::WIDTH)
        && shape.run.is_multiple_of(V::WIDTH) | (shape.run == 1)
}

#[inline(always)]
pub unsafe fn forward_rows<V: Lanes>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<f32>,
    out: *mut f32,
) {
    let past = past::<V>(shape, out);
    match (shape.centred, past) {
        (false, false) => forward::<V, false, false>(shape, rows, arrays, out),
        (false, true) => forward::<V, false, true>(shape, rows, arrays, out),
        (true, false) => forward::<V, true, false>(shape, rows, arrays, out),
        (true, true) => forward::<V, true, true>(shape, rows, arrays, out),
    }
    if past {
        streamed();
    }
}

#[inline(always)]
unsafe fn forward<V: Lanes, const CENTRED: bool, const PAST: bool>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<f32>,
    out: *mut f32,
) {
    let NormShape { width, run, .. } = *shape;
    for row in rows {
        let (x, out) = (arrays.x.add(row * width), out.add(row * width));
        let (mean, squares) = match CENTRED {
            true => {
                let all = of_run::<V, PAST>(x, width);
                (all.mean as f32, all.squares)
            }
            false => (0.0, squares::<V, PAST>(x, width, 0.0)),
        };
        let inverse = inverse(shape, squares);
        let (mean, inverse) = (V::splat(mean), V::splat(inverse));
        let weight = arrays.weight.add(shape.first_weight(row));
        let bias = if CENTRED { arrays.bias.add(shape.first_weight(row)) } else { weight };
        if run == 1 {
            let mut at = 0;
            while at < width {
                let count = V::WIDTH.min(width - at);
                if at & (2 * V::WIDTH) != 0 {
                    ahead::<V, PAST>(x.add(at), 1);
                }
                let weight = load::<V>(weight.add(at), count).mul(inverse);
                let mut y = load::<V>(x.add(at), count);
                if CENTRED {
                    y = y.sub(mean).mul_add(weight, load::<V>(bias.add(at), count));
                } else {
                    y = y.mul(weight);
                }
                put::<V, PAST>(y, out.add(at), count);
                at += count;
            }
            continue;
        }
        for k in 0..width / run {
            let scale = V::splat(*weight.add(k)).mul(inverse);
            let bias = V::splat(if CENTRED { *bias.add(k) } else { 0.0 });
            let (x, out) = (x.add(k * run), out.add(k * run));
            let mut at = 0;
            while at < run {
                let count = V::WIDTH.min(run - at);
                if at & (2 * V::WIDTH) != 0 {
                    ahead::<V, PAST>(x.add(at), 1);
                }
                let mut y = load::<V>(x.add(at), count);
                y = if CENTRED { y.sub(mean).mul_add(scale, bias) } else { y.mul(scale) };
                put::<V, PAST>(y, out.add(at), count);
                at += count;
            }
        }
    }
}

#[inline(always)]
pub unsafe fn backward_rows<V: Lanes>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<f32>,
    out: *mut f32,
    sums: *mut f32,
) {
    let past = past::<V>(shape, out);
    let weights = shape.weights();
    let both = if shape.centred { 2 * weights } else { weights };
    let block = sums.add(2 * weights);
    let mut row = rows.start;
    while row < rows.end {
        let end = rows.end.min(row + ROWS);
        match (shape.centred, past) {
            (false, false) => backward::<V, false, false>(shape, row..end, arrays, out, block),
            (false, true) => backward::<V, false, true>(shape, row..end, arrays, out, block),
            (true, false) => backward::<V, true, false>(shape, row..end, arrays, out, block),
            (true, true) => backward::<V, true, true>(shape, row..end, arrays, out, block),
        }
        let mut at = 0;
        while at < both {
            let count = V::WIDTH.min(both - at);
            let total = load::<V>(sums.add(at), count).add(load::<V>(block.add(at), count));
            put::<V, false>(total, sums.add(at), count);
            put::<V, false>(V::splat(0.0), block.add(at), count);
            at += count;
        }
        row = end;
    }
    if past {
        streamed();
    }
}

#[inline(always)]
unsafe fn backward<V: Lanes, const CENTRED: bool, const PAST: bool>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<f32>,
    out: *mut f32,
    sums: *mut f32,
) {
    for row in rows {
        let x = arrays.x.add(row * shape.width);
        let mean = match CENTRED {
            true => (sum::<V, PAST>(x, shape.width) / shape.width as f64) as f32,
            false => 0.0,
        };
        if shape.run == 1 {
            columns::<V, CENTRED, PAST>(shape, row, mean, arrays, out, sums);
        } else {
            runs::<V, CENTRED, PAST>(shape, row, mean, arrays, out, sums);
        }
    }
}

/// A row whose values have weights of their own.
#[inline(always)]
unsafe fn columns<V: Lanes, const CENTRED: bool, const PAST: bool>(
    shape: &NormShape,
    row: usize,
    mean: f32,
    arrays: &Arrays<f32>,
    out: *mut f32,
    sums: *mut f32,
) {
    let width = shape.width;
    let (x, c) = (arrays.x.add(row * width), arrays.c.add(row * width));
    let (out, weight) = (out.add(row * width), arrays.weight.add(shape.first_weight(row)));
    let dw = sums.add(shape.first_weight(row));
    let db = dw.add(shape.weights());
    let centre = V::splat(mean);
    let (mut squares, mut slopes, mut products) = (0.0, 0.0, 0.0);
    let mut begin = 0;
    while begin < width {
        let end = width.min(begin + BLOCK);
        let (mut square, mut slope, mut product) =
            ([V::splat(0.0); 2], [V::splat(0.0); 2], [V::splat(0.0); 2]);
        let mut at = begin;
        while at + 2 * V::WIDTH <= end {
            ahead::<V, PAST>(c.add(at), 1);
            if !CENTRED {
                ahead::<V, PAST>(x.add(at), 1);
            }
            for k in 0..2 {
                let at = at + k * V::WIDTH;
                let d = V::load(x.add(at)).sub(centre);
                let g = V::load(c.add(at)).mul(V::load(weight.add(at)));
                square[k] = d.mul_add(d, square[k]);
                slope[k] = slope[k].add(g);
                product[k] = g.mul_add(d, product[k]);
            }
            at += 2 * V::WIDTH;
        }
        while at < end {
            let count = V::WIDTH.min(end - at);
            let d = load_or::<V>(x.add(at), count, centre).sub(centre);
            let g = load::<V>(c.add(at), count).mul(load::<V>(weight.add(at), count));
            square[0] = d.mul_add(d, square[0]);
            slope[0] = slope[0].add(g);
            product[0] = g.mul_add(d, product[0]);
            at += count;
        }
        squares += total(square[0].add(square[1]));
        if CENTRED {
            slopes += total(slope[0].add(slope[1]));
        }
        products += total(product[0].add(product[1]));
        begin = end;
    }
    let (inverse, shift, bend) = slope_of(shape, [squares, slopes, products]);
    let (inverse, shift, bend) = (V::splat(inverse), V::splat(shift), V::splat(bend));
    let mut at = 0;
    while at < width {
        let count = V::WIDTH.min(width - at);
        rest_ahead::<V, CENTRED, PAST>(x.add(at), c.add(at), at);
        let c = load::<V>(c.add(at), count);
        let d = load::<V>(x.add(at), count).sub(centre);
        let mut g = c.mul(load::<V>(weight.add(at), count));
        if CENTRED {
            g = g.sub(shift);
            let sum = load::<V>(db.add(at), count).add(c);
            put::<V, false>(sum, db.add(at), count);
        }
        put::<V, PAST>(d.neg_mul_add(bend, g).mul(inverse), out.add(at), count);
        let sum = c.mul_add(d.mul(inverse), load::<V>(dw.add(at), count));
        put::<V, false>(sum, dw.add(at), count);
        at += count;
    }
}

/// A row in which neighbours share a weight.
#[inline(always)]
unsafe fn runs<V: Lanes, const CENTRED: bool, const PAST: bool>(
    shape: &NormShape,
    row: usize,
    mean: f32,
    arrays: &Arrays<f32>,
    out: *mut f32,
    sums: *mut f32,
) {
    let NormShape { width, run, .. } = *shape;
    let (x, c) = (arrays.x.add(row * width), arrays.c.add(row * width));
    let (out, weight) = (out.add(row * width), arrays.weight.add(shape.first_weight(row)));
    let dw = sums.add(shape.first_weight(row));
    let db = dw.add(shape.weights());
    let own = sums.add(2 * shape.weights());
    let centre = V::splat(mean);
    let (mut squares, mut slopes, mut products) = (0.0, 0.0, 0.0);
    for k in 0..width / run {
        let (x, c) = (x.add(k * run), c.add(k * run));
        let (mut run_slope, mut run_product) = (0.0, 0.0);
        let mut begin = 0;
        while begin < run {
            let end = run.min(begin + BLOCK);
            let mut sums = [[V::splat(0.0); 3]; 2];
            let mut at = begin;
            while at + 2 * V::WIDTH <= end {
                ahead::<V, PAST>(c.add(at), 1);
                if !CENTRED {
                    ahead::<V, PAST>(x.add(at), 1);
                }
                for (k, [square, slope, product]) in sums.iter_mut().enumerate() {
                    let at = at + k * V::WIDTH;
                    let (d, c) = (V::load(x.add(at)).sub(centre), V::load(c.add(at)));
                    *square = d.mul_add(d, *square);
                    *slope = slope.add(c);
                    *product = c.mul_add(d, *product);
                }
                at += 2 * V::WIDTH;
            }
            while at < end {
                let count = V::WIDTH.min(end - at);
                let d = load_or::<V>(x.add(at), count, centre).sub(centre);
                let c = load::<V>(c.add(at), count);
                let [square, slope, product] = &mut sums[0];
                *square = d.mul_add(d, *square);
                *slope = slope.add(c);
                *product = c.mul_add(d, *product);
                at += count;
            }
            let [[square, slope, product], more] = sums;
            squares += total(square.add(more[0]));
            run_slope += total(slope.add(more[1]));
            run_product += total(product.add(more[2]));
            begin = end;
        }
        slopes += f64::from(*weight.add(k)) * run_slope;
        products += f64::from(*weight.add(k)) * run_product;
        *own.add(k) = run_product as f32;
        if CENTRED {
            *db.add(k) += run_slope as f32;
        }
    }
    let (inverse, shift, bend) = slope_of(shape, [squares, slopes, products]);
    let shift = if CENTRED { shift } else { 0.0 };
    for k in 0..width / run {
        *dw.add(k) += *own.add(k) * inverse;
        let (x, c, out) = (x.add(k * run), c.add(k * run), out.add(k * run));
        let weight = V::splat(*weight.add(k));
        let (inverse, shift, bend) = (V::splat(inverse), V::splat(shift), V::splat(bend));
        let mut at = 0;
        while at < run {
            let count = V::WIDTH.min(run - at);
            rest_ahead::<V, CENTRED, PAST>(x.add(at), c.add(at), at);
            let d = load::<V>(x.add(at), count).sub(centre);
            let mut g = load::<V>(c.add(at), count).mul(weight);
            if CENTRED {
                g = g.sub(shift);
            }
            put::<V, PAST>(d.neg_mul_add(bend, g).mul(inverse), out.add(at), count);
            at += count;
        }
    }
}

/// The values of a channel in some samples; see `moments.rs`.
#[inline(always)]
pub unsafe fn of_channel<V: Lanes>(
    shape: &MomentsShape,
    samples: Range<usize>,
    channel: usize,
    x: *const f32,
) -> Group {
    let large = shape.elements() * size_of::<f32>() >= STREAMED;
    let mut all = Group::default();
    for sample in samples {
        let x = x.add((sample * shape.channels + channel) * shape.pixels);
        all.join(match large {
            true => of_run::<V, true>(x, shape.pixels),
            false => of_run::<V, false>(x, shape.pixels),
        });
    }
    all
}

/// Neighbours, each block of which is in the first-level cache when its mean is taken
/// off: however many there are, memory or the second cache is read once.
#[inline(always)]
unsafe fn of_run<V: Lanes, const PAST: bool>(x: *const f32, n: usize) -> Group {
    let mut all = Group::default();
    let mut begin = 0;
    while begin < n {
        let length = BLOCK.min(n - begin);
        let (x, count) = (x.add(begin), length as f64);
        // The squares are about the rounded mean, of which they know.
        let mean = (sum::<V, PAST>(x, length) / count) as f32;
        let squares = squares::<V, false>(x, length, mean);
        all.join(Group { count, mean: f64::from(mean), squares });
        begin += length;
    }
    all
}

/// r, mean g, and mean(g x̂) · r, out of Σ (x - m)², Σ g and Σ g (x - m).
fn slope_of(shape: &NormShape, [squares, slopes, products]: [f64; 3]) -> (f32, f32, f32) {
    let n = shape.width as f64;
    let variance = squares / n + shape.epsilon;
    (variance.sqrt().recip() as f32, (slopes / n) as f32, (products / n / variance) as f32)
}

fn inverse(shape: &NormShape, squares: f64) -> f32 {
    (squares / shape.width as f64 + shape.epsilon).sqrt().recip() as f32
}

// No closures in this file: one is compiled without the instruction set of the
// function that it is inlined into, if it is inlined at all.
#[inline(always)]
unsafe fn load<V: Lanes>(from: *const f32, count: usize) -> V {
    load_or(from, count, V::splat(0.0))
}

#[inline(always)]
unsafe fn load_or<V: Lanes>(from: *const f32, count: usize, fill: V) -> V {
    if count == V::WIDTH { V::load(from) } else { V::load_part(from, count, fill) }
}

#[inline(always)]
unsafe fn put<V: Lanes, const PAST: bool>(value: V, to: *mut f32, count: usize) {
    if PAST {
        value.stream(to);
    } else if count == V::WIDTH {
        value.store(to);
    } else {
        value.store_part(to, count);
    }
}

/// Asks for some registers a page ahead, if the array is large.
#[inline(always)]
unsafe fn ahead<V: Lanes, const PAST: bool>(x: *const f32, registers: usize) {
    if PAST {
        prefetch(x.wrapping_add(AHEAD).cast(), registers * V::WIDTH * size_of::<f32>());
    }
}

/// Asks for what the sums of the backward pass have not asked for: of the inputs
/// every second register, or the second half of each four.
#[inline(always)]
unsafe fn rest_ahead<V: Lanes, const CENTRED: bool, const PAST: bool>(
    x: *const f32,
    c: *const f32,
    at: usize,
) {
    if at & V::WIDTH != 0 {
        ahead::<V, PAST>(c, 1);
    }
    if at & if CENTRED { 2 * V::WIDTH } else { V::WIDTH } != 0 {
        ahead::<V, PAST>(x, 1);
    }
}

/// Σ x.
#[inline(always)]
unsafe fn sum<V: Lanes, const PAST: bool>(x: *const f32, n: usize) -> f64 {
    let mut sum = 0.0;
    let mut begin = 0;
    while begin < n {
        let end = n.min(begin + BLOCK);
        let mut sums = [V::splat(0.0); 4];
        let mut at = begin;
        while at + 4 * V::WIDTH <= end {
            ahead::<V, PAST>(x.add(at), 2);
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::load(x.add(at + k * V::WIDTH)));
            }
            at += 4 * V::WIDTH;
        }
        while at < end {
            let count = V::WIDTH.min(end - at);
            sums[0] = sums[0].add(load::<V>(x.add(at), count));
            at += count;
        }
        sum += total(sums[0].add(sums[1]).add(sums[2].add(sums[3])));
        begin = end;
    }
    sum
}

/// Σ (x - centre)².
#[inline(always)]
unsafe fn squares<V: Lanes, const PAST: bool>(x: *const f32, n: usize, centre: f32) -> f64 {
    let centre = V::splat(centre);
    let mut sum = 0.0;
    let mut begin = 0;
    while begin < n {
        let end = n.min(begin + BLOCK);
        let mut sums = [V::splat(0.0); 4];
        let mut at = begin;
        while at + 4 * V::WIDTH <= end {
            ahead::<V, PAST>(x.add(at), 2);
            for (k, sum) in sums.iter_mut().enumerate() {
                let d = V::load(x.add(at + k * V::WIDTH)).sub(centre);
                *sum = d.mul_add(d, *sum);
            }
            at += 4 * V::WIDTH;
        }
        while at < end {
            let count = V::WIDTH.min(end - at);
            let d = load_or::<V>(x.add(at), count, centre).sub(centre);
            sums[0] = d.mul_add(d, sums[0]);
            at += count;
        }
        sum += total(sums[0].add(sums[1]).add(sums[2].add(sums[3])));
        begin = end;
    }
    sum
}

/// The sum of the lanes.
#[inline(always)]
unsafe fn total<V: Lanes>(mut x: V) -> f64 {
    let mut distance = V::WIDTH / 2;
    while distance > 0 {
        x = x.add(x.exchange(distance));
        distance /= 2;
    }
    f64::from(x.first())
}
