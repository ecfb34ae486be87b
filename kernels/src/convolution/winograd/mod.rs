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
//! * A block is two vectors of tiles, all channels: transformed, multiplied by the
//!   register tiles of `matmul`, transformed back a few channels at a time, so
//!   that everything between the image and the result stays in the second-level
//!   cache.
//!
//! The gradient of the weight is in `weight`. The inner loops (`steps`) and the
//! two forms' matrices (`form`) are written once, for vectors of AVX-512 and of
//! AVX2.
//!
//! Other kernels than 3 × 3 with stride and dilation 1, and few channels, where
//! the transforms take longer than the products, are `correlate`'s and
//! `reduce`'s.
//!
//! # Accuracy
//! The transforms add numbers that cancel later; on the other hand the sums are
//! shorter, over channels alone. 64 channels to 48, 26 × 26, 3 images, inputs and
//! weights uniform from −1 to 1, the error as a share of the results' root mean
//! square (the test `winograd_loses_accuracy_within_what_it_states`); the input's
//! gradient is like the result:
//!
//! | | result: root mean square | largest | weight's gradient | largest |
//! |---|---|---|---|---|
//! | `avx512`, direct | 4.2e-7 | 5.1e-6 | 1.3e-7 | 6.6e-7 |
//! | `winograd2` | 2.6e-7 | 1.5e-6 | 2.7e-7 | 1.3e-6 |
//! | `winograd4` | 1.6e-6 | 2.7e-5 | 1.5e-6 | 1.3e-5 |
//!
//! So F(2×2, 3×3) loses nothing, and F(3×3, 2×2) a bit, to what a direct result
//! has; both are first choices. The forms of 4×4 stand after `avx512` in the
//! table, hence run only where they are forced. Infinities and NaN spread to a
//! whole tile.
//!
//! # What was measured
//! One thread of a two-core AVX-512 server (Zen 5), batches of 16 (of 4 at
//! 64 × 64), as shares of the multiply-add peak in operations of the direct
//! convolution; `weight` is the weight's gradient:
//!
//! | channels, size | direct | `winograd2` | `winograd4` | direct, weight | `winograd2` | `winograd4` |
//! |---|---|---|---|---|---|---|
//! | 32 → 32, 64 × 64 | 84 % | 103 % | 129 % | 81 % | 121 % | 180 % |
//! | 32 → 32, 32 × 32 | 83 % | 90 % | 106 % | 77 % | 117 % | 165 % |
//! | 32 → 32, 16 × 16 | 82 % | 76 % | 70 % | 76 % | 119 % | 143 % |
//! | 64 → 64, 64 × 64 | 86 % | 131 % | 165 % | 83 % | 136 % | 203 % |
//! | 64 → 64, 32 × 32 | 85 % | 121 % | 143 % | 81 % | 125 % | 182 % |
//! | 64 → 64, 16 × 16 | 83 % | 101 % | 97 % | 74 % | 122 % | 142 % |
//! | 128 → 128, 64 × 64 | 89 % | 156 % | 206 % | 85 % | 138 % | 227 % |
//! | 128 → 128, 32 × 32 | 91 % | 149 % | 185 % | 84 % | 133 % | 229 % |
//! | 128 → 128, 16 × 16 | 86 % | 116 % | 116 % | 80 % | 137 % | 207 % |
//!
//! With AVX2, whose peak is half as high, 64 → 64 at 32 × 32: direct 44 %,
//! F(2×2) 75 %, F(4×4) 93 %; the weight's gradient 38, 78 and 119 %.
//!
//! Steps, at 32 → 32, 64 × 64: the points of a block a line more than a power of
//! two apart: from 22 to 8 % of the time for the transform. Dealing pixels out a
//! vector at a time, not under a mask: 1.13 times as fast with F(2×2), 1.48
//! times with F(4×4). Asking for the lines of the result before the products:
//! 1.10 times. No gain: asking for the image ahead of reading it.
//!
//! The weights are transformed at every call, for a batch of 16 a good part of
//! the work: for 128 → 128 at 16 × 16 F(2×2) ran at 81 %, with all rows of a tile
//! side by side in an array at 91 % (on two threads slower than before, 65 in
//! place of 78 %, for a reason not found), and with gathered vectors and no
//! closures (see `vector`) at 125 %, on two threads at 120 %.
//!
//! What is left: blocks hold tiles of one image only, so that small images fill
//! them badly (16 × 16 with F(2×2): 64 tiles of the 96 computed).

mod form;
mod steps;
mod weight;

use super::correlate::{self, Direction};
use super::source::{Axis, LINE, Layout};
use super::target::{self, Correlates, Target};
use super::{ConvShape, Routine, avx2, avx512, reduce};
use crate::matmul::{PackedTile, PackedTileJob, parts};
use crate::parallel::{Shared, for_parts};
use form::{Form, Four, Two};
use steps::Instructions;

/// The three routines of a form with an instruction set.
pub(super) struct Routines<I, F>(std::marker::PhantomData<(I, F)>);

/// F(2×2, 3×3) and F(4×4, 3×3) with AVX-512.
pub(super) type Avx512Two = Routines<avx512::Avx512, Two>;
pub(super) type Avx512Four = Routines<avx512::Avx512, Four>;
/// With AVX2.
pub(super) type Avx2Two = Routines<avx2::Avx2, Two>;
pub(super) type Avx2Four = Routines<avx2::Avx2, Four>;

