//! The specification of norms: everything in `f64`, value by value.

// The one condition of every function here is that of `Norm`.
#![allow(unsafe_op_in_unsafe_fn)]

use super::moments::{self, Group};
use super::{Arrays, MomentsShape, NormShape};
use crate::Real;
use std::ops::Range;

pub(super) unsafe fn norm<T: Real>(
    shape: &NormShape,
    x: &[T],
    weight: &[T],
    bias: &[T],
    out: &mut [T],
) {
    super::forward(shape, [x, weight, bias], out, forward_rows::<T>);
}

pub(super) unsafe fn gradient<T: Real>(
    shape: &NormShape,
    x: &[T],
    weight: &[T],
    c: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    super::backward(shape, [x, weight, c], out, scratch, backward_rows::<T>);
}

/// The mean of a row (0 if it is not subtracted) and 1 / √(v + epsilon).
fn statistics<T: Real>(shape: &NormShape, x: &[T]) -> (f64, f64) {
    let n = shape.width as f64;
    let sum: f64 = x.iter().map(|value| value.wide()).sum();
    let mean = if shape.centred { sum / n } else { 0.0 };
    let squares: f64 = x.iter().map(|value| (value.wide() - mean).powi(2)).sum();
    (mean, (squares / n + shape.epsilon).sqrt().recip())
}

unsafe fn forward_rows<T: Real>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<T>,
    out: *mut T,
) {
    for row in rows {
        let x = std::slice::from_raw_parts(arrays.x.add(row * shape.width), shape.width);
        let (mean, inverse) = statistics(shape, x);
        for (i, value) in x.iter().enumerate() {
            let place = shape.first_weight(row) + i / shape.run;
            let scaled = (value.wide() - mean) * inverse * (*arrays.weight.add(place)).wide();
            let bias = if shape.centred { (*arrays.bias.add(place)).wide() } else { 0.0 };
            *out.add(row * shape.width + i) = T::of(scaled + bias);
        }
    }
}

unsafe fn backward_rows<T: Real>(
    shape: &NormShape,
    rows: Range<usize>,
    arrays: &Arrays<T>,
    out: *mut T,
    sums: *mut T,
) {
    let n = shape.width as f64;
    for row in rows {
        let x = std::slice::from_raw_parts(arrays.x.add(row * shape.width), shape.width);
        let c = std::slice::from_raw_parts(arrays.c.add(row * shape.width), shape.width);
        let (mean, inverse) = statistics(shape, x);
        let place = |i: usize| shape.first_weight(row) + i / shape.run;
        let normal = |i: usize| (x[i].wide() - mean) * inverse;
        let (mut sum, mut product) = (0.0, 0.0);
        for (i, c) in c.iter().enumerate() {
            let g = c.wide() * (*arrays.weight.add(place(i))).wide();
            sum += g;
            product += g * normal(i);
        }
        let shift = if shape.centred { sum / n } else { 0.0 };
        for (i, c) in c.iter().enumerate() {
            let g = c.wide() * (*arrays.weight.add(place(i))).wide();
            let change = inverse * (g - shift - normal(i) * product / n);
            *out.add(row * shape.width + i) = T::of(change);
            *sums.add(place(i)) += T::of(c.wide() * normal(i));
            if shape.centred {
                *sums.add(shape.weights() + place(i)) += *c;
            }
        }
    }
}

pub(super) unsafe fn moments<T: Real>(
    shape: &MomentsShape,
    x: &[T],
    out: &mut [T],
    scratch: &mut [T],
) {
    moments::moments(shape, x, out, scratch, of_channel::<T>);
}

unsafe fn of_channel<T: Real>(
    shape: &MomentsShape,
    samples: Range<usize>,
    channel: usize,
    x: *const T,
) -> Group {
    let run = |sample: usize| {
        let first = (sample * shape.channels + channel) * shape.pixels;
        std::slice::from_raw_parts(x.add(first), shape.pixels)
    };
    let count = (samples.len() * shape.pixels) as f64;
    let sum: f64 = samples.clone().flat_map(run).map(|value| value.wide()).sum();
    let mean = if count > 0.0 { sum / count } else { 0.0 };
    let squares = samples.flat_map(run).map(|value| (value.wide() - mean).powi(2)).sum();
    Group { count, mean, squares }
}
