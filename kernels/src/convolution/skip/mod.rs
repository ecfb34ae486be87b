//! Convolution that skips zeros, in the manner of SparseTrain.
//!
//! After a ReLU half of the values or more are zero, and so are the cotangents
//! that come back through it; their products can be left out. Source: Z. Gong et
//! al., "SparseTrain: Leveraging Dynamic Sparsity in Software for Training DNNs on
//! General-Purpose SIMD Processors", 2020.
//!
//! Reference: `correlate`, whose vectors lie along the pixels. A vector of pixels
//! is hardly ever all zero, so it has nothing to skip. Here the vectors lie along
//! the channels of the result: a value of the source that is not zero is
//! broadcast once and multiplied with its weights to all these channels, at every
//! position of a row that it reaches.
//!
//! * The source is copied with its channels side by side (`channels_last`).
//!   Comparing a vector of them with zero gives a mask, whose bits are walked.
//!   Nothing but the end of that walk is unknown to the processor; so that there
//!   are few, up to 64 channels make one mask.
//! * The sums that a pixel reaches, taps of a row times vectors of channels, stay
//!   in registers and move on by a position a pixel: for one load and one store
//!   of a position there are all the products of a pixel and row.
//! * The weights of a row of the kernel and as many channels as fit into half of
//!   the first-level cache are walked with over several rows, then the next. Every
//!   product takes its weight from the cache: two loads a cycle are two products
//!   a cycle, the multipliers' own limit.
//!
//! The sums are those of the other variants but for the order; a product with
//! zero is taken for zero, even where the other factor is infinite or NaN. NaN in
//! what is skipped over is not zero, and spreads as it should. Other rows of the
//! kernel than of 1, 3 and 5 taps, strides and dilations are `correlate`'s and
//! `reduce`'s.
//!
//! # Where it pays
//! 64 → 64 channels at 32 × 32, 3 × 3, 16 images, one thread of a two-core
//! AVX-512 server (Zen 5), as shares of the multiply-add peak in operations of
//! the dense convolution; what does not skip is the same for all:
//!
//! | zeros | result | input's gradient | weight's gradient |
//! |---|---|---|---|
//! | none | 65 % | 64 % | 46 % |
//! | 50 % | 101 % | 99 % | 73 % |
//! | 70 % | 133 % | 129 % | 81 % |
//! | 90 % | 203 % | 206 % | 115 % |
//! | `avx512`, direct | 87 % | 84 % | 80 % |
//! | `winograd2` | 121 % | 119 % | 121 % |
//! | `winograd4` | 148 % | 143 % | 182 % |
//!
//! By interpolation, forward and for the input's gradient it beats the direct
//! convolution from 35 % of zeros on, F(2×2) from 65 %, F(4×4) from 78 %; for the
//! weight's gradient the direct one from 70 %, F(2×2) not below 90 %. It is never
//! chosen by itself: how many zeros there are is not known when a program is
//! compiled.
//! With few channels it is slow (3 → 8 at 64 × 64: 8 %), because its vectors are
//! half empty and hold too few independent sums.
//!
//! Steps: a mask of 64 channels in place of 16: at 90 % zeros from 203 to 215 %,
//! at 70 % from 122 to 134 %, without zeros from 63 to 68 %. Weights of 48 KiB in
//! place of 24: at 90 % zeros 229 in place of 215 %, without zeros 58 in place of
//! 68 %; not taken. What is left at 90 %: a pixel and row have some three products
//! of twelve vectors each, 20 cycles, and a branch foreseen wrongly takes as long.
//!
//! # The gradient of the input
//! is the same loop over the output's cotangent, the weight's channels exchanged
//! and its taps turned round.

mod weight;

use super::avx512::Avx512;
use super::channels_last::{self, Band};
use super::correlate::{self, Direction};
use super::source::LINE;
use super::target::Target;
use super::vector::Vector;
use super::{ConvShape, Routine};
use crate::matmul::parts;
use crate::parallel::{Shared, for_parts};
use std::arch::x86_64::*;

/// The convolution, skipping zeros of the input.
pub(super) const FORWARD: Routine<f32> =
    Routine { run: forward, scratch: |shape| scratch(shape, Direction::Forward), report: None };