impl<I: Instructions, F: Form> Routines<I, F> {
    /// The convolution.
    pub(super) const FORWARD: Routine<f32> = target::routine::<Self, true>();
    /// The gradient of the input.
    pub(super) const INPUT_GRADIENT: Routine<f32> = target::routine::<Self, false>();
    /// The gradient of the weight.
    pub(super) const WEIGHT_GRADIENT: Routine<f32> =
        Routine { run: weight::run::<I, F>, scratch: weight::scratch::<I, F>, report: None };
}

impl<I: Instructions, F: Form> Correlates for Routines<I, F> {
    fn needed(shape: &ConvShape, direction: Direction) -> usize {
        match Plan::new::<I, F>(shape, direction) {
            Some(plan) => plan.scratch::<F>(),
            None => correlate::scratch::<I::Direct>(shape, direction),
        }
    }

    unsafe fn correlate(
        shape: &ConvShape,
        direction: Direction,
        source: &[f32],
        weight: &[f32],
        target: Target<'_>,
        scratch: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe { run::<I, F>(shape, direction, source, weight, target, scratch) }
    }
}

/// Fewest channels on either side that are worth the transforms.
const CHANNELS: usize = 32;

/// How a shape is computed.
pub(super) struct Plan {
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
    /// Tiles of a block: the columns of a register tile of the matrix product.
    block: usize,
    /// Images (batch × groups) of a part.
    part: usize,
}

impl Plan {
    /// None where the shape is `correlate`'s.
    fn new<I: Instructions, F: Form>(shape: &ConvShape, direction: Direction) -> Option<Self> {
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
        let row_tiles = rows.div_ceil(I::Product::ROWS);
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
            block: I::Product::WIDTH,
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
        [self.channels, self.tile_rows].map(|rows| rows * self.block + LINE)
    }

    /// Elements of a part's copy of an image, transformed image, products, and
    /// staged results. Vectors of tiles may run over the end of the copy by two
    /// blocks, and positions by one.
    fn regions<F: Form>(&self) -> [usize; 4] {
        [
            (self.source.size() + 2 * self.block).next_multiple_of(LINE),
            self.points * self.point_steps()[0],
            self.points * self.point_steps()[1],
            F::M * F::M * self.block,
        ]
    }

    fn scratch<F: Form>(&self) -> usize {
        let weights = (self.shape.groups * self.weights()[1]).next_multiple_of(LINE);
        LINE + weights + self.parts() * self.regions::<F>().iter().sum::<usize>()
    }
}

/// Correlates `source` with `weight`.
///
/// # Safety
/// The processor has the instruction set of `I`.
unsafe fn run<I: Instructions, F: Form>(
    shape: &ConvShape,
    direction: Direction,
    source: &[f32],
    weight: &[f32],
    result: Target<'_>,
    scratch: &mut [f32],
) {
    let Some(plan) = Plan::new::<I, F>(shape, direction) else {
        // SAFETY: the caller's promise.
        unsafe { correlate::run::<I::Direct>(shape, direction, source, weight, result, scratch) };
        return;
    };
    let length = result.length();
    match direction {
        Direction::Forward => shape.check_lengths(source.len(), weight.len(), length),
        Direction::InputGradient => shape.check_lengths(length, weight.len(), source.len()),
    }
    if source.is_empty() || length == 0 {
        // SAFETY: the caller's promise.
        return unsafe { result.zero() };
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
            let (group, tile) = (index / plan.row_tiles, index % plan.row_tiles);
            // SAFETY: the caller's promise; weights and tile are as long as the
            // plan says.
            unsafe { I::weights::<F>(&plan, weight, group, tile, out) };
        }
    });

    let weights = &*weights;
    let alone = rayon::current_num_threads() == 1;
    let images = shape.batch * shape.groups;
    let regions = plan.regions::<F>();
    let part_size = regions.iter().sum::<usize>();
    let source_image = source.len() / images;
    let result_image = length / images;
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
            unsafe { I::deal::<F>(&plan, from, copy) };
            let weights = &weights[group * group_weights..][..group_weights];
            let at = image * result_image;
            // SAFETY: images of the result are disjoint and inside it.
            let out = unsafe { result.part(at..at + result_image) };
            let size = plan.result[0] * plan.result[1];
            for first in (0..plan.positions).step_by(plan.block) {
                // SAFETY: the caller's promise; the copy leaves room for the
                // vectors of the last block.
                unsafe { I::transform::<F>(&plan, copy, first, transformed) };
                for tile in 0..plan.row_tiles {
                    let weights = &weights[tile * tile_weights..][..tile_weights];
                    let row = tile * plan.tile_rows;
                    let rows = plan.tile_rows.min(plan.rows - row);
                    let columns = plan.block.min(plan.positions - first);
                    steps::expect::<F>(&plan, first, &mut out[row * size..(row + rows) * size]);
                    // SAFETY: the caller's promise; the buffers are as long as
                    // the plan says.
                    unsafe {
                        multiply::<I>(&plan, [rows, columns], weights, transformed, products)
                    };
                    for lane in 0..rows {
                        // SAFETY: as above.
                        unsafe { I::transform_back::<F>(&plan, lane, products, staged) };
                        let out = &mut out[(row + lane) * size..][..size];
                        steps::store::<F>(&plan, first, staged, out);
                    }
                }
            }
            result.done(at..at + result_image);
        }
    });
}

/// The products of all points, for some rows of the result:
/// `[point, row, tile]`.
///
/// # Safety
/// The processor has the instruction set; the buffers are as long as the plan says.
unsafe fn multiply<I: Instructions>(
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
            right_step: plan.block,
            out: products[point * products_step..].as_mut_ptr(),
            out_step: plan.block,
            accumulate: false,
        };
        // SAFETY: both operands hold `channels` steps, the products `tile_rows`
        // rows of a block.
        unsafe { I::Product::multiply(&job) };
    }
}
