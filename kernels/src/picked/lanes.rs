//! Picked convolutions without a matrix of rectangles, for any [`Lanes`].
//!
//! The reference copies what each output reads into a row of a matrix, multiplies,
//! and, backwards, adds rows of such a matrix to the images. A product of matrices
//! copies its left operand once more, into panels. For 5184 positions with 288 taps
//! and channels and 32 outputs those copies are 6 MB each for 48 million products: on
//! the two threads of a two-core AVX-512 server (Zen 5) of 540 GFLOP/s, where
//! everything here was measured, it ran at 115 forwards, 175 backwards, and the
//! matrices took a fifth of that time besides.
//!
//! Channels lie side by side, so one value of one channel at one tap is a broadcast
//! from where it lies: a register tile is `R` positions, wherever each of them
//! reads, by two vectors of outputs, and a table says where a position reads at a
//! tap. Nothing but the weights is copied (once a call, into panels).
//!
//! * Forwards all taps and channels are summed in registers. What lies beyond the
//!   border is read from a line of zeros.
//! * The gradient of the images takes the outputs as depth: for one tap the tile is
//!   `R` positions by two vectors of channels, added to where the positions read.
//!   No zeros are multiplied, and a value that several outputs read needs no list of
//!   its readers.
//! * The gradient of the weights is for one tap `R` channels by two vectors of
//!   outputs, summed over the positions of a few images, which stay in the
//!   first-level cache, then added to the sums in memory.
//!
//! Parts are rows, images, or tiles of the weights; sums of parts of the images are
//! added in order.
//!
//! | images, positions, channels → outputs | forward | images | weights |
//! |---|---|---|---|
//! | 64, 9 × 9, 32 → 32 | 251, 474 | 244, 474 | 253, 496 |
//! | 64, 5 × 5, 32 → 32 | 249, 461 | 247, 466 | 246, 465 |
//! | 256, 4 × 4, 32 → 64 | 252, 478 | 250, 492 | 239, 474 |
//! | 256, 4 × 4, 64 → 128 | 248, 496 | 255, 497 | 216, 434 |
//! | 1, 13 × 13, 32 → 32 | 242, 384 | 203, 203 | 190, 296 |
//!
//! in GFLOP/s on one thread, whose peak is 268, and on two, for 3 × 3 taps. What
//! mattered besides the tile:
//!
//! * the table's entries are read one by one: the compiler gathered those of all
//!   rows into vectors, for which it put the sums aside at every tap;
//! * no more than four sums of the weights' gradient, added up and turned on all
//!   threads: with eight, added up on one, 359 instead of 496 and 292 instead of
//!   474, for each is a transfer from the other core's cache.
//!
//! With these kernels in place of matrices the training step of a residual network
//! (64 samples, 32 channels, `speck bench steps`) fell from 10.6 to 6.2 ms.

// Every function here is unsafe for one reason, the instruction set, and pointers
// that the wrappers checked.
#![allow(unsafe_op_in_unsafe_fn)]

use super::{BEYOND, Correlation};
use crate::elementwise::lanes::Lanes;
use crate::matmul::{PackJob, parts};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// Elements of a cache line.
const LINE: usize = 16;
/// Most rows of a register tile of any instruction set.
const MOST: usize = 14;
/// Values that images and results of a chunk may have, to stay in the first-level
/// cache together.
const CHUNK: usize = 8192;

/// Most sums of the weights' gradient: each is written by one thread and added up by
/// another.
const MOST_SUMS: usize = 4;

/// Columns of a register tile.
const fn width<L: Lanes>() -> usize {
    2 * L::WIDTH
}

/// The arrays of one call; what each is depends on the kernel.
#[derive(Clone, Copy)]
pub struct Operands {
    left: *const f32,
    right: *const f32,
    zeros: *const f32,
    out: *mut f32,
}

// SAFETY: parts write what is theirs.
unsafe impl Sync for Operands {}
// SAFETY: as above.
unsafe impl Send for Operands {}

/// Images, and tiles of the weights, of which the gradient is summed.
pub struct Region {
    images: Range<usize>,
    tiles: Range<usize>,
}

