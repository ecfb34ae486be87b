//! The gradient of the weight, skipping zeros of the input.
//!
//! For one input channel and one row of the kernel the registers hold the sums
//! of all taps of that row and the result's channels, and every pixel that is not
//! zero is multiplied with the cotangent's channels at the positions that it
//! reaches. The rows of a band are few enough for their cotangents to stay in the
//! first-level cache while all input channels walk over them.
//!
//! The pixels that are not zero are listed first, with where they start to reach:
//! a vector of pixels at a time, without a branch. The list is walked for every
//! row of the kernel and every tile of channels, so that the end of the list is
//! all that the processor cannot foresee.
//!
//! Measured on the shape of `skip`, running alone: with masks of 16 pixels, walked
//! for every row of the kernel anew, 38, 41, 44 and 64 % with none, 50, 70 and
//! 90 % zeros; with lists 44, 57, 79 and 100 %; with twice as many rows in a band
//! 50, 78, 91 and 150 %. In turn with other variants, as in the table of `skip`,
//! these are 46, 73, 81 and 115 %.
//! What limits it: each visit of a channel and kernel row reads and writes its
//! sums, and holds only some hundred products.

use super::{LANES, Tiles, fill, fits, load, store, with_sizes};
use crate::convolution::ConvShape;
use crate::convolution::avx512::Avx512;
use crate::convolution::channels_last::Band;
use crate::convolution::reduce;
use crate::convolution::source::LINE;
use crate::matmul::parts;
use crate::parallel::{Shared, for_parts};
use std::arch::x86_64::*;

/// About so many elements of the cotangent are walked by one channel after the
/// other: two thirds of a first-level cache of 48 KiB.
const COTANGENT: usize = 8192;
/// Most elements of the sums of all parts, where that leaves two parts.
const PARTIAL_SUMS: usize = 1 << 20;

/// How a shape is computed.
struct Plan {
    shape: ConvShape,
    /// Channels of the input and of the result in a group; of the result as
    /// whole tiles.
    channels: usize,
    rows: usize,
    tiles: Tiles,
    /// Rows of the result of a band.
    band: usize,
    /// Images of a part.
    part: usize,
}

impl Plan {
    /// None where the shape is `reduce`'s.
    fn new(shape: &ConvShape) -> Option<Self> {
        if !fits(shape) {
            return None;
        }
        let [height, width] = shape.output();
        let tiles = Tiles::new(shape.group_out(), shape.kernel[1]);
        let row = width.max(1) * tiles.width();
        let mut plan = Plan {
            shape: *shape,
            channels: shape.group_in(),
            rows: shape.group_out(),
            tiles,
            band: COTANGENT.div_ceil(row).clamp(1, height.max(1)),
            part: 0,
        };
        let parts = parts(shape.products()).min((PARTIAL_SUMS / plan.sums().max(1)).max(2));
        plan.part = shape.batch.div_ceil(parts).max(1);
        Some(plan)
    }

    fn parts(&self) -> usize {
        self.shape.batch.div_ceil(self.part)
    }

    /// Elements of the sums of a channel and row of the kernel.
    fn sums_of_row(&self) -> usize {
        self.shape.kernel[1] * self.tiles.width()
    }

    /// Elements of the sums of all groups:
    /// `[group, tile, channel, kernel row, tap, vector]`, taps turned round.
    fn sums(&self) -> usize {
        let rows = self.shape.groups * self.tiles.tiles * self.channels * self.shape.kernel[0];
        rows * self.sums_of_row()
    }

    /// Rows of the cotangent. Its border is such that a pixel reaches the
    /// positions from its own on, as many as there are taps.
    fn band_of(&self, first: usize) -> Band {
        let [height, width] = self.shape.output();
        Band {
            channels: self.rows,
            padded: self.tiles.tiles * self.tiles.width(),
            pixels: [height, width],
            first: first as isize,
            rows: self.band.min(height - first),
            pitch: self.shape.input[1] + self.shape.kernel[1] - 1,
            border: self.shape.kernel[1] - 1 - self.shape.padding[1],
        }
    }

    /// Elements of a part's copy of the cotangent, and of its list.
    fn regions(&self) -> [usize; 2] {
        let list = List::size(self.band + self.shape.kernel[0] - 1, self.shape.input[1]);
        [self.band_of(0).size(), list].map(|elements| elements.next_multiple_of(LINE))
    }

    fn scratch(&self) -> usize {
        LINE + self.parts() * (self.sums() + self.regions().iter().sum::<usize>())
    }
}

/// Scratch for [`run`].
pub(super) fn scratch(shape: &ConvShape) -> usize {
    match Plan::new(shape) {
        Some(plan) => plan.scratch(),
        None => reduce::scratch::<Avx512>(shape),
    }
}

