//! The gradient of the weight, F(3×3, 2×2) and F(3×3, 4×4).
//!
//! Winograd's convolution `Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A` is linear in the weight;
//! its adjoint, applied to a tile `c` of the result's cotangent, is
//! `Gᵀ [(A c Aᵀ) ⊙ (Bᵀ x B)] G`: the same matrices, the same number of
//! multiplications. The products are summed over all tiles of all images before
//! they are transformed back, so that `Gᵀ · G` is taken once.
//!
//! For each point that is a matrix product with short sides and a long sum,
//! `[channels of the result, tiles] · [tiles, channels]`, whose operands both
//! should lie tile by tile with the channels side by side. So the images are
//! transposed to `channels_last`, some rows at a time, and all transforms work
//! on vectors of channels: no tile is computed and dropped, and no lanes have to
//! be added up. A block is the tiles of a few rows of tiles, at least
//! [`TILES`]; the register tiles of `matmul` add its products to the sums.
//!
//! The figures are in the table of `winograd`. What limits it: 32 channels are
//! one register tile wide, so that a transformed value is used only 32 times
//! before it is gone; with 128 the sums of all points, 1 MiB, are read and written
//! once a block.

use super::form::{Form, MOST};
use super::steps::Instructions;
use super::{CHANNELS, reduce};
use crate::convolution::ConvShape;
use crate::convolution::channels_last::Band;
use crate::convolution::source::LINE;
use crate::convolution::vector::Vector;
use crate::matmul::{PackedTile, PackedTileJob, parts};
use crate::parallel::{GRAIN, Shared, for_parts};

/// Fewest tiles of a block, if an image has as many.
const TILES: usize = 64;
/// Most elements of the sums of all parts, where that leaves two parts.
const SUMS: usize = 1 << 20;

/// How a shape is computed.
pub(in crate::convolution) struct Plan {
    shape: ConvShape,
    /// Tiles along each axis, and rows of tiles in a block.
    tiles: [usize; 2],
    band: usize,
    /// Channels of the input and of the result in a group, and the same as
    /// whole vectors.
    channels: [usize; 2],
    padded: [usize; 2],
    /// Rows of a register tile.
    tile_rows: usize,
    points: usize,
    /// Images of a part.
    part: usize,
}

/// Tiles to be transformed, of one operand.
pub(in crate::convolution) struct Block {
    /// Rows of tiles, and tiles of a row.
    tiles: [usize; 2],
    /// Pixels of a row of the band.
    pitch: usize,
    /// Elements of a pixel of the band.
    padded: usize,
    /// Elements from one point to the next.
    step: usize,
    /// Whether it is the result's cotangent; else the input.
    cotangent: bool,
}

impl Plan {
    /// None where the shape is `reduce`'s.
    fn new<I: Instructions, F: Form>(shape: &ConvShape) -> Option<Self> {
        let plain = shape.kernel == [3, 3] && shape.stride == [1, 1] && shape.dilation == [1, 1];
        let channels = [shape.group_in(), shape.group_out()];
        if !plain || channels[0].min(channels[1]) < CHANNELS {
            return None;
        }
        let tiles = shape.output().map(|size| size.div_ceil(F::M));
        let points = F::POINTS * F::POINTS;
        let sums = points * shape.groups * channels[0] * channels[1];
        let parts = parts(shape.products()).min((SUMS / sums).max(2));
        Some(Plan {
            shape: *shape,
            tiles,
            band: TILES.div_ceil(tiles[1].max(1)).min(tiles[0]),
            channels,
            padded: channels.map(|channels| channels.next_multiple_of(I::V::LANES)),
            tile_rows: channels[1].div_ceil(channels[1].div_ceil(I::Product::ROWS)),
            points,
            part: shape.batch.div_ceil(parts).max(1),
        })
    }

    fn parts(&self) -> usize {
        self.shape.batch.div_ceil(self.part)
    }

