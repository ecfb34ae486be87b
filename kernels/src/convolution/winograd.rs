//! Winograd's convolution for kernels of 3 × 3, F(2×2, 3×3) and F(4×4, 3×3).
//!
//! Reference: `correlate`, which takes 9 multiplications for a result and pair
//! of channels, and runs at up to 95 % of the multipliers' peak: what is left to
//! win is in the number of multiplications. Polynomials that are multiplied at
//! `M + 2` points give `M` results of a kernel of 3 with `M + 2` multiplications
//! instead of `3·M`; in two dimensions that is 16 for 4 results (2.25 times fewer)
//! or 36 for 16 (4 times fewer). Source: A. Lavin, S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015; the points are 0, ±1, (±2,) ∞.
//!
//! `result = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A` for each tile of `M × M` results, the
//! products summed over channels, which is a matrix product for each of the
//! `(M + 2)²` points: `[channels of the result, channels] · [channels, tiles]`.
//!
//! * The copy of an image (`source`) is dealt out to `M` planes along each axis
//!   as for a stride of `M`. Then the value `(i, j)` of 16 tiles next to each
//!   other is one vector load, whatever `M`, and tiles run on over the ends of
//!   rows: their last column is computed and dropped.
//! * A block is [`TILES`] tiles, all channels: transformed, multiplied by the
//!   register tiles of `matmul`, transformed back a few channels at a time, so
//!   that everything between the image and the result stays in the second-level
//!   cache.
//!
//! Other kernels than 3 × 3 with stride and dilation 1, and few channels, where
//! the transforms take longer than the products, are `correlate`'s.
//!
//! # Accuracy
//! The transforms add numbers that cancel later; on the other hand the sums are
//! shorter, over channels alone. 64 channels to 48, 26 × 26, inputs and weights
//! uniform from −1 to 1, the error as a share of the results' root mean square
//! (the test `winograd_loses_accuracy_within_what_it_states`):
//!
//! | | root mean square | largest |
//! |---|---|---|
//! | `avx512`, direct | 4.2e-7 | 5.1e-6 |
//! | `winograd2` | 2.6e-7 | 1.6e-6 |
//! | `winograd4` | 1.6e-6 | 2.5e-5 |
//!
//! So F(2×2, 3×3) loses nothing, and is the first choice. F(4×4, 3×3) stands
//! after `avx512` in the table, hence runs only where it is forced. Infinities
//! and NaN spread to a whole tile.
//!
//! # What was measured
//! One thread of a two-core AVX-512 server (Zen 5), batches of 16 to 64, in
//! GFLOP/s of the direct convolution (the peak of multiply-adds was 265):
//!
//! | channels, size | direct | `winograd2` | `winograd4` |
//! |---|---|---|---|
//! | 32 → 32, 64 × 64 | 231 | 295 | 369 |
//! | 32 → 32, 32 × 32 | 218 | 248 | 294 |
//! | 32 → 32, 16 × 16 | 219 | 218 | 201 |
//! | 32 → 64, 32 × 32 | 235 | 301 | 361 |
//! | 64 → 64, 32 × 32 | 233 | 336 | 415 |
//! | 64 → 128, 16 × 16 | 238 | 317 | 320 |
//! | 64 → 64, 8 × 8 | 186 | 185 | 119 |
//! | 128 → 128, 64 × 64 | 244 | 416 | 568 |
//!
//! Steps, at 32 → 32, 64 × 64: the points of a block a line more than a power of
//! two apart: from 22 to 8 % of the time for the transform. Dealing pixels out a
//! vector at a time, not under a mask: 1.13 times as fast with F(2×2), 1.48
//! times with F(4×4). Asking for the lines of the result before the products:
//! 1.10 times. No gain: asking for the image ahead of reading it.
//!
//! What is left: blocks hold tiles of one image only, so that small images fill
//! them badly (8 × 8 with F(4×4): 6 tiles of 32), and the weight's gradient,
//! F(3×3, 2×2), is direct.

