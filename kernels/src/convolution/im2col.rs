//! Windows written out, and a matrix product: the textbook convolution, to
//! compare with.
//!
//! For each image and group `result = weight · windows`, where row `k` of the
//! windows is the image shifted by tap `k`, and zero outside. The gradients are
//! the same product with other unknowns: `gradient of windows = weightᵀ ·
//! cotangent`, whose rows are then added to the pixels that they were read from
//! (col2im), and `gradient of weight = Σ cotangent · windowsᵀ` over the images.
//! It is never the first choice: the windows of a kernel of 3 × 3 are nine times
//! the image, and writing and reading them is what `correlate` does without. Only
//! one image's windows are there at a time.
//!
//! One thread of a two-core AVX-512 server (Zen 5), batches of 16 (of 4 at
//! 64 × 64), 3 × 3, the result, input's and weight's gradient as shares of the
//! multiply-add peak, of which the other variants (`correlate`, `reduce`) reach
//! about 85 %: 32 → 32 at 64 × 64 59, 46 and 50 %, at 16 × 16 49, 42 and 43 %;
//! 128 → 128 at 32 × 32 71, 72 and 69 %; 3 → 8 at 64 × 64 30, 16 and 20 %;
//! 5 × 5, 32 → 32 at 32 × 32 56, 49 and 47 %. Finding the pixels of a row of
//! windows by divisions, row by row, took as long as all the rest: 32 → 32 at
//! 16 × 16 ran at 17 %.

use super::source::copy;
use super::{ConvShape, Routine};
use crate::matmul::{AVX512, MatmulShape, parts};
use crate::parallel::{Shared, for_parts};
use std::ops::Range;

/// The convolution.
pub(super) const FORWARD: Routine<f32> = Routine {
    run: run_forward,
    scratch: |shape| Plan::new(shape, Pass::Forward).scratch(),
    report: None,
};
/// The gradient of the input.
pub(super) const INPUT_GRADIENT: Routine<f32> = Routine {
    run: run_input_gradient,
    scratch: |shape| Plan::new(shape, Pass::InputGradient).scratch(),
    report: None,
};
/// The gradient of the weight.
pub(super) const WEIGHT_GRADIENT: Routine<f32> = Routine {
    run: run_weight_gradient,
    scratch: |shape| Plan::new(shape, Pass::WeightGradient).scratch(),
    report: None,
};

/// Most elements of the gradients of all parts, where that leaves two parts.
const PARTIAL_SUMS: usize = 1 << 20;

/// What is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    InputGradient,
    WeightGradient,
}

/// How a shape is computed.
struct Plan {
    shape: ConvShape,
    pass: Pass,
    /// The product of an image and group.
    product: MatmulShape,
    /// Images of a part.
    part: usize,
}

impl Plan {
    fn new(shape: &ConvShape, pass: Pass) -> Self {
        let (rows, pixels) = (shape.group_out(), shape.output_pixels());
        let depth = shape.group_in() * shape.taps();
        let [m, n, k] = match pass {
            Pass::Forward => [rows, pixels, depth],
            Pass::InputGradient => [depth, pixels, rows],
            Pass::WeightGradient => [rows, depth, pixels],
        };
        let product = MatmulShape {
            batch: 1,
            m,
            n,
            k,
            transpose_a: pass == Pass::InputGradient,
            transpose_b: pass == Pass::WeightGradient,
            a_stride: 0,
            b_stride: 0,
        };
        let mut parts = parts(shape.products());
        if pass == Pass::WeightGradient {
            parts = parts.min((PARTIAL_SUMS / shape.weight_size().max(1)).max(2));
        }
        Plan { shape: *shape, pass, product, part: shape.batch.div_ceil(parts).max(1) }
    }

    fn parts(&self) -> usize {
        self.shape.batch.div_ceil(self.part)
    }