    /// The bands of the input and of the cotangent for a block, and how they
    /// are transformed.
    fn operands<F: Form>(&self, first: usize) -> [(Band, Block); 2] {
        let rows = self.band.min(self.tiles[0] - first);
        let tiles = [rows, self.tiles[1]];
        let (shape, first) = (&self.shape, (first * F::M) as isize);
        [0, 1].map(|operand| {
            let cotangent = operand == 1;
            let (pixels, [above, border], more) = match cotangent {
                false => (shape.input, shape.padding, 2),
                true => (shape.output(), [0, 0], 0),
            };
            let (padded, pitch) = (self.padded[operand], tiles[1] * F::M + more);
            let band = Band {
                channels: self.channels[operand],
                padded,
                pixels,
                first: first - above as isize,
                rows: rows * F::M + more,
                pitch,
                border,
            };
            (band, Block { tiles, pitch, padded, step: self.point_steps()[operand], cotangent })
        })
    }

    /// Elements from one point to the next in a transformed block; the line
    /// more is for the sets of the first-level cache.
    fn point_steps(&self) -> [usize; 2] {
        self.padded.map(|padded| self.band * self.tiles[1] * padded + LINE)
    }

    /// Elements of the bands and of the transformed blocks of a part.
    fn regions<F: Form>(&self) -> [usize; 4] {
        let [input, cotangent] = self.operands::<F>(0).map(|(band, _)| band.size());
        let [x, c] = self.point_steps().map(|step| self.points * step);
        [input, cotangent, x, c]
    }

    /// Elements of the sums of a group.
    fn sums(&self) -> usize {
        self.points * self.channels[0] * self.channels[1]
    }

    fn scratch<F: Form>(&self) -> usize {
        let regions = self.regions::<F>().iter().sum::<usize>();
        LINE + self.parts() * (regions + self.shape.groups * self.sums())
    }
}

/// Scratch for [`run`].
pub(super) fn scratch<I: Instructions, F: Form>(shape: &ConvShape) -> usize {
    match Plan::new::<I, F>(shape) {
        Some(plan) => plan.scratch::<F>(),
        None => reduce::scratch::<I::Direct>(shape),
    }
}

/// The gradient of the weight.
///
/// # Safety
/// The processor has the instruction set of `I`.
pub(super) unsafe fn run<I: Instructions, F: Form>(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(plan) = Plan::new::<I, F>(shape) else {
        // SAFETY: the caller's promise.
        unsafe { reduce::run::<I::Direct>(shape, input, cotangent, gradient, scratch) };
        return;
    };
    shape.check(input, gradient, cotangent);
    if input.is_empty() || cotangent.is_empty() {
        gradient.fill(0.0);
        return;
    }
    assert!(scratch.len() >= plan.scratch::<F>(), "length of the scratch of a weight's gradient");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let regions = plan.regions::<F>();
    let (part_size, sums_size) = (regions.iter().sum::<usize>(), shape.groups * plan.sums());
    let (sums, buffers) = scratch[aligned..].split_at_mut(plan.parts() * sums_size);
    let alone = rayon::current_num_threads() == 1;
    let shared_sums = Shared::new(sums);
    let shared_buffers = Shared::new(buffers);
    for_parts(shape.batch, plan.part, |range| {
        let part = range.start / plan.part;
        let slot = if alone { 0 } else { part };
        // SAFETY: the scratch holds sums and buffers for every part, and parts
        // that share the first one's buffers run one after another on this
        // thread.
        let (sums, buffer) = unsafe {
            let sums = shared_sums.part(part * sums_size..(part + 1) * sums_size);
            (sums, shared_buffers.part(slot * part_size..(slot + 1) * part_size))
        };
        // The borders of the bands; a buffer used by one part after another has
        // them.
        if slot == part {
            buffer.fill(0.0);
        }
        for image in range.clone() {
            for group in 0..shape.groups {
                let fresh = image == range.start;
                let index = image * shape.groups + group;
                let images = [input, cotangent].map(|all| {
                    let size = all.len() / (shape.batch * shape.groups);
                    &all[index * size..(index + 1) * size]
                });
                let sums = &mut sums[group * plan.sums()..(group + 1) * plan.sums()];
                // SAFETY: the caller's promise.
                unsafe { add_image::<I, F>(&plan, images, buffer, sums, fresh) };
            }
        }
    });
    let sums = &*sums;
    let filter = plan.channels[0] * 9;
    let shared_gradient = Shared::new(gradient);
    for_parts(shape.out_channels, (GRAIN / (plan.points * filter)).max(1), |range| {
        for row in range {
            // SAFETY: rows of the gradient are disjoint and inside it; the rest
            // is the caller's promise.
            unsafe {
                let to = shared_gradient.part(row * filter..(row + 1) * filter);
                I::finish::<F>(&plan, row, sums, to);
            }
        }
    });
}