use super::avx512::Avx512;
use super::correlate::{self, Direction};
use super::form::{Form, Four, MOST, Two};
use super::source::{Axis, LINE, Layout};
use super::{ConvShape, Routine};
use crate::matmul::{Avx512 as Product, PackedTile, PackedTileJob, parts};
use crate::parallel::{Shared, for_parts};
use std::arch::x86_64::*;
use std::array::from_fn;

/// F(2×2, 3×3).
pub(super) const FORWARD_2: Routine<f32> =
    Routine { run: forward::<Two>, scratch: |shape| scratch::<Two>(shape, Direction::Forward) };
/// F(4×4, 3×3).
pub(super) const FORWARD_4: Routine<f32> =
    Routine { run: forward::<Four>, scratch: |shape| scratch::<Four>(shape, Direction::Forward) };
/// F(2×2, 3×3) of the input's gradient.
pub(super) const INPUT_GRADIENT_2: Routine<f32> = Routine {
    run: input_gradient::<Two>,
    scratch: |shape| scratch::<Two>(shape, Direction::InputGradient),
};
/// F(4×4, 3×3) of the input's gradient.
pub(super) const INPUT_GRADIENT_4: Routine<f32> = Routine {
    run: input_gradient::<Four>,
    scratch: |shape| scratch::<Four>(shape, Direction::InputGradient),
};

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn forward<F: Form>(
    shape: &ConvShape,
    input: &[f32],
    weight: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { run::<F>(shape, Direction::Forward, input, weight, out, scratch) }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn input_gradient<F: Form>(
    shape: &ConvShape,
    cotangent: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { run::<F>(shape, Direction::InputGradient, cotangent, weight, gradient, scratch) }
}

/// Tiles of a block: the columns of a register tile of the matrix product.
const TILES: usize = 32;
/// Fewest channels on either side that are worth the transforms.
const CHANNELS: usize = 32;

/// How a shape is computed.
struct Plan {
    shape: ConvShape,
    direction: Direction,
    source: Layout,
    /// Height and width of the result.
    result: [usize; 2],
    /// Tiles along each axis, and positions of tiles, dropped ones among them.
    tiles: [usize; 2],
    positions: usize,
    /// Channels of the source and of the result in a group, of the result in a
    /// register tile, and the number of these.
    channels: usize,
    rows: usize,
    tile_rows: usize,
    row_tiles: usize,
    points: usize,
    /// Images (batch × groups) of a part.
    part: usize,
}

impl Plan {
    /// None where the shape is `correlate`'s.
    fn new<F: Form>(shape: &ConvShape, direction: Direction) -> Option<Self> {
        let plain = shape.kernel == [3, 3] && shape.stride == [1, 1] && shape.dilation == [1, 1];
        let few = shape.group_in().min(shape.group_out()) < CHANNELS;
        if !plain || few || shape.padding.iter().any(|padding| *padding > 2) {
            return None;
        }
        let (channels, rows, pixels, result, border) = match direction {
            Direction::Forward => {
                let border = shape.padding;
                (shape.group_in(), shape.group_out(), shape.input, shape.output(), border)
            }
            Direction::InputGradient => {
                let border = shape.padding.map(|padding| 2 - padding);
                (shape.group_out(), shape.group_in(), shape.output(), shape.input, border)
            }
        };
        let tiles = result.map(|size| size.div_ceil(F::M));
        let axes = [0, 1].map(|axis| Axis {
            pixels: pixels[axis],
            planes: F::M,
            length: tiles[axis] + 1,
            step: F::M,
            border: border[axis] as isize,
        });
        let row_tiles = rows.div_ceil(Product::ROWS);
        let images = shape.batch * shape.groups;
        Some(Plan {
            shape: *shape,
            direction,
            source: Layout::new(channels, axes),
            result,
            tiles,
            positions: tiles[0] * (tiles[1] + 1),
            channels,
            rows,
            tile_rows: rows.div_ceil(row_tiles),
            row_tiles,
            points: F::POINTS * F::POINTS,
            part: images.div_ceil(parts(shape.products())).max(1),
        })
    }

    fn parts(&self) -> usize {
        (self.shape.batch * self.shape.groups).div_ceil(self.part)
    }

    /// Elements of the transformed weights of a register tile, and of a group.
    fn weights(&self) -> [usize; 2] {
        let tile = self.points * self.channels * self.tile_rows;
        [tile, tile * self.row_tiles]
    }

    /// Elements from one point to the next in a transformed block, and in its
    /// products: a line more than they hold, because a power of two would put
    /// the same element of all points into one set of the first-level cache.
    fn point_steps(&self) -> [usize; 2] {
        [self.channels, self.tile_rows].map(|rows| rows * TILES + LINE)
    }

    /// Elements of a part's copy of an image, transformed image, products, and
    /// staged results. Vectors of tiles may run over the end of the copy by two
    /// blocks, and positions by one.
    fn regions<F: Form>(&self) -> [usize; 4] {
        [
            (self.source.size() + 2 * TILES).next_multiple_of(LINE),
            self.points * self.point_steps()[0],
            self.points * self.point_steps()[1],
            F::M * F::M * TILES,
        ]
    }

    fn scratch<F: Form>(&self) -> usize {
        let weights = (self.shape.groups * self.weights()[1]).next_multiple_of(LINE);
        LINE + weights + self.parts() * self.regions::<F>().iter().sum::<usize>()
    }

    /// Transforms the weights of a register tile of a group:
    /// `[point, channel, row]`.
    fn transform_weights<F: Form>(
        &self,
        weight: &[f32],
        group: usize,
        tile: usize,
        out: &mut [f32],
    ) {
        let filter = self.shape.group_in() * 9;
        let weight = &weight[group * self.shape.group_out() * filter..];
        let first = tile * self.tile_rows;
        let rows = self.tile_rows.min(self.rows - first);
        for channel in 0..self.channels {
            // The input's gradient exchanges the channels and turns the kernel
            // round.
            let weight_of = |row: usize, i: usize| match self.direction {
                Direction::Forward => weight[row * filter + channel * 9 + i],
                Direction::InputGradient => weight[channel * filter + row * 9 + 8 - i],
            };
            // All rows of the tile side by side, for vectors.
            let mut w = [[0.0; Product::ROWS]; 9];
            for row in 0..rows {
                (0..9).for_each(|i| w[i][row] = weight_of(first + row, i));
            }
            let combine = |factors: [f32; 3], values: [&[f32; Product::ROWS]; 3]| {
                from_fn(|row| (0..3).map(|i| factors[i] * values[i][row]).sum::<f32>())
            };
            let mut across = [[[0.0; Product::ROWS]; MOST]; 3];
            for (y, across) in across.iter_mut().enumerate() {
                let values = [&w[3 * y], &w[3 * y + 1], &w[3 * y + 2]];
                (0..F::POINTS).for_each(|p| across[p] = combine(F::WEIGHT[p], values));
            }
            for point in 0..self.points {
                let (y, x) = (point / F::POINTS, point % F::POINTS);
                let values: [f32; Product::ROWS] =
                    combine(F::WEIGHT[y], [&across[0][x], &across[1][x], &across[2][x]]);
                let at = (point * self.channels + channel) * self.tile_rows;
                out[at..at + rows].copy_from_slice(&values[..rows]);
            }
        }
    }
}

/// Scratch for [`run`].
fn scratch<F: Form>(shape: &ConvShape, direction: Direction) -> usize {
    match Plan::new::<F>(shape, direction) {
        Some(plan) => plan.scratch::<F>(),
        None => correlate::scratch::<Avx512>(shape, direction),
    }
}

/// Correlates `source` with `weight`.
///
/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run<F: Form>(
    shape: &ConvShape,
    direction: Direction,
    source: &[f32],
    weight: &[f32],
    result: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(plan) = Plan::new::<F>(shape, direction) else {
        // SAFETY: the caller's promise.
        unsafe { correlate::run::<Avx512>(shape, direction, source, weight, result, scratch) };
        return;
    };
    match direction {
        Direction::Forward => shape.check(source, weight, result),
        Direction::InputGradient => shape.check(result, weight, source),
    }
    if source.is_empty() || result.is_empty() {
        result.fill(0.0);
        return;
    }
    assert!(scratch.len() >= plan.scratch::<F>(), "length of the scratch of a convolution");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let [tile_weights, group_weights] = plan.weights();
    let weights = (shape.groups * group_weights).next_multiple_of(LINE);
    let (weights, buffers) = scratch[aligned..].split_at_mut(weights);
    let shared_weights = Shared::new(weights);
    for_parts(shape.groups * plan.row_tiles, 1, |range| {
        for index in range {
            let at = index * tile_weights;
            // SAFETY: tiles are disjoint and inside the weights.
            let out = unsafe { shared_weights.part(at..at + tile_weights) };
            plan.transform_weights::<F>(
                weight,
                index / plan.row_tiles,
                index % plan.row_tiles,
                out,
            );
        }
    });

    let weights = &*weights;
    let alone = rayon::current_num_threads() == 1;
    let images = shape.batch * shape.groups;
    let regions = plan.regions::<F>();
    let part_size = regions.iter().sum::<usize>();
    let source_image = source.len() / images;
    let result_image = result.len() / images;
    let shared_result = Shared::new(result);
    let shared_buffers = Shared::new(buffers);
    for_parts(images, plan.part, |range| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the scratch holds buffers for every part, and parts that share
        // the first ones run one after another on this thread.
        let buffer = unsafe { shared_buffers.part(slot * part_size..(slot + 1) * part_size) };
        let (copy, rest) = buffer.split_at_mut(regions[0]);
        let (transformed, rest) = rest.split_at_mut(regions[1]);
        let (products, staged) = rest.split_at_mut(regions[2]);
        if slot == part {
            copy.fill(0.0);
        }
        for image in range {
            let group = image % shape.groups;
            let from = &source[image * source_image..][..source_image];
            // SAFETY: the caller's promise.
            unsafe { deal::<F>(&plan, from, copy) };
            let weights = &weights[group * group_weights..][..group_weights];
            let at = image * result_image;
            // SAFETY: images of the result are disjoint and inside it.
            let result = unsafe { shared_result.part(at..at + result_image) };
            let size = plan.result[0] * plan.result[1];
            for first in (0..plan.positions).step_by(TILES) {
                // SAFETY: the caller's promise; the copy leaves room for the
                // vectors of the last block.
                unsafe { transform::<F>(&plan, copy, first, transformed) };
                for tile in 0..plan.row_tiles {
                    let weights = &weights[tile * tile_weights..][..tile_weights];
                    let row = tile * plan.tile_rows;
                    let rows = plan.tile_rows.min(plan.rows - row);
                    let columns = TILES.min(plan.positions - first);
                    expect::<F>(&plan, first, &mut result[row * size..(row + rows) * size]);
                    // SAFETY: the caller's promise; the buffers are as long as
                    // the plan says.
                    unsafe { multiply(&plan, [rows, columns], weights, transformed, products) };
                    for lane in 0..rows {
                        // SAFETY: as above.
                        unsafe { transform_back::<F>(&plan, lane, products, staged) };
                        let result = &mut result[(row + lane) * size..][..size];
                        store::<F>(&plan, first, staged, result);
                    }
                }
            }
        }
    });
}

