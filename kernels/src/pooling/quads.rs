//! Pooling over 2×2 blocks side by side, by far the most common: no taps to
//! find, four values a window. Other windows take the plain loops. Both are
//! spread over threads by planes.
//!
//! Reference: `scalar`, which takes windows of all kinds. For each it works out along
//! both axes which taps lie inside the input, with a division for every bound, and
//! walks over them in two loops of unknown length; whether a value is the largest so
//! far is a branch that depends on data. That is 24 ns a window of four values, whose
//! reading and comparing is a small part of it.
//!
//! Here a row of windows is two rows of the input, both in chunks of two: there is
//! nothing to work out, the maximum is a selection in place of a branch, and the
//! divisor of an average is found once a plane. The compiler makes vectors of these
//! loops, of four lanes, for they are compiled for any processor; indices are 64 bits
//! wide in them until they are stored.
//!
//! 2 × 2 of 64 × 8 × 64 × 64, one thread of a two-core AVX-512 server (Zen 5), three runs
//! with the variants in turn: the indices of the maxima 18 times as fast as `scalar`,
//! 1.3 ns a window, averages 34 to 54 times, their gradient 17 to 22 times. The averages
//! are read and written at twice the rate of a copy beyond the caches or more, for 10 MiB
//! lie in the third-level cache: there is little left to win. The maxima leave a factor of
//! four to `avx512`. The gradient, which moves the same bytes as the average, takes 2.3 to
//! 2.7 times as long; it divides a value once for each of two rows. What else is behind
//! that was not looked into.

use super::{AveragePool, PoolShape, scalar};
use crate::Real;
use crate::parallel::{GRAIN, Shared, for_parts};

/// Calls `body(plane, part of out)` for every plane of `out`, on several
/// threads where `cost`, the operations of a plane, makes it worthwhile.
fn for_planes<T: Copy + Send>(
    planes: usize,
    cost: usize,
    out: &mut [T],
    body: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let size = out.len() / planes.max(1);
    let out = Shared::new(out);
    for_parts(planes, GRAIN / cost.max(1), |range| {
        for plane in range {
            // SAFETY: the planes lie in `out` and do not overlap.
            body(plane, unsafe { out.part(plane * size..(plane + 1) * size) });
        }
    });
}

/// Operations of one plane: the taps of all its windows, or its elements.
fn cost(shape: &PoolShape) -> usize {
    let taps = shape.output_plane() * shape.kernel[0] * shape.kernel[1];
    taps.max(shape.input_plane())
}

/// Max pooling with `plane(x, out)` for planes whose windows are 2×2 blocks,
/// at least one.
pub(super) fn max_indices_by<T: Real>(
    shape: &PoolShape,
    x: &[T],
    out: &mut [i32],
    plane: impl Fn(&[T], &mut [i32]) + Sync + Send,
) {
    shape.check(x.len(), out.len());
    let size = shape.input_plane();
    for_planes(shape.planes, cost(shape), out, |i, out| {
        let x = &x[i * size..][..size];
        if shape.is_quads() && !out.is_empty() {
            plane(x, out);
        } else {
            scalar::max_plane(shape, x, out);
        }
    });
}

/// Calls `row(two rows of x, index of their first element, row of out)` for
/// every row of windows of a plane. Inlined, so that a caller compiled for
/// wider vectors has its loop compiled likewise.
#[inline(always)]
pub(super) fn for_rows<T: Real>(
    shape: &PoolShape,
    x: &[T],
    out: &mut [i32],
    row: impl Fn([&[T]; 2], usize, &mut [i32]),
) {
    let width = shape.input[1];
    let pairs = x.chunks_exact(2 * width);
    for (i, (pair, out)) in pairs.zip(out.chunks_exact_mut(shape.output[1])).enumerate() {
        let (top, bottom) = pair.split_at(width);
        row([top, bottom], 2 * i * width, out);
    }
}

pub(super) fn max_indices<T: Real>(shape: &PoolShape, x: &[T], out: &mut [i32]) {
    max_indices_by(shape, x, out, |x, out| for_rows(shape, x, out, max_row));
}

/// One row of 2×2 maxima.
fn max_row<T: Real>([top, bottom]: [&[T]; 2], first: usize, out: &mut [i32]) {
    let columns = top.chunks_exact(2).zip(bottom.chunks_exact(2));
    for (ow, (out, (upper, lower))) in out.iter_mut().zip(columns).enumerate() {
        *out = max_of_quad([upper[0], upper[1], lower[0], lower[1]], first + 2 * ow, top.len());
    }
}

/// The index of the maximum of a 2×2 block, given in row-major order, whose
/// first element has index `first` in a plane `width` wide; ties and NaN as in
/// the scalar loop.
#[inline]
pub(super) fn max_of_quad<T: Real>(quad: [T; 4], first: usize, width: usize) -> i32 {
    let indices = [first, first + 1, first + width, first + width + 1];
    let (mut best, mut index) = (quad[0], indices[0]);
    for i in 1..4 {
        let wins = quad[i] > best || quad[i].is_nan();
        best = if wins { quad[i] } else { best };
        index = if wins { indices[i] } else { index };
    }
    index as i32
}

pub(super) fn average<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    let shape = &pool.shape;
    shape.check(x.len(), out.len());
    let (size, width) = (shape.input_plane(), shape.input[1]);
    for_planes(shape.planes, cost(shape), out, |plane, out| {
        let x = &x[plane * size..][..size];
        if !shape.is_quads() || out.is_empty() {
            return scalar::average_plane(pool, x, out);
        }
        let divisor: T = pool.divisor(shape.taps(0, 0), shape.taps(1, 0));
        let pairs = x.chunks_exact(2 * width);
        for (pair, out) in pairs.zip(out.chunks_exact_mut(shape.output[1])) {
            let (top, bottom) = pair.split_at(width);
            let columns = top.chunks_exact(2).zip(bottom.chunks_exact(2));
            for (out, (top, bottom)) in out.iter_mut().zip(columns) {
                *out = (top[0] + top[1] + bottom[0] + bottom[1]) / divisor;
            }
        }
    });
}

pub(super) fn average_gradient<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    let shape = &pool.shape;
    shape.check(out.len(), x.len());
    let (size, width) = (shape.output_plane(), shape.input[1]);
    for_planes(shape.planes, cost(shape), out, |plane, out| {
        let x = &x[plane * size..][..size];
        if !shape.is_quads() || x.is_empty() {
            return scalar::gradient_plane(pool, x, out);
        }
        let divisor: T = pool.divisor(shape.taps(0, 0), shape.taps(1, 0));
        // What no window covers: a last odd column or row, or more.
        let covered = 2 * shape.output[1];
        let (body, rest) = out.split_at_mut(2 * shape.output[0] * width);
        rest.fill(T::zero());
        for (pair, x) in body.chunks_exact_mut(2 * width).zip(x.chunks_exact(shape.output[1])) {
            let (top, bottom) = pair.split_at_mut(width);
            for row in [top, bottom] {
                let (row, rest) = row.split_at_mut(covered);
                rest.fill(T::zero());
                for (two, &x) in row.chunks_exact_mut(2).zip(x) {
                    two.fill(x / divisor);
                }
            }
        }
    });
}