/// Adds the products of an image, of a group's channels, to the sums
/// `[point, channel of the result, channel]`; `fresh` sums hold anything.
///
/// # Safety
/// The processor has the instruction set; the buffer is as long as the plan
/// says.
unsafe fn add_image<I: Instructions, F: Form>(
    plan: &Plan,
    images: [&[f32]; 2],
    buffer: &mut [f32],
    sums: &mut [f32],
    fresh: bool,
) {
    let regions = plan.regions::<F>();
    let (bands, transformed) = buffer.split_at_mut(regions[0] + regions[1]);
    let (band_input, band_cotangent) = bands.split_at_mut(regions[0]);
    let (input, cotangent) = transformed.split_at_mut(regions[2]);
    let [channels, rows] = plan.channels;
    let [input_step, cotangent_step] = plan.point_steps();
    for first in (0..plan.tiles[0]).step_by(plan.band.max(1)) {
        let operands = plan.operands::<F>(first);
        let depth = operands[0].1.tiles.iter().product();
        let buffers = [(&mut *band_input, &mut *input), (&mut *band_cotangent, &mut *cotangent)];
        for (((band, block), image), (copy, out)) in operands.iter().zip(images).zip(buffers) {
            // SAFETY: the caller's promise.
            unsafe {
                I::channels_last(band, image, copy);
                I::transform_block::<F>(block, copy, out);
            }
        }
        for point in 0..plan.points {
            for row in (0..rows).step_by(plan.tile_rows) {
                for column in (0..channels).step_by(I::Product::WIDTH) {
                    let job = PackedTileJob {
                        rows: plan.tile_rows.min(rows - row),
                        columns: I::Product::WIDTH.min(channels - column),
                        depth,
                        left: cotangent[point * cotangent_step + row..].as_ptr(),
                        left_step: plan.padded[1],
                        right: input[point * input_step + column..].as_ptr(),
                        right_step: plan.padded[0],
                        out: sums[(point * rows + row) * channels + column..].as_mut_ptr(),
                        out_step: channels,
                        accumulate: !fresh || first > 0,
                    };
                    // SAFETY: both operands hold `depth` tiles of all channels,
                    // as whole vectors, and the sums all rows and columns.
                    unsafe { I::Product::multiply(&job) };
                }
            }
        }
    }
}

/// `Bᵀ x B` or `A c Aᵀ` of a block: `[point, tile, channel]`.
///
/// # Safety
/// The processor has the instruction set of `V`; `band` and `out` are as long
/// as the plan says.
#[inline(always)]
pub(super) unsafe fn transform<V: Vector, F: Form>(block: &Block, band: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match block.cotangent {
            false => transform_tiles::<V, F, false>(block, band, out),
            true => transform_tiles::<V, F, true>(block, band, out),
        }
    }
}

