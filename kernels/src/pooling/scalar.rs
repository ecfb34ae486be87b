//! The specification of the pooling kernels, and the loops over one plane that
//! the other variants use for windows they have no better loop for.

use super::{AveragePool, PoolShape};
use crate::Real;

pub(super) fn max_indices<T: Real>(shape: &PoolShape, x: &[T], out: &mut [i32]) {
    shape.check(x.len(), out.len());
    let (from, to) = (shape.input_plane(), shape.output_plane());
    for plane in 0..shape.planes {
        max_plane(shape, &x[plane * from..][..from], &mut out[plane * to..][..to]);
    }
}

pub(super) fn max_plane<T: Real>(shape: &PoolShape, x: &[T], out: &mut [i32]) {
    let [height, width] = shape.output;
    for oh in 0..height {
        for ow in 0..width {
            let (rows, columns) = (shape.taps(0, oh), shape.taps(1, ow));
            let mut best = T::neg_infinity();
            let mut index = None;
            for h in shape.positions(0, rows) {
                for w in shape.positions(1, columns) {
                    let at = h * shape.input[1] + w;
                    if index.is_none() || x[at] > best || x[at].is_nan() {
                        best = x[at];
                        index = Some(at);
                    }
                }
            }
            out[oh * width + ow] = index.map_or(-1, |at| at as i32);
        }
    }
}

pub(super) fn average<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    pool.shape.check(x.len(), out.len());
    let (from, to) = (pool.shape.input_plane(), pool.shape.output_plane());
    for plane in 0..pool.shape.planes {
        average_plane(pool, &x[plane * from..][..from], &mut out[plane * to..][..to]);
    }
}

pub(super) fn average_plane<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    let shape = &pool.shape;
    let [height, width] = shape.output;
    for oh in 0..height {
        for ow in 0..width {
            let (rows, columns) = (shape.taps(0, oh), shape.taps(1, ow));
            let mut sum = T::zero();
            for h in shape.positions(0, rows) {
                for w in shape.positions(1, columns) {
                    sum += x[h * shape.input[1] + w];
                }
            }
            let empty = rows.inside * columns.inside == 0;
            out[oh * width + ow] =
                if empty { T::zero() } else { sum / pool.divisor(rows, columns) };
        }
    }
}

pub(super) fn average_gradient<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    pool.shape.check(out.len(), x.len());
    let (from, to) = (pool.shape.output_plane(), pool.shape.input_plane());
    for plane in 0..pool.shape.planes {
        gradient_plane(pool, &x[plane * from..][..from], &mut out[plane * to..][..to]);
    }
}

pub(super) fn gradient_plane<T: Real>(pool: &AveragePool, x: &[T], out: &mut [T]) {
    let shape = &pool.shape;
    let [height, width] = shape.output;
    out.fill(T::zero());
    for oh in 0..height {
        for ow in 0..width {
            let (rows, columns) = (shape.taps(0, oh), shape.taps(1, ow));
            let share = x[oh * width + ow] / pool.divisor(rows, columns);
            for h in shape.positions(0, rows) {
                for w in shape.positions(1, columns) {
                    out[h * shape.input[1] + w] += share;
                }
            }
        }
    }
}