/// What [`Layout::fill`] does, a vector of each plane at a time. What lies
/// outside a row is masked out after it was dealt: with loads under a mask
/// (which it seems nothing reads ahead of) the convolution took 1.4 to 1.6 times
/// as long.
///
/// # Safety
/// The processor has AVX-512 F; `copy` is as long as the plan says, and zero or
/// what an image before left there.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn deal<F: Form>(plan: &Plan, image: &[f32], copy: &mut [f32]) {
    let ([vertical, horizontal], pitch) = (plan.source.axes, plan.source.pitch());
    let mask_of = |first: usize, end: usize| {
        let bits = |count: usize| (1u32 << count.min(16)) - 1;
        (bits(end) & !bits(first)) as __mmask16
    };
    for (row, start) in (0..image.len()).step_by(horizontal.pixels.max(1)).enumerate() {
        let (channel, row) = (row / vertical.pixels, row % vertical.pixels);
        let row = row + vertical.border as usize;
        let (plane, line) = (row % F::M, row / F::M);
        if line >= vertical.length {
            continue;
        }
        for position in (0..pitch).step_by(16) {
            let vectors = from_fn(|v| {
                // Element 0 is the first of the border.
                let at = (start + position * F::M + 16 * v) as isize - horizontal.border;
                let (first, end) = (-at, image.len() as isize - at);
                let pointer = image.as_ptr().wrapping_offset(at);
                if v >= F::M || end <= 0 {
                    return _mm512_setzero_ps();
                }
                // SAFETY: the vector lies in the image, or the mask leaves out
                // what does not.
                unsafe {
                    match first <= 0 && end >= 16 {
                        true => _mm512_loadu_ps(pointer),
                        false => {
                            let mask = mask_of(first.clamp(0, 16) as usize, end as usize);
                            _mm512_maskz_loadu_ps(mask, pointer)
                        }
                    }
                }
            });
            let dealt = F::deal(vectors);
            let written = mask_of(0, pitch - position);
            for x in 0..F::M {
                let pixels = horizontal.inside(x);
                let [first, end] =
                    [pixels.start, pixels.end].map(|end| end.saturating_sub(position).min(16));
                let values = _mm512_maskz_mov_ps(mask_of(first, end), dealt[x]);
                let at = plan.source.plane_at(channel, [plane, x]) + line * pitch + position;
                // SAFETY: a line of a plane, and the mask leaves out what lies
                // beyond it.
                unsafe { _mm512_mask_storeu_ps(copy.as_mut_ptr().add(at), written, values) };
            }
        }
    }
}