/// The gradient of the input, skipping zeros of the output's cotangent.
pub(super) const INPUT_GRADIENT: Routine<f32> = Routine {
    run: input_gradient,
    scratch: |shape| scratch(shape, Direction::InputGradient),
    report: None,
};
/// The gradient of the weight, skipping zeros of the input.
pub(super) const WEIGHT_GRADIENT: Routine<f32> =
    Routine { run: weight::run, scratch: weight::scratch, report: None };

/// Floats in a vector.
const LANES: usize = 16;
/// Channels whose zeros are looked at together: the bits of a register.
const GROUP: usize = 64;
/// Sums held in registers.
const SUMS: usize = 24;
/// Most elements of the weights that are walked with: half of a first-level
/// cache of 48 KiB.
const WEIGHTS: usize = 6144;
/// About so many positions are walked with the same weights.
const POSITIONS: usize = 256;

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn forward(s: &ConvShape, input: &[f32], weight: &[f32], out: &mut [f32], x: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { run(s, Direction::Forward, input, weight, out, x) }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn input_gradient(
    shape: &ConvShape,
    cotangent: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { run(shape, Direction::InputGradient, cotangent, weight, gradient, scratch) }
}

/// The channels of a result as vectors: `tiles` tiles of `vectors` each, which
/// with `taps` positions fill the registers.
#[derive(Clone, Copy)]
struct Tiles {
    tiles: usize,
    vectors: usize,
}

impl Tiles {
    fn new(channels: usize, taps: usize) -> Self {
        let vectors = channels.div_ceil(LANES).max(1);
        let tiles = vectors.div_ceil((SUMS / taps).min(8));
        Tiles { tiles, vectors: vectors.div_ceil(tiles) }
    }

    /// Channels of a tile.
    fn width(&self) -> usize {
        self.vectors * LANES
    }
}

/// Whether rows of the kernel fit the registers, and every position of the
/// result lies between the first and the last that a pixel can reach.
fn fits(shape: &ConvShape) -> bool {
    let plain = shape.stride == [1, 1] && shape.dilation == [1, 1];
    plain && matches!(shape.kernel[1], 1 | 3 | 5) && shape.padding[1] < shape.kernel[1]
}

/// How a shape is computed.
struct Plan {
    shape: ConvShape,
    direction: Direction,
    /// Height and width of the source and of the result.
    source: [usize; 2],
    result: [usize; 2],
    /// Border above the source, and to its left.
    border: [usize; 2],
    /// Channels of the source in a group, and as whole vectors; of the result.
    channels: usize,
    padded: usize,
    rows: usize,
    tiles: Tiles,
    /// Channels walked together.
    block: usize,
    /// Rows of the result of a band.
    band: usize,
    /// Images (batch × groups) of a part.
    part: usize,
}

impl Plan {
    /// None where the shape is `correlate`'s.
    fn new(shape: &ConvShape, direction: Direction) -> Option<Self> {
        if !fits(shape) {
            return None;
        }
        let taps = shape.kernel[1];
        let (channels, rows, source, result, border) = match direction {
            Direction::Forward => {
                let sizes = (shape.input, shape.output());
                (shape.group_in(), shape.group_out(), sizes.0, sizes.1, shape.padding)
            }
            Direction::InputGradient => {
                if shape.padding[0] >= shape.kernel[0] {
                    return None;
                }
                let border = [0, 1].map(|axis| shape.kernel[axis] - 1 - shape.padding[axis]);
                (shape.group_out(), shape.group_in(), shape.output(), shape.input, border)
            }
        };
        let tiles = Tiles::new(rows, taps);
        let padded = channels.next_multiple_of(LANES);
        let block = (WEIGHTS / (taps * tiles.width()) / LANES).max(1) * LANES;
        let images = shape.batch * shape.groups;
        Some(Plan {
            shape: *shape,
            direction,
            source,
            result,
            border,
            channels,
            padded,
            rows,
            tiles,
            block: block.min(padded),
            band: POSITIONS.div_ceil(result[1].max(1)).clamp(1, result[0].max(1)),
            part: images.div_ceil(parts(shape.products())).max(1),
        })
    }

    fn parts(&self) -> usize {
        (self.shape.batch * self.shape.groups).div_ceil(self.part)
    }

    /// Elements of the packed weights of a channel, kernel row and tile; of a
    /// tile; and of a group.
    fn weights(&self) -> [usize; 3] {
        let channel = self.shape.kernel[1] * self.tiles.width();
        let tile = self.shape.kernel[0] * self.padded * channel;
        [channel, tile, tile * self.tiles.tiles]
    }

    /// The rows of the source that a band of the result, from row `first` on,
    /// is made from.
    fn band_of(&self, first: usize) -> Band {
        Band {
            channels: self.channels,
            padded: self.padded,
            pixels: self.source,
            first: first as isize - self.border[0] as isize,
            rows: self.band.min(self.result[0] - first) + self.shape.kernel[0] - 1,
            pitch: self.source[1],
            border: 0,
        }
    }

    /// Positions of a row of sums: those that some pixel of the source reaches.
    fn reached(&self) -> usize {
        self.source[1] + self.shape.kernel[1] - 1
    }

    /// Elements of the band of a part, and of its sums.
    fn regions(&self) -> [usize; 2] {
        let sums = self.band * self.reached() * self.tiles.width();
        [self.band_of(0).size(), sums].map(|elements| elements.next_multiple_of(LINE))
    }

    fn scratch(&self) -> usize {
        let weights = self.shape.groups * self.weights()[2];
        LINE + weights + self.parts() * self.regions().iter().sum::<usize>()
    }

    /// Packs the weights of a group: `[tile, kernel row, channel, tap, row]`.
    /// Taps are turned round: tap `a` is for the result `a` positions after the
    /// first that a pixel reaches.
    fn pack(&self, weight: &[f32], packed: &mut [f32]) {
        let [height, width] = self.shape.kernel;
        let (taps, lanes) = (self.shape.taps(), self.tiles.width());
        let filter = self.shape.group_in() * taps;
        for (index, to) in packed.chunks_exact_mut(lanes).enumerate() {
            let (rest, a) = (index / width, index % width);
            let (rest, channel) = (rest / self.padded, rest % self.padded);
            let (tile, y) = (rest / height, rest % height);
            let tap = y * width + width - 1 - a;
            for (lane, to) in to.iter_mut().enumerate() {
                let row = tile * lanes + lane;
                *to = match self.direction {
                    _ if row >= self.rows || channel >= self.channels => 0.0,
                    Direction::Forward => weight[row * filter + channel * taps + tap],
                    Direction::InputGradient => {
                        weight[channel * filter + row * taps + taps - 1 - tap]
                    }
                };
            }
        }
    }
}

/// Scratch for [`run`].
fn scratch(shape: &ConvShape, direction: Direction) -> usize {
    match Plan::new(shape, direction) {
        Some(plan) => plan.scratch(),
        None => correlate::scratch::<Avx512>(shape, direction),
    }
}

/// Correlates `source` with `weight`.
///
/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run(
    shape: &ConvShape,
    direction: Direction,
    source: &[f32],
    weight: &[f32],
    result: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(plan) = Plan::new(shape, direction) else {
        // SAFETY: the caller's promise.
        unsafe {
            correlate::run::<Avx512>(shape, direction, source, weight, Target::of(result), scratch)
        };
        return;
    };
    match direction {
        Direction::Forward => shape.check(source, weight, result),
        Direction::InputGradient => shape.check(result, weight, source),
    }
    if source.is_empty() || weight.is_empty() || result.is_empty() {
        result.fill(0.0);
        return;
    }
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a convolution");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let (regions, group_weights) = (plan.regions(), plan.weights()[2]);
    let part_size = regions.iter().sum::<usize>();
    let (weights, buffers) = scratch[aligned..].split_at_mut(shape.groups * group_weights);
    let shared_weights = Shared::new(weights);
    for_parts(shape.groups, 1, |groups| {
        for group in groups {
            let size = weight.len() / shape.groups;
            // SAFETY: groups are disjoint and inside the weights.
            let packed =
                unsafe { shared_weights.part(group * group_weights..(group + 1) * group_weights) };
            plan.pack(&weight[group * size..(group + 1) * size], packed);
        }
    });
    let weights = &*weights;
    let alone = rayon::current_num_threads() == 1;
    let images = shape.batch * shape.groups;
    let [source_image, result_image] = [source.len() / images, result.len() / images];
    let shared_result = Shared::new(result);
    let shared_buffers = Shared::new(buffers);
    for_parts(images, plan.part, |range| {
        let slot = if alone { 0 } else { range.start / plan.part };
        // SAFETY: the scratch holds buffers for every part, and parts that share
        // the first one's run one after another on this thread.
        let buffer = unsafe { shared_buffers.part(slot * part_size..(slot + 1) * part_size) };
        let (copy, sums) = buffer.split_at_mut(regions[0]);
        for image in range {
            let weights = &weights[image % shape.groups * group_weights..][..group_weights];
            let from = &source[image * source_image..][..source_image];
            let at = image * result_image;
            // SAFETY: images of the result are disjoint and inside it.
            let to = unsafe { shared_result.part(at..at + result_image) };
            for first in (0..plan.result[0]).step_by(plan.band) {
                // SAFETY: the caller's promise; the buffers are as long as the
                // plan says.
                unsafe {
                    let band = plan.band_of(first);
                    fill(&band, from, copy);
                    run_band(&plan, first, &band, copy, weights, sums, to);
                }
            }
        }
    });
}

/// [`channels_last::fill`] with AVX-512.
///
/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn fill(band: &Band, image: &[f32], to: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { channels_last::fill::<__m512>(band, image, to) };
}

/// The rows of the result from `first` on, of all channels.
///
/// # Safety
/// The processor has AVX-512; the buffers are as long as the plan says.
unsafe fn run_band(
    plan: &Plan,
    first: usize,
    band: &Band,
    copy: &[f32],
    weights: &[f32],
    sums: &mut [f32],
    result: &mut [f32],
) {
    let [height, width] = plan.shape.kernel;
    let [channel_weights, tile_weights, _] = plan.weights();
    let (lanes, reached) = (plan.tiles.width(), plan.reached());
    let rows = plan.band.min(plan.result[0] - first);
    for tile in 0..plan.tiles.tiles {
        sums[..rows * reached * lanes].fill(0.0);
        for y in 0..height {
            for channel in (0..plan.padded).step_by(plan.block) {
                let at = tile * tile_weights + (y * plan.padded + channel) * channel_weights;
                for row in 0..rows {
                    let inside = band.first + (row + y) as isize;
                    if inside < 0 || inside >= plan.source[0] as isize {
                        continue;
                    }
                    let walk = Walk {
                        source: copy[(row + y) * band.pitch * plan.padded + channel..].as_ptr(),
                        pixel_step: plan.padded,
                        pixels: plan.source[1],
                        channels: plan.block.min(plan.padded - channel),
                        weights: weights[at..].as_ptr(),
                        sums: sums[row * reached * lanes..].as_mut_ptr(),
                    };
                    // SAFETY: the source holds the pixels of the row, the
                    // weights the channels, the sums all positions reached.
                    unsafe { walk_vectors(&walk, width, plan.tiles.vectors) };
                }
            }
        }
        // The first position is reached from pixel 0 through the last tap.
        let skipped = width - 1 - plan.border[1];
        for row in 0..rows {
            let from = &sums[(row * reached + skipped) * lanes..];
            let channel = tile * lanes;
            let at = (channel * plan.result[0] + first + row) * plan.result[1];
            let count = lanes.min(plan.rows - channel);
            // SAFETY: the processor has AVX-512.
            unsafe { store_row(plan, from, lanes, count, &mut result[at..]) };
        }
    }
}

/// A row of the source with some of its channels, to be added to a row of sums.
struct Walk {
    /// Whole vectors of channels at each pixel.
    source: *const f32,
    /// Elements from one pixel to the next.
    pixel_step: usize,
    /// Number of pixels.
    pixels: usize,
    /// Channels, whole vectors.
    channels: usize,
    /// `[channel, tap, vector]`.
    weights: *const f32,
    /// `[position, vector]`, one position more than pixels for each tap after
    /// the first.
    sums: *mut f32,
}

/// Calls a function that is generic in taps and vectors.
macro_rules! with_sizes {
    ($function:ident, $taps:expr, $vectors:expr, $argument:expr) => {
        match ($taps, $vectors) {
            (1, 1) => $function::<1, 1>($argument),
            (1, 2) => $function::<1, 2>($argument),
            (1, 3) => $function::<1, 3>($argument),
            (1, 4) => $function::<1, 4>($argument),
            (1, 5) => $function::<1, 5>($argument),
            (1, 6) => $function::<1, 6>($argument),
            (1, 7) => $function::<1, 7>($argument),
            (1, _) => $function::<1, 8>($argument),
            (3, 1) => $function::<3, 1>($argument),
            (3, 2) => $function::<3, 2>($argument),
            (3, 3) => $function::<3, 3>($argument),
            (3, 4) => $function::<3, 4>($argument),
            (3, 5) => $function::<3, 5>($argument),
            (3, 6) => $function::<3, 6>($argument),
            (3, 7) => $function::<3, 7>($argument),
            (3, _) => $function::<3, 8>($argument),
            (_, 1) => $function::<5, 1>($argument),
            (_, 2) => $function::<5, 2>($argument),
            (_, 3) => $function::<5, 3>($argument),
            (_, _) => $function::<5, 4>($argument),
        }
    };
}
use with_sizes;

/// # Safety
/// The processor has AVX-512, and the walk's promises hold.
unsafe fn walk_vectors(walk: &Walk, taps: usize, vectors: usize) {
    // SAFETY: the caller's promise.
    unsafe { with_sizes!(walk_row, taps, vectors, walk) }
}

/// The sums that a pixel reaches are held in registers: `R` positions of `V`
/// vectors, which move on by a position a pixel.
///
/// # Safety
/// The processor has AVX-512, and the walk's promises hold.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn walk_row<const R: usize, const V: usize>(walk: &Walk) {
    let zero = _mm512_setzero_ps();
    let mut sums = [[zero; V]; R];
    // SAFETY: the walk's promises.
    unsafe {
        for a in 0..R - 1 {
            sums[a] = load::<V>(walk.sums.add(a * V * LANES));
        }
        for pixel in 0..walk.pixels {
            sums[R - 1] = load::<V>(walk.sums.add((pixel + R - 1) * V * LANES));
            let source = walk.source.add(pixel * walk.pixel_step);
            for group in (0..walk.channels).step_by(GROUP) {
                let end = walk.channels.min(group + GROUP);
                let mut left = 0u64;
                for channel in (group..end).step_by(LANES) {
                    let values = _mm512_loadu_ps(source.add(channel));
                    // NaN is not zero.
                    let mask = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, zero);
                    left |= u64::from(mask) << (channel - group);
                }
                while left != 0 {
                    let at = group + left.trailing_zeros() as usize;
                    left &= left - 1;
                    let value = _mm512_set1_ps(*source.add(at));
                    let weights = walk.weights.add(at * R * V * LANES);
                    for a in 0..R {
                        for v in 0..V {
                            let weight = _mm512_loadu_ps(weights.add((a * V + v) * LANES));
                            sums[a][v] = _mm512_fmadd_ps(value, weight, sums[a][v]);
                        }
                    }
                }
            }
            store::<V>(sums[0], walk.sums.add(pixel * V * LANES));
            for a in 0..R - 1 {
                sums[a] = sums[a + 1];
            }
        }
        for a in 0..R - 1 {
            store::<V>(sums[a], walk.sums.add((walk.pixels + a) * V * LANES));
        }
    }
}