/// The gradient of the weight.
///
/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
pub(super) unsafe fn run(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(plan) = Plan::new(shape) else {
        // SAFETY: the caller's promise.
        unsafe { reduce::run::<Avx512>(shape, input, cotangent, gradient, scratch) };
        return;
    };
    shape.check(input, gradient, cotangent);
    if input.is_empty() || cotangent.is_empty() || gradient.is_empty() {
        gradient.fill(0.0);
        return;
    }
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a weight's gradient");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let (sums_size, regions) = (plan.sums(), plan.regions());
    let part_size = regions.iter().sum::<usize>();
    assert!(u32::try_from(regions[0]).is_ok(), "bands of 2^32 elements");
    let (sums, buffers) = scratch[aligned..].split_at_mut(plan.parts() * sums_size);
    let alone = rayon::current_num_threads() == 1;
    let shared_sums = Shared::new(sums);
    let shared_buffers = Shared::new(buffers);
    for_parts(shape.batch, plan.part, |range| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the scratch holds sums and buffers for every part, and parts
        // that share the first one's buffers run one after another on this thread.
        let (sums, buffer) = unsafe {
            let sums = shared_sums.part(part * sums_size..(part + 1) * sums_size);
            (sums, shared_buffers.part(slot * part_size..(slot + 1) * part_size))
        };
        sums.fill(0.0);
        let (copy, list) = buffer.split_at_mut(regions[0]);
        if slot == part {
            copy.fill(0.0);
        }
        for index in range.start * shape.groups..range.end * shape.groups {
            let [input, cotangent] = [input, cotangent].map(|all| {
                let size = all.len() / (shape.batch * shape.groups);
                &all[index * size..(index + 1) * size]
            });
            let group_sums = sums_size / shape.groups;
            let sums = &mut sums[index % shape.groups * group_sums..][..group_sums];
            for first in (0..shape.output()[0]).step_by(plan.band) {
                let band = plan.band_of(first);
                // SAFETY: the caller's promise.
                unsafe {
                    fill(&band, cotangent, copy);
                    add_band(&plan, first, &band, input, copy, list, sums);
                }
            }
        }
    });
    let sums = &*sums;
    let filter = plan.channels * shape.taps();
    for (index, weight) in gradient.iter_mut().enumerate() {
        let (row, rest) = (index / filter, index % filter);
        let (group, row) = (row / plan.rows, row % plan.rows);
        let (channel, tap) = (rest / shape.taps(), rest % shape.taps());
        let [y, x] = [tap / shape.kernel[1], tap % shape.kernel[1]];
        let (tile, lane) = (row / plan.tiles.width(), row % plan.tiles.width());
        let line = (group * plan.tiles.tiles + tile) * plan.channels + channel;
        let line = (line * shape.kernel[0] + y) * shape.kernel[1] + shape.kernel[1] - 1 - x;
        let at = line * plan.tiles.width() + lane;
        *weight = sums.chunks_exact(sums_size).map(|sums| sums[at]).sum();
    }
}

/// The pixels of a channel that are not zero, in some rows of the input.
struct List<'a> {
    values: &'a mut [f32],
    /// The element of the cotangent's band that a pixel reaches first, where its
    /// row is the first of the rows.
    offsets: &'a mut [u32],
    /// How many come before each row; and all of them.
    before: &'a mut [u32],
}

impl<'a> List<'a> {
    /// Elements for a list of some rows of some pixels: vectors are written
    /// whole.
    fn size(rows: usize, pixels: usize) -> usize {
        let count = rows * pixels + LANES;
        2 * count + (rows + 1).next_multiple_of(LANES)
    }

    fn new(buffer: &'a mut [f32], rows: usize, pixels: usize) -> Self {
        let count = rows * pixels + LANES;
        let (values, rest) = buffer.split_at_mut(count);
        let (offsets, before) = rest.split_at_mut(count);
        List {
            values,
            offsets: bytemuck::cast_slice_mut(offsets),
            before: bytemuck::cast_slice_mut(&mut before[..rows + 1]),
        }
    }

