//! Windows written out, and a matrix product: the textbook convolution, to
//! compare with.
//!
//! For each image and group `result = weight · windows`, where row `k` of the
//! windows is the image shifted by tap `k`, and zero outside. It is never the
//! first choice: the windows of a kernel of 3 × 3 are nine times the image, and
//! writing and reading them is what `correlate` does without. Only one image's
//! windows are there at a time.
//!
//! One thread of a two-core AVX-512 server (Zen 5), as a share of `correlate`'s
//! speed: 32 → 32 channels at 64 × 64 52 %, at 16 × 16 36 %; 64 → 64 at 32 × 32
//! 59 %; 3 → 32 at 64 × 64 55 %; a kernel of 5 × 5, 32 → 32 at 32 × 32, 41 %;
//! 1 × 1, 8 → 32 at 64 × 64, the same.

use super::{ConvShape, Routine};
use crate::matmul::{AVX512, MatmulShape, parts};
use crate::parallel::{Shared, for_parts};

/// The convolution.
pub(super) const FORWARD: Routine<f32> = Routine { run, scratch };

/// The product of an image and group.
fn product(shape: &ConvShape) -> MatmulShape {
    MatmulShape {
        batch: 1,
        m: shape.group_out(),
        n: shape.output_pixels(),
        k: shape.group_in() * shape.taps(),
        transpose_a: false,
        transpose_b: false,
        a_stride: 0,
        b_stride: 0,
    }
}

/// Images (batch × groups) of a part, and the number of parts.
fn cut(shape: &ConvShape) -> [usize; 2] {
    let images = shape.batch * shape.groups;
    let part = images.div_ceil(parts(shape.products())).max(1);
    [part, images.div_ceil(part)]
}

/// Elements of the windows of an image, and of the scratch of its product.
fn regions(shape: &ConvShape) -> [usize; 2] {
    let product = product(shape);
    [product.k * product.n, (AVX512.scratch)(&product)]
}

fn scratch(shape: &ConvShape) -> usize {
    cut(shape)[1] * regions(shape).iter().sum::<usize>()
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    result: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(input, weight, result);
    if input.is_empty() || weight.is_empty() || result.is_empty() {
        result.fill(0.0);
        return;
    }
    let ([part, parts], regions) = (cut(shape), regions(shape));
    let size = regions.iter().sum::<usize>();
    assert!(scratch.len() >= parts * size, "length of the scratch of a convolution");
    let images = shape.batch * shape.groups;
    let [source_image, result_image, filters] =
        [input.len() / images, result.len() / images, weight.len() / shape.groups];
    let alone = rayon::current_num_threads() == 1;
    let (shared_result, shared_scratch) = (Shared::new(result), Shared::new(scratch));
    let product = product(shape);
    for_parts(images, part, |range| {
        let slot = if alone { 0 } else { range.start / part };
        // SAFETY: the scratch holds regions for every part, and parts that share
        // the first ones run one after another on this thread.
        let buffer = unsafe { shared_scratch.part(slot * size..(slot + 1) * size) };
        let (windows, buffer) = buffer.split_at_mut(regions[0]);
        for image in range {
            write_windows(shape, &input[image * source_image..][..source_image], windows);
            let weight = &weight[image % shape.groups * filters..][..filters];
            let at = image * result_image;
            // SAFETY: images of the result are disjoint and inside it; the
            // processor has AVX-512, by the caller's promise.
            unsafe {
                let result = shared_result.part(at..at + result_image);
                (AVX512.run)(&product, weight, windows, result, buffer);
            }
        }
    });
}

/// `windows[channel, tap, position]` of the channels of an image.
fn write_windows(shape: &ConvShape, image: &[f32], windows: &mut [f32]) {
    let ([height, width], [rows, columns]) = (shape.input, shape.output());
    for (index, row) in windows.chunks_exact_mut(columns).enumerate() {
        let (k, y) = (index / rows, index % rows);
        let (channel, tap) = (k / shape.taps(), k % shape.taps());
        let [tap_y, tap_x] = [tap / shape.kernel[1], tap % shape.kernel[1]];
        let reach = [tap_y * shape.dilation[0], tap_x * shape.dilation[1]];
        // Pixel of a position, or None in the border.
        let pixel = |axis: usize, position: usize, size: usize| {
            let pixel =
                (position * shape.stride[axis] + reach[axis]).checked_sub(shape.padding[axis])?;
            (pixel < size).then_some(pixel)
        };
        let Some(line) = pixel(0, y, height) else {
            row.fill(0.0);
            continue;
        };
        let line = &image[(channel * height + line) * width..][..width];
        if shape.stride[1] == 1 {
            let first = shape.padding[1].saturating_sub(reach[1]).min(columns);
            let end = (width + shape.padding[1]).saturating_sub(reach[1]).clamp(first, columns);
            row[..first].fill(0.0);
            row[end..].fill(0.0);
            if first < end {
                let from = first + reach[1] - shape.padding[1];
                row[first..end].copy_from_slice(&line[from..from + end - first]);
            }
        } else {
            for (x, value) in row.iter_mut().enumerate() {
                *value = pixel(1, x, width).map_or(0.0, |pixel| line[pixel]);
            }
        }
    }
}