/// Calls `$body::<L, R, N>(args)` for the `R` rows and `N` vectors that there are.
macro_rules! for_size {
    ($lanes:ty, $most:ident, $rows:expr, $vectors:expr, $body:ident($($argument:expr),*)) => {
        for_size!(@ $lanes, $most, $rows, $vectors, $body($($argument),*),
            1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
    (@ $lanes:ty, $most:ident, $rows:expr, $vectors:expr, $body:ident $arguments:tt,
        $($count:literal)*) => {
        match ($rows, $vectors) {
            $(
                ($count, 1) if $count <= $most => for_size!(# $body, $lanes, $count, 1, $arguments),
                ($count, 2) if $count <= $most => for_size!(# $body, $lanes, $count, 2, $arguments),
            )*
            _ => {}
        }
    };
    (# $body:ident, $lanes:ty, $rows:literal, $vectors:literal, ($($argument:expr),*)) => {
        $body::<$lanes, $rows, $vectors>($($argument),*)
    };
}

/// The sizes of near equal pieces of `total`, each at most `most`.
fn balanced(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most).max(1)).max(1)
}

/// Calls `body` with the image and the position of each row.
#[inline(always)]
fn for_rows(c: &Correlation, rows: Range<usize>, mut body: impl FnMut(usize, usize, usize)) {
    let positions = c.positions();
    let (mut image, mut position) = (rows.start / positions, rows.start % positions);
    for i in 0..rows.len() {
        body(i, image, position);
        position += 1;
        if position == positions {
            (image, position) = (image + 1, 0);
        }
    }
}

/// The aligned part of the scratch.
fn aligned(scratch: &mut [f32], size: usize) -> &mut [f32] {
    let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut scratch[start..start + size]
}

fn forward_panels<L: Lanes>(c: &Correlation) -> usize {
    c.outputs.next_multiple_of(width::<L>()) * c.depth()
}

pub fn forward_scratch<L: Lanes>(c: &Correlation) -> usize {
    LINE + forward_panels::<L>(c) + c.picks.channels
}

/// The contract of [`PICKED_CONV`](super::PICKED_CONV).
///
/// # Safety
/// The processor has the instruction set.
pub unsafe fn forward<L: Lanes>(
    c: &Correlation,
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
    pack: unsafe fn(&PackJob),
    run: unsafe fn(&Correlation, Range<usize>, &Operands),
) {
    c.check(x, weight, out);
    if out.is_empty() || c.depth() == 0 {
        return out.fill(0.0);
    }
    let size = forward_panels::<L>(c);
    let (panels, zeros) = aligned(scratch, size + c.picks.channels).split_at_mut(size);
    zeros.fill(0.0);
    // Row `channel · taps + tap` of a panel: as the weights lie.
    pack(&PackJob {
        source: weight.as_ptr(),
        lane_step: c.depth(),
        depth_step: 1,
        lanes: c.outputs,
        depth: c.depth(),
        width: width::<L>(),
        panels: panels.as_mut_ptr(),
    });
    let operands = Operands {
        left: x.as_ptr(),
        right: panels.as_ptr(),
        zeros: zeros.as_ptr(),
        out: out.as_mut_ptr(),
    };
    let part = c.rows().div_ceil(parts(c.products())).next_multiple_of(MOST);
    for_parts(c.rows(), part, |rows| run(c, rows, &operands));
}

/// Some rows of results.
#[inline(always)]
pub unsafe fn forward_rows<L: Lanes, const ROWS: usize>(
    c: &Correlation,
    rows: Range<usize>,
    operands: &Operands,
) {
    let each = balanced(rows.len(), ROWS);
    for first in (0..c.outputs).step_by(width::<L>()) {
        let columns = (c.outputs - first).min(width::<L>());
        for start in rows.clone().step_by(each) {
            let count = each.min(rows.end - start);
            let mut job = ForwardTile {
                c,
                images: [operands.left; MOST],
                positions: [0; MOST],
                right: operands.right.add(first * c.depth()),
                zeros: operands.zeros,
                out: operands.out.add(start * c.outputs + first),
                columns,
            };
            for_rows(c, start..start + count, |i, image, position| {
                job.images[i] = operands.left.wrapping_add(image * c.image());
                job.positions[i] = position;
            });
            for_size!(L, ROWS, count, columns.div_ceil(L::WIDTH), forward_tile(&job));
        }
    }
}

struct ForwardTile<'a> {
    c: &'a Correlation,
    images: [*const f32; MOST],
    positions: [usize; MOST],
    right: *const f32,
    zeros: *const f32,
    out: *mut f32,
    columns: usize,
}

#[inline(always)]
unsafe fn forward_tile<L: Lanes, const R: usize, const N: usize>(job: &ForwardTile<'_>) {
    let c = job.c;
    let (positions, taps, channels) = (c.positions(), c.taps(), c.picks.channels);
    let mut sums = [[L::splat(0.0); N]; R];
    for tap in 0..taps {
        let reads = c.reads.as_ptr().add(tap * positions);
        let mut left = [job.zeros; R];
        let mut some = false;
        for row in 0..R {
            // Volatile keeps the compiler from gathering all rows' entries into
            // vectors, for which it would put the sums aside.
            let at = reads.add(job.positions[row]).read_volatile();
            if at != BEYOND {
                left[row] = job.images[row].add(at as usize);
                some = true;
            }
        }
        if !some {
            continue;
        }
        let mut right = job.right.add(tap * width::<L>());
        for channel in 0..channels {
            let mut columns = [L::splat(0.0); N];
            for n in 0..N {
                columns[n] = L::load(right.add(n * L::WIDTH));
            }
            for row in 0..R {
                let factor = L::splat(*left[row].add(channel));
                for n in 0..N {
                    sums[row][n] = factor.mul_add(columns[n], sums[row][n]);
                }
            }
            right = right.wrapping_add(taps * width::<L>());
        }
    }
    for row in 0..R {
        let out = job.out.add(row * c.outputs);
        for n in 0..N {
            let count = job.columns - n * L::WIDTH;
            if count >= L::WIDTH {
                sums[row][n].store(out.add(n * L::WIDTH));
            } else {
                sums[row][n].store_part(out.add(n * L::WIDTH), count);
            }
        }
    }
}

fn input_panels<L: Lanes>(c: &Correlation) -> usize {
    c.picks.channels.next_multiple_of(width::<L>()) * c.taps() * c.outputs
}

pub fn input_gradient_scratch<L: Lanes>(c: &Correlation) -> usize {
    LINE + input_panels::<L>(c)
}

/// The contract of [`PICKED_CONV_INPUT_GRADIENT`](super::PICKED_CONV_INPUT_GRADIENT).
///
/// # Safety
/// The processor has the instruction set.
pub unsafe fn input_gradient<L: Lanes>(
    c: &Correlation,
    cotangent: &[f32],
    weight: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
    run: unsafe fn(&Correlation, Range<usize>, &Operands),
) {
    c.check(out, weight, cotangent);
    if out.is_empty() || cotangent.is_empty() {
        return out.fill(0.0);
    }
    // Panels of channels; in each, for each tap, a row for each output.
    let panels = aligned(scratch, input_panels::<L>(c));
    let (taps, width) = (c.taps(), width::<L>());
    let shared = Shared::new(panels);
    for_parts(c.outputs, GRAIN.div_ceil(4 * c.depth()), |outputs| {
        for output in outputs {
            let weight = &weight[output * c.depth()..][..c.depth()];
            for (channel, weight) in weight.chunks_exact(taps).enumerate() {
                let panel = channel / width * taps;
                for (tap, weight) in weight.iter().enumerate() {
                    let row = (panel + tap) * c.outputs + output;
                    // SAFETY: a row of the panels, which only this output writes.
                    unsafe { *shared.get().add(row * width + channel % width) = *weight };
                }
            }
        }
    });
    let operands = Operands {
        left: cotangent.as_ptr(),
        right: shared.get(),
        zeros: std::ptr::null(),
        out: out.as_mut_ptr(),
    };
    let part = c.picks.images.div_ceil(parts(c.products()));
    for_parts(c.picks.images, part, |images| run(c, images, &operands));
}

/// The gradient of some images.
#[inline(always)]
pub unsafe fn input_images<L: Lanes, const ROWS: usize>(
    c: &Correlation,
    images: Range<usize>,
    operands: &Operands,
) {
    let (positions, taps, channels) = (c.positions(), c.taps(), c.picks.channels);
    let image = c.image();
    operands.out.add(images.start * image).write_bytes(0, images.len() * image);
    let rows = images.start * positions..images.end * positions;
    let each = balanced(rows.len(), ROWS);
    for first in (0..channels).step_by(width::<L>()) {
        let columns = (channels - first).min(width::<L>());
        for start in rows.clone().step_by(each) {
            let count = each.min(rows.end - start);
            let mut job = InputTile {
                c,
                left: operands.left.add(start * c.outputs),
                right: operands.right.add(first * taps * c.outputs),
                images: [operands.out; MOST],
                positions: [0; MOST],
                columns,
            };
            for_rows(c, start..start + count, |i, number, position| {
                job.images[i] = operands.out.wrapping_add(number * image + first);
                job.positions[i] = position;
            });
            for_size!(L, ROWS, count, columns.div_ceil(L::WIDTH), input_tile(&job));
        }
    }
}

struct InputTile<'a> {
    c: &'a Correlation,
    left: *const f32,
    right: *const f32,
    images: [*mut f32; MOST],
    positions: [usize; MOST],
    columns: usize,
}