    /// Lists the pixels of `rows`, which may lie outside the channel.
    ///
    /// # Safety
    /// The processor has AVX-512.
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    unsafe fn fill(&mut self, channel: &[f32], first: isize, band: &Band, width: usize) {
        let mut length = 0;
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let steps = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(band.padded as i32));
        for row in 0..self.before.len() - 1 {
            self.before[row] = length as u32;
            let Ok(at) = usize::try_from(first + row as isize) else { continue };
            let Some(pixels) = channel.get(at * width..(at + 1) * width) else { continue };
            for column in (0..width).step_by(LANES) {
                let count = (width - column).min(LANES) as u32;
                let mask = ((1u32 << count) - 1) as __mmask16;
                let offset = (row * band.pitch + column) * band.padded;
                // SAFETY: the mask leaves out what lies beyond the row; the list
                // has room for all pixels and a vector.
                unsafe {
                    let values = _mm512_maskz_loadu_ps(mask, pixels[column..].as_ptr());
                    // NaN is not zero.
                    let zero = _mm512_setzero_ps();
                    let left = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(values, zero);
                    let offsets = _mm512_add_epi32(steps, _mm512_set1_epi32(offset as i32));
                    let values = _mm512_maskz_compress_ps(left, values);
                    let offsets = _mm512_maskz_compress_epi32(left, offsets);
                    _mm512_storeu_ps(self.values[length..][..LANES].as_mut_ptr(), values);
                    let to = self.offsets[length..][..LANES].as_mut_ptr();
                    _mm512_storeu_epi32(to.cast(), offsets);
                    length += left.count_ones() as usize;
                }
            }
        }
        let rows = self.before.len() - 1;
        self.before[rows] = length as u32;
    }
}

/// Adds the products with the rows of the cotangent in the band.
///
/// # Safety
/// The processor has AVX-512.
unsafe fn add_band(
    plan: &Plan,
    first: usize,
    band: &Band,
    input: &[f32],
    cotangent: &[f32],
    buffer: &mut [f32],
    sums: &mut [f32],
) {
    let shape = &plan.shape;
    let [height, width] = shape.kernel;
    let row_step = band.pitch * band.padded;
    // Row `row` of the band reads through `y` the input's row
    // `first + row + y − padding`.
    let first = first as isize - shape.padding[0] as isize;
    let mut list = List::new(buffer, band.rows + height - 1, shape.input[1]);
    for (channel, pixels) in input.chunks_exact(shape.input_pixels()).enumerate() {
        // SAFETY: the processor has AVX-512.
        unsafe { list.fill(pixels, first, band, shape.input[1]) };
        for tile in 0..plan.tiles.tiles {
            for y in 0..height {
                let listed = list.before[y] as usize..list.before[y + band.rows] as usize;
                let line = (tile * plan.channels + channel) * height + y;
                let at = line * plan.sums_of_row();
                let walk = Walk {
                    values: &list.values[listed.clone()],
                    offsets: &list.offsets[listed],
                    cotangent: cotangent[tile * plan.tiles.width()..]
                        .as_ptr()
                        .wrapping_sub(y * row_step),
                    pixel_step: band.padded,
                    sums: sums[at..at + plan.sums_of_row()].as_mut_ptr(),
                };
                // SAFETY: the rows listed from `y` on are as many as the band
                // has, whose rows have a position more than pixels for each tap
                // after the first.
                unsafe { walk_vectors(&walk, width, plan.tiles.vectors) };
            }
        }
    }
}

/// Pixels of a channel of the input.
struct Walk<'a> {
    values: &'a [f32],
    /// As many. With an offset added, `cotangent` is readable for vectors of
    /// channels at as many positions as there are taps.
    offsets: &'a [u32],
    cotangent: *const f32,
    /// Elements from one position to the next.
    pixel_step: usize,
    /// `[tap, vector]`.
    sums: *mut f32,
}

/// # Safety
/// The processor has AVX-512, and the walk's promises hold.
unsafe fn walk_vectors(walk: &Walk<'_>, taps: usize, vectors: usize) {
    // SAFETY: the caller's promise.
    unsafe { with_sizes!(walk_list, taps, vectors, walk) }
}

/// `R` taps of `V` vectors of sums.
///
/// # Safety
/// The processor has AVX-512, and the walk's promises hold.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn walk_list<const R: usize, const V: usize>(walk: &Walk<'_>) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    // SAFETY: the walk's promises.
    unsafe {
        for a in 0..R {
            sums[a] = load::<V>(walk.sums.add(a * V * LANES));
        }
        for (value, offset) in walk.values.iter().zip(walk.offsets) {
            let value = _mm512_set1_ps(*value);
            let cotangent = walk.cotangent.wrapping_add(*offset as usize);
            for a in 0..R {
                let factors = cotangent.add(a * walk.pixel_step);
                for v in 0..V {
                    let factor = _mm512_loadu_ps(factors.add(v * LANES));
                    sums[a][v] = _mm512_fmadd_ps(value, factor, sums[a][v]);
                }
            }
        }
        for a in 0..R {
            store::<V>(sums[a], walk.sums.add(a * V * LANES));
        }
    }
}
