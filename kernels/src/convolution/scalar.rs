//! The specification. A convolution is a list of products
//!
//! `output[b, o, y, x] += weight[o, i, ky, kx] · input[b, i, y·s + ky·d − p, x·s + kx·d − p]`
//!
//! linear in the input and in the weight. Walking the same list and adding into
//! another of the three arrays gives the two gradients.

use super::{ConvShape, Routine};
use crate::real::Real;
use std::ops::Range;

/// The convolution for `T`.
pub(super) const fn forward<T: Real>() -> Routine<T> {
    Routine { run: run_forward::<T>, scratch: |_| 0, report: None }
}

/// The gradient of the input for `T`.
pub(super) const fn input_gradient<T: Real>() -> Routine<T> {
    Routine { run: run_input_gradient::<T>, scratch: |_| 0, report: None }
}

/// The gradient of the weight for `T`.
pub(super) const fn weight_gradient<T: Real>() -> Routine<T> {
    Routine { run: run_weight_gradient::<T>, scratch: |_| 0, report: None }
}

fn run_forward<T: Real>(s: &ConvShape, input: &[T], weight: &[T], output: &mut [T], _: &mut [T]) {
    s.check(input, weight, output);
    output.fill(T::zero());
    for_each_row(s, |row| {
        for (i, o) in row.pixels() {
            output[o] += weight[row.weight] * input[i];
        }
    });
}

fn run_input_gradient<T: Real>(
    s: &ConvShape,
    cotangent: &[T],
    weight: &[T],
    gradient: &mut [T],
    _: &mut [T],
) {
    s.check(gradient, weight, cotangent);
    gradient.fill(T::zero());
    for_each_row(s, |row| {
        for (i, o) in row.pixels() {
            gradient[i] += weight[row.weight] * cotangent[o];
        }
    });
}

fn run_weight_gradient<T: Real>(
    s: &ConvShape,
    input: &[T],
    cotangent: &[T],
    gradient: &mut [T],
    _: &mut [T],
) {
    s.check(input, gradient, cotangent);
    gradient.fill(T::zero());
    for_each_row(s, |row| {
        let mut sum = T::zero();
        for (i, o) in row.pixels() {
            sum += input[i] * cotangent[o];
        }
        gradient[row.weight] += sum;
    });
}

/// The products of one weight with one row of an image: indices into the three
/// arrays.
struct Row {
    weight: usize,
    /// First output pixel, and how many there are.
    output: usize,
    count: usize,
    /// Input pixel of the first output pixel, and the step to the next.
    input: usize,
    step: usize,
}

impl Row {
    /// Indices of the input and of the output.
    fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let inputs = (self.input..).step_by(self.step);
        inputs.zip(self.output..self.output + self.count)
    }
}

/// Walks all products, those with the border's zeros left out.
fn for_each_row(s: &ConvShape, mut body: impl FnMut(Row)) {
    let [height, width] = s.output();
    let (group_in, group_out) = (s.group_in(), s.group_out());
    for batch in 0..s.batch {
        for out_channel in 0..s.out_channels {
            let group = out_channel / group_out;
            for i in 0..group_in {
                let in_plane = (batch * s.in_channels + group * group_in + i) * s.input_pixels();
                let out_plane = (batch * s.out_channels + out_channel) * height * width;
                for ky in 0..s.kernel[0] {
                    for kx in 0..s.kernel[1] {
                        let weight =
                            (out_channel * group_in + i) * s.taps() + ky * s.kernel[1] + kx;
                        let columns = inside(s, 1, kx, width);
                        if columns.is_empty() {
                            continue;
                        }
                        let column =
                            columns.start * s.stride[1] + kx * s.dilation[1] - s.padding[1];
                        for y in inside(s, 0, ky, height) {
                            let row = y * s.stride[0] + ky * s.dilation[0] - s.padding[0];
                            body(Row {
                                weight,
                                output: out_plane + y * width + columns.start,
                                count: columns.len(),
                                input: in_plane + row * s.input[1] + column,
                                step: s.stride[1],
                            });
                        }
                    }
                }
            }
        }
    }
}

/// The output positions, out of `count`, at which tap `tap` reads inside the
/// input: `0 ≤ position · stride + tap · dilation − padding < input`.
fn inside(s: &ConvShape, axis: usize, tap: usize, count: usize) -> Range<usize> {
    let (stride, padding, reach) = (s.stride[axis], s.padding[axis], tap * s.dilation[axis]);
    let start = padding.saturating_sub(reach).div_ceil(stride);
    let end = (s.input[axis] + padding).saturating_sub(reach).div_ceil(stride).min(count);
    start.min(end)..end
}