#[inline(always)]
unsafe fn input_tile<L: Lanes, const R: usize, const N: usize>(job: &InputTile<'_>) {
    let c = job.c;
    let (positions, outputs) = (c.positions(), c.outputs);
    let mut left = [job.left; R];
    for row in 0..R {
        left[row] = job.left.add(row * outputs);
    }
    for tap in 0..c.taps() {
        let reads = c.reads.as_ptr().add(tap * positions);
        let mut right = job.right.add(tap * outputs * width::<L>());
        let mut sums = [[L::splat(0.0); N]; R];
        for output in 0..outputs {
            let mut columns = [L::splat(0.0); N];
            for n in 0..N {
                columns[n] = L::load(right.add(n * L::WIDTH));
            }
            for row in 0..R {
                let factor = L::splat(*left[row].add(output));
                for n in 0..N {
                    sums[row][n] = factor.mul_add(columns[n], sums[row][n]);
                }
            }
            right = right.wrapping_add(width::<L>());
        }
        for row in 0..R {
            let at = *reads.add(job.positions[row]);
            if at == BEYOND {
                continue;
            }
            let out = job.images[row].add(at as usize);
            for n in 0..N {
                add_to(out.add(n * L::WIDTH), sums[row][n], job.columns - n * L::WIDTH);
            }
        }
    }
}