/// # Safety
/// `V` vectors are readable.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
unsafe fn load<const V: usize>(from: *const f32) -> [__m512; V] {
    let mut x = [_mm512_setzero_ps(); V];
    for v in 0..V {
        // SAFETY: the caller's promise.
        x[v] = unsafe { _mm512_loadu_ps(from.add(v * LANES)) };
    }
    x
}

/// # Safety
/// `V` vectors are writable.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
unsafe fn store<const V: usize>(x: [__m512; V], to: *mut f32) {
    for v in 0..V {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to.add(v * LANES), x[v]) };
    }
}

/// Transposes a row of positions, each with `lanes` sums of which `count` are
/// channels, into the rows of these channels.
///
/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn store_row(plan: &Plan, from: &[f32], lanes: usize, count: usize, to: &mut [f32]) {
    let [height, width] = plan.result;
    assert!(from.len() >= width * lanes);
    for channel in (0..count).step_by(LANES) {
        for column in (0..width).step_by(LANES) {
            let positions = LANES.min(width - column);
            let mut turned = [[0.0f32; LANES]; LANES];
            let mut rows = [std::ptr::null_mut(); LANES];
            for lane in 0..LANES {
                rows[lane] = turned[lane].as_mut_ptr();
            }
            // SAFETY: of each position a vector of sums is readable; the rows
            // are vectors.
            unsafe {
                let from = from.as_ptr().add(column * lanes + channel);
                __m512::transpose(from, lanes, positions, &rows);
            }
            for lane in 0..LANES.min(count - channel) {
                let at = (channel + lane) * height * width + column;
                to[at..at + positions].copy_from_slice(&turned[lane][..positions]);
            }
        }
    }
}