    /// Elements of a part: the windows of an image, the scratch of its product,
    /// and of the weight's gradient an image's product and the part's sums.
    fn regions(&self) -> [usize; 4] {
        let windows = self.shape.group_in() * self.shape.taps() * self.shape.output_pixels();
        let product = (AVX512.scratch)(&self.product);
        match self.pass {
            Pass::WeightGradient => {
                let weights = self.shape.weight_size();
                [windows, product, weights / self.shape.groups, weights]
            }
            _ => [windows, product, 0, 0],
        }
    }

    fn scratch(&self) -> usize {
        self.parts() * self.regions().iter().sum::<usize>()
    }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run_forward(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(input, weight, out);
    if input.is_empty() || weight.is_empty() || out.is_empty() {
        out.fill(0.0);
        return;
    }
    let plan = Plan::new(shape, Pass::Forward);
    let shared = Shared::new(out);
    let image = shape.group_out() * shape.output_pixels();
    for_images(&plan, scratch, |index, [windows, product, ..]| {
        write_windows(shape, image_of(input, shape, index), windows);
        // SAFETY: images of the result are disjoint and inside it; the processor
        // has AVX-512, by the caller's promise.
        unsafe {
            let out = shared.part(index * image..(index + 1) * image);
            (AVX512.run)(&plan.product, weight_of(weight, shape, index), windows, out, product);
        }
    });
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run_input_gradient(
    shape: &ConvShape,
    cotangent: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(gradient, weight, cotangent);
    gradient.fill(0.0);
    if gradient.is_empty() || weight.is_empty() || cotangent.is_empty() {
        return;
    }
    let plan = Plan::new(shape, Pass::InputGradient);
    let shared = Shared::new(gradient);
    let image = shape.group_in() * shape.input_pixels();
    for_images(&plan, scratch, |index, [windows, product, ..]| {
        let cotangent = image_of(cotangent, shape, index);
        // SAFETY: images of the gradient are disjoint and inside it; the
        // processor has AVX-512, by the caller's promise.
        let gradient = unsafe {
            let weight = weight_of(weight, shape, index);
            (AVX512.run)(&plan.product, weight, cotangent, windows, product);
            shared.part(index * image..(index + 1) * image)
        };
        add_windows(shape, windows, gradient);
    });
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run_weight_gradient(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(input, gradient, cotangent);
    gradient.fill(0.0);
    if input.is_empty() || cotangent.is_empty() || gradient.is_empty() {
        return;
    }
    let plan = Plan::new(shape, Pass::WeightGradient);
    let group = gradient.len() / shape.groups;
    for_images(&plan, scratch, |index, [windows, product, one, sums]| {
        write_windows(shape, image_of(input, shape, index), windows);
        let cotangent = image_of(cotangent, shape, index);
        // SAFETY: the processor has AVX-512, by the caller's promise.
        unsafe { (AVX512.run)(&plan.product, cotangent, windows, one, product) };
        let sums = &mut sums[index % shape.groups * group..][..group];
        if (index / shape.groups).is_multiple_of(plan.part) {
            sums.copy_from_slice(one);
        } else {
            sums.iter_mut().zip(one).for_each(|(sum, one)| *sum += *one);
        }
    });
    for sums in scratch.chunks_exact(gradient.len()).take(plan.parts()) {
        gradient.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
}

/// Calls `body` for every image (batch × groups) with the regions of its part;
/// the images of a part come in order. The scratch begins with the sums of all
/// parts.
fn for_images(plan: &Plan, scratch: &mut [f32], body: impl Fn(usize, [&mut [f32]; 4]) + Sync) {
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a convolution");
    let [windows, product, one, sums] = plan.regions();
    let size = windows + product + one;
    let groups = plan.shape.groups;
    let alone = rayon::current_num_threads() == 1;
    let (all_sums, buffers) = scratch.split_at_mut(plan.parts() * sums);
    let (shared_sums, shared_buffers) = (Shared::new(all_sums), Shared::new(buffers));
    for_parts(plan.shape.batch, plan.part, |range: Range<usize>| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the scratch holds regions for every part, and parts that share
        // the first one's run one after another on this thread.
        let (sums, buffer) = unsafe {
            let sums = shared_sums.part(part * sums..(part + 1) * sums);
            (sums, shared_buffers.part(slot * size..(slot + 1) * size))
        };
        let (windows, rest) = buffer.split_at_mut(windows);
        let (product, one) = rest.split_at_mut(product);
        for index in range.start * groups..range.end * groups {
            body(index, [&mut *windows, &mut *product, &mut *one, &mut *sums]);
        }
    });
}

/// The channels of an image's group.
fn image_of<'a>(all: &'a [f32], shape: &ConvShape, index: usize) -> &'a [f32] {
    let size = all.len() / (shape.batch * shape.groups);
    &all[index * size..(index + 1) * size]
}

/// The weights of an image's group.
fn weight_of<'a>(weight: &'a [f32], shape: &ConvShape, index: usize) -> &'a [f32] {
    let size = weight.len() / shape.groups;
    &weight[index % shape.groups * size..][..size]
}