/// Adds the first `count` lanes to what is there.
#[inline(always)]
unsafe fn add_to<L: Lanes>(out: *mut f32, sum: L, count: usize) {
    if count >= L::WIDTH {
        L::load(out).add(sum).store(out);
    } else {
        L::load_part(out, count, L::splat(0.0)).add(sum).store_part(out, count);
    }
}

/// Elements of the sums of a part: panels of outputs; in each a row for each channel
/// and tap, in the weights' order.
fn weight_sums<L: Lanes>(c: &Correlation) -> usize {
    c.outputs.next_multiple_of(width::<L>()) * c.depth()
}

/// Parts of the images, each with sums of its own; 1 where there are too few images.
fn image_parts(c: &Correlation) -> usize {
    let wanted = parts(c.products()).min(MOST_SUMS);
    if c.picks.images >= 2 * wanted { wanted } else { 1 }
}

pub fn weight_gradient_scratch<L: Lanes>(c: &Correlation) -> usize {
    LINE + image_parts(c) * weight_sums::<L>(c)
}

/// The contract of [`PICKED_CONV_WEIGHT_GRADIENT`](super::PICKED_CONV_WEIGHT_GRADIENT).
///
/// # Safety
/// The processor has the instruction set.
pub unsafe fn weight_gradient<L: Lanes, const ROWS: usize>(
    c: &Correlation,
    x: &[f32],
    cotangent: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
    run: unsafe fn(&Correlation, Region, &Operands),
) {
    c.check(x, out, cotangent);
    if out.is_empty() || cotangent.is_empty() {
        return out.fill(0.0);
    }
    let (size, image_parts) = (weight_sums::<L>(c), image_parts(c));
    let sums = aligned(scratch, image_parts * size);
    let tiles = c.outputs.div_ceil(width::<L>()) * c.taps() * c.picks.channels.div_ceil(ROWS);
    let images = c.picks.images;
    let shared = Shared::new(sums);
    let operands = |part: usize| Operands {
        left: x.as_ptr(),
        right: cotangent.as_ptr(),
        zeros: std::ptr::null(),
        out: shared.get().wrapping_add(part * size),
    };
    if image_parts == 1 {
        let part = tiles.div_ceil(parts(c.products()));
        for_parts(tiles, part, |tiles| run(c, Region { images: 0..images, tiles }, &operands(0)));
    } else {
        let each = images.div_ceil(image_parts);
        for_parts(images, each, |images| {
            let part = images.start / each;
            run(c, Region { images, tiles: 0..tiles }, &operands(part));
        });
    }
    // Added up, and turned to a row for each output.
    let used = if image_parts == 1 { 1 } else { images.div_ceil(images.div_ceil(image_parts)) };
    let sums = &sums[..used * size];
    let (depth, out) = (c.depth(), Shared::new(out));
    let rows = size / width::<L>();
    for_parts(rows, GRAIN.div_ceil(used * width::<L>()), |rows| {
        for row in rows {
            let first = row / depth * width::<L>();
            let mut total = [0.0; 2 * LINE];
            for part in sums.chunks_exact(size) {
                let part = &part[row * width::<L>()..][..width::<L>()];
                total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
            }
            for (output, total) in (first..c.outputs).zip(&total[..width::<L>()]) {
                // SAFETY: a weight of the output, which only this row writes.
                unsafe { *out.get().add(output * depth + row % depth) = *total };
            }
        }
    });
}