/// `Bᵀ x B` of a block of tiles: `[point, channel, tile]`.
///
/// # Safety
/// The processor has AVX-512 F; `copy` and `out` are as long as the plan says.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn transform<F: Form>(plan: &Plan, copy: &[f32], first: usize, out: &mut [f32]) {
    let (pitch, [point_step, _]) = (plan.source.pitch(), plan.point_steps());
    let offset = |i: usize, j: usize| {
        plan.source.plane_at(0, [i % F::M, j % F::M]) + i / F::M * pitch + j / F::M
    };
    let offsets: [[usize; MOST]; MOST] = from_fn(|i| from_fn(|j| offset(i, j)));
    let zero = _mm512_setzero_ps();
    for channel in 0..plan.channels {
        let copy = copy[plan.source.plane_at(channel, [0, 0])..].as_ptr();
        for lanes in [0, 16] {
            let mut x = [[zero; MOST]; MOST];
            for j in 0..F::POINTS {
                let column = from_fn(|i| {
                    let at = copy.wrapping_add(offsets[i][j] + first + lanes);
                    match i < F::POINTS {
                        // SAFETY: the copy is readable for a block of positions
                        // beyond the last tile.
                        true => unsafe { _mm512_loadu_ps(at) },
                        false => zero,
                    }
                });
                let column = F::input(column);
                (0..F::POINTS).for_each(|i| x[i][j] = column[i]);
            }
            for i in 0..F::POINTS {
                let row = F::input(x[i]);
                for j in 0..F::POINTS {
                    let at = (i * F::POINTS + j) * point_step + channel * TILES + lanes;
                    // SAFETY: a point, channel and vector of the block.
                    unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(at), row[j]) };
                }
            }
        }
    }
}