/// # Safety
/// As for [`transform`].
#[inline(always)]
unsafe fn transform_tiles<V: Vector, F: Form, const COTANGENT: bool>(
    block: &Block,
    band: &[f32],
    out: &mut [f32],
) {
    let size = if COTANGENT { F::M } else { F::POINTS };
    let [rows, columns] = block.tiles;
    assert!(band.len() >= ((rows * F::M + size - F::M) * block.pitch) * block.padded);
    assert!(out.len() >= (F::POINTS * F::POINTS - 1) * block.step + rows * columns * block.padded);
    // SAFETY: the caller's promise.
    let zero = unsafe { V::splat(0.0) };
    for tile in 0..rows * columns {
        let pixel = (tile / columns * block.pitch + tile % columns) * F::M;
        for channel in (0..block.padded).step_by(V::LANES) {
            let mut x = [[zero; MOST]; MOST];
            for j in 0..size {
                let mut column = [zero; MOST];
                for i in 0..size {
                    let at = (pixel + i * block.pitch + j) * block.padded + channel;
                    // SAFETY: a pixel of the tile, and a vector of its channels.
                    column[i] = unsafe { V::load(band.as_ptr().add(at)) };
                }
                let column = along::<V, F, COTANGENT>(column);
                for i in 0..F::POINTS {
                    x[i][j] = column[i];
                }
            }
            for i in 0..F::POINTS {
                let row = along::<V, F, COTANGENT>(x[i]);
                for j in 0..F::POINTS {
                    let at = (i * F::POINTS + j) * block.step + tile * block.padded + channel;
                    // SAFETY: a point, tile and vector of the block.
                    unsafe { row[j].store(out.as_mut_ptr().add(at)) };
                }
            }
        }
    }
}

/// `Bᵀ` or `A` times some values.
#[inline(always)]
fn along<V: Vector, F: Form, const COTANGENT: bool>(x: [V; MOST]) -> [V; MOST] {
    match COTANGENT {
        false => F::input(x),
        true => F::cotangent([x[0], x[1], x[2], x[3]]),
    }
}

/// Adds up the parts' sums of a channel of the result, and transforms them back
/// to its weights: `Gᵀ y G`.
///
/// # Safety
/// The processor has the instruction set of `V`; `sums` and `to` are as long as
/// the plan says.
#[inline(always)]
pub(super) unsafe fn finish<V: Vector, F: Form>(
    plan: &Plan,
    row: usize,
    sums: &[f32],
    to: &mut [f32],
) {
    let [channels, rows] = plan.channels;
    let (group, row) = (row / rows, row % rows);
    let part_size = plan.shape.groups * plan.sums();
    // SAFETY: the caller's promise.
    let zero = unsafe { V::splat(0.0) };
    for channel in (0..channels).step_by(V::LANES) {
        let count = V::LANES.min(channels - channel);
        // Gᵀ of each column of points, as soon as it is read.
        let mut across = [[zero; 3]; MOST];
        for px in 0..F::POINTS {
            for py in 0..F::POINTS {
                let point = py * F::POINTS + px;
                let at = group * plan.sums() + (point * rows + row) * channels + channel;
                let mut sum = zero;
                for part in 0..plan.parts() {
                    let part = &sums[part * part_size + at..][..count];
                    // SAFETY: so many floats.
                    sum = sum.plus(unsafe { V::load_first(part.as_ptr(), count) });
                }
                for y in 0..3 {
                    // SAFETY: the caller's promise.
                    let factor = unsafe { V::splat(F::WEIGHT[py][y]) };
                    across[px][y] = sum.times_plus(factor, across[px][y]);
                }
            }
        }
        let mut weights = [[0.0f32; 16]; 9];
        for y in 0..3 {
            for x in 0..3 {
                let mut sum = zero;
                for px in 0..F::POINTS {
                    // SAFETY: the caller's promise.
                    let factor = unsafe { V::splat(F::WEIGHT[px][x]) };
                    sum = across[px][y].times_plus(factor, sum);
                }
                // SAFETY: no vector is longer.
                unsafe { sum.store(weights[3 * y + x].as_mut_ptr()) };
            }
        }
        for lane in 0..count {
            (0..9).for_each(|i| to[(channel + lane) * 9 + i] = weights[i][lane]);
        }
    }
}