/// The tiles of the weights' gradient, each size a function of its own.
///
/// With all sizes in one function what the compiler did with the sums depended on how
/// it cut the crate: in an ordinary release build it put them aside at every image,
/// and 64 → 128 channels on 4 × 4 took 7.2 instead of 2.5 ms.
pub trait Tiles {
    /// [`weight_tile`], not inlined.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn weight<const R: usize, const N: usize>(job: &WeightTile<'_>);
}

#[inline(always)]
unsafe fn compiled_tile<T: Tiles, const R: usize, const N: usize>(job: &WeightTile<'_>) {
    T::weight::<R, N>(job);
}

/// Sums over some images for some tiles of the weights.
#[inline(always)]
pub unsafe fn weight_tiles<L: Lanes, T: Tiles, const ROWS: usize>(
    c: &Correlation,
    region: Region,
    operands: &Operands,
) {
    let (taps, channels, width) = (c.taps(), c.picks.channels, width::<L>());
    let each = balanced(channels, ROWS);
    let blocks = channels.div_ceil(each);
    // Several images a chunk, as long as they fit the cache.
    let image = c.image() + c.positions() * c.outputs;
    let chunk = (CHUNK / image.max(1)).max(1);
    for start in region.images.clone().step_by(chunk) {
        let images = start..(start + chunk).min(region.images.end);
        for tile in region.tiles.clone() {
            let (panel, tap, block) = (tile / blocks / taps, tile / blocks % taps, tile % blocks);
            let first = block * each;
            if panel * width >= c.outputs {
                break;
            }
            let columns = (c.outputs - panel * width).min(width);
            let row = panel * c.depth() + first * taps + tap;
            let job = WeightTile {
                c,
                images: images.clone(),
                tap,
                left: operands.left.add(first),
                right: operands.right.add(panel * width),
                out: operands.out.add(row * width),
                columns,
                begins: start == region.images.start,
            };
            let rows = each.min(channels - first);
            for_size!(T, ROWS, rows, columns.div_ceil(L::WIDTH), compiled_tile(&job));
        }
    }
}

/// A register tile of the weights' gradient, and what it is summed over.
pub struct WeightTile<'a> {
    c: &'a Correlation,
    images: Range<usize>,
    tap: usize,
    left: *const f32,
    right: *const f32,
    out: *mut f32,
    columns: usize,
    begins: bool,
}

/// Sums over the positions of the job's images.
#[inline(always)]
pub unsafe fn weight_tile<L: Lanes, const R: usize, const N: usize>(job: &WeightTile<'_>) {
    let c = job.c;
    let (positions, taps, outputs) = (c.positions(), c.taps(), c.outputs);
    let rest = job.columns % L::WIDTH;
    let mut sums = [[L::splat(0.0); N]; R];
    for image in job.images.clone() {
        let left = job.left.add(image * c.image());
        let right = job.right.add(image * positions * outputs);
        for &[position, at] in &c.inside[job.tap] {
            let left = left.add(at as usize);
            let right = right.add(position as usize * outputs);
            let mut columns = [L::splat(0.0); N];
            for n in 0..N {
                columns[n] = if rest > 0 && n + 1 == N {
                    L::load_part(right.add(n * L::WIDTH), rest, L::splat(0.0))
                } else {
                    L::load(right.add(n * L::WIDTH))
                };
            }
            for row in 0..R {
                let factor = L::splat(*left.add(row));
                for n in 0..N {
                    sums[row][n] = factor.mul_add(columns[n], sums[row][n]);
                }
            }
        }
    }
    for row in 0..R {
        let out = job.out.add(row * taps * width::<L>());
        for n in 0..N {
            let out = out.add(n * L::WIDTH);
            let sum = if job.begins { sums[row][n] } else { L::load(out).add(sums[row][n]) };
            sum.store(out);
        }
    }
}