/// A row of the windows: the line of the image that it is read from (None in
/// the border, or where no position is a pixel), and which of its positions are
/// pixels, from which pixel on.
struct Row {
    line: Option<usize>,
    inside: Range<usize>,
    first: usize,
}

/// Calls `body` for the rows of the windows `[channel, tap, y]` in order.
fn for_each_row(shape: &ConvShape, mut body: impl FnMut(Row)) {
    let ([height, width], [rows, columns]) = (shape.input, shape.output());
    for channel in 0..shape.group_in() {
        for tap in 0..shape.taps() {
            let [y, x] = [tap / shape.kernel[1], tap % shape.kernel[1]];
            let reach = x * shape.dilation[1];
            let position_of = |pixel: usize| {
                let distance = (pixel + shape.padding[1]).saturating_sub(reach);
                distance.div_ceil(shape.stride[1]).min(columns)
            };
            let inside = position_of(0)..position_of(width);
            let first = inside.start * shape.stride[1] + reach;
            for row in 0..rows {
                let line = (row * shape.stride[0] + y * shape.dilation[0])
                    .checked_sub(shape.padding[0])
                    .filter(|line| *line < height && !inside.is_empty());
                body(Row {
                    line: line.map(|line| (channel * height + line) * width),
                    inside: inside.clone(),
                    first: first.saturating_sub(shape.padding[1]),
                });
            }
        }
    }
}

/// `windows[channel, tap, position]` of the channels of an image.
fn write_windows(shape: &ConvShape, image: &[f32], windows: &mut [f32]) {
    let mut rows = windows.chunks_exact_mut(shape.output()[1]);
    for_each_row(shape, |Row { line, inside, first }| {
        let Some(row) = rows.next() else { return };
        let Some(line) = line else {
            row.fill(0.0);
            return;
        };
        row[..inside.start].fill(0.0);
        row[inside.end..].fill(0.0);
        let (row, pixels) = (&mut row[inside], &image[line + first..]);
        if shape.stride[1] == 1 {
            copy(&pixels[..row.len()], row);
        } else {
            let pixels = pixels.iter().step_by(shape.stride[1]);
            row.iter_mut().zip(pixels).for_each(|(value, pixel)| *value = *pixel);
        }
    });
}

/// Adds every value of the windows to the pixel that it stands for.
fn add_windows(shape: &ConvShape, windows: &[f32], image: &mut [f32]) {
    let mut rows = windows.chunks_exact(shape.output()[1]);
    for_each_row(shape, |Row { line, inside, first }| {
        let (Some(row), Some(line)) = (rows.next(), line) else { return };
        let (row, pixels) = (&row[inside], &mut image[line + first..]);
        if shape.stride[1] == 1 {
            pixels.iter_mut().zip(row).for_each(|(pixel, value)| *pixel += value);
        } else {
            let pixels = pixels.iter_mut().step_by(shape.stride[1]);
            pixels.zip(row).for_each(|(pixel, value)| *pixel += value);
        }
    });
}