/// The products of all points, for some rows of the result:
/// `[point, row, tile]`.
///
/// # Safety
/// The processor has AVX-512 F; the buffers are as long as the plan says.
unsafe fn multiply(
    plan: &Plan,
    [rows, columns]: [usize; 2],
    weights: &[f32],
    transformed: &[f32],
    products: &mut [f32],
) {
    let [transformed_step, products_step] = plan.point_steps();
    for point in 0..plan.points {
        let job = PackedTileJob {
            rows,
            columns,
            depth: plan.channels,
            left: weights[point * plan.channels * plan.tile_rows..].as_ptr(),
            left_step: plan.tile_rows,
            right: transformed[point * transformed_step..].as_ptr(),
            right_step: TILES,
            out: products[point * products_step..].as_mut_ptr(),
            out_step: TILES,
            accumulate: false,
        };
        // SAFETY: both operands hold `channels` steps, the products `tile_rows`
        // rows of `TILES`.
        unsafe { Product::multiply(&job) };
    }
}

/// `Aᵀ y A` of a row of products: `[i, tile, j]`.
///
/// # Safety
/// The processor has AVX-512 F; the buffers are as long as the plan says.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn transform_back<F: Form>(plan: &Plan, lane: usize, products: &[f32], out: &mut [f32]) {
    let (zero, [_, point_step]) = (_mm512_setzero_ps(), plan.point_steps());
    for lanes in [0, 16] {
        let mut x = [[zero; MOST]; 4];
        for j in 0..F::POINTS {
            let column = from_fn(|i| {
                let at = (i * F::POINTS + j) * point_step + lane * TILES + lanes;
                // SAFETY: a point, row and vector of the products.
                let load = || unsafe { _mm512_loadu_ps(products.as_ptr().add(at)) };
                if i < F::POINTS { load() } else { zero }
            });
            let column = F::output(column);
            (0..F::M).for_each(|i| x[i][j] = column[i]);
        }
        for i in 0..F::M {
            // SAFETY: a row of the tiles' results, and a vector of tiles.
            unsafe {
                let to = out.as_mut_ptr().add((i * TILES + lanes) * F::M);
                F::interleave(F::output(x[i]), to);
            }
        }
    }
}

/// Asks for the lines that the results of a block of tiles will be stored to:
/// else the stores of a few channels, all at once, wait for memory.
fn expect<F: Form>(plan: &Plan, first: usize, results: &mut [f32]) {
    let ([height, width], pitch) = (plan.result, plan.source.pitch());
    let end = (first + TILES).min(plan.positions) - 1;
    let start = first / pitch * F::M * width + first % pitch * F::M;
    let end = ((end / pitch + 1) * F::M * width).min(height * width);
    for result in results.chunks_exact_mut(height * width) {
        for line in result[start.min(end)..end].chunks(LINE) {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
        }
    }
}

/// Puts the results of a block of tiles at their pixels, and drops those that
/// are none.
fn store<F: Form>(plan: &Plan, first: usize, staged: &[f32], result: &mut [f32]) {
    let ([height, width], pitch) = (plan.result, plan.source.pitch());
    let end = (first + TILES).min(plan.positions);
    let mut position = first;
    while position < end {
        let (row, column) = (position / pitch, position % pitch);
        let tiles = (pitch - column).min(end - position);
        let columns = (column * F::M).min(width)..((column + tiles) * F::M).min(width);
        for i in 0..F::M.min(height - row * F::M) {
            let from = &staged[(i * TILES + position - first) * F::M..][..columns.len()];
            let at = (row * F::M + i) * width;
            super::source::copy(from, &mut result[at + columns.start..at + columns.end]);
        }
        position += tiles;
    }
    debug_assert!(plan.tiles[0] * F::M >= height);
}
