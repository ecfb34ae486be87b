//! Moves between maps, tiles and rectangles, in runs and on several threads.
//!
//! The plain loops ask for every place what stands there. Here places that lie
//! side by side in both memories are moved in one go (the middle of a tile is a
//! row of its own window; a row of a rectangle is a row of its image), and the
//! samples are cut into parts. Each part writes what its samples own. What all
//! samples add to one base is summed apart for each part, then in order.
//!
//! On one thread the gain is small, since the plain loops already move whole
//! channels at 20 to 60 GB/s: these loops are bound by the first two caches. Parts
//! that take channels of one base rather than samples lost 1.6 times (all sums
//! into bases of a step of a residual network of 32 channels, two threads): each
//! thread reads what the other one has just written.

// The one condition of every function here is that the lengths are what the
// shapes say, which the wrappers check.
#![allow(unsafe_op_in_unsafe_fn)]

use super::{Picks, Place, Tile, Windows, base_parts, base_scratch};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// The routines of an instruction set, out of the loops here.
macro_rules! compiled {
    ($features:literal) => {
        use super::moves;
        use super::{Picks, Tile};
        use std::ops::Range;

        #[target_feature(enable = $features)]
        unsafe fn tile_part(
            tile: &Tile,
            samples: Range<usize>,
            base: &[f32],
            patch: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: the caller's promise.
            unsafe { moves::tile_part(tile, samples, base, patch, origins, starts, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn patch_part(
            tile: &Tile,
            samples: Range<usize>,
            x: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { moves::patch_part(tile, samples, x, origins, starts, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn base_part(
            tile: &Tile,
            samples: Range<usize>,
            x: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { moves::base_part(tile, samples, x, origins, starts, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn picks_part(p: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
            // SAFETY: as above.
            unsafe { moves::picks_part(p, images, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn unpick_part(p: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
            // SAFETY: as above.
            unsafe { moves::unpick_part(p, images, x, out) }
        }

        /// The contract of [`super::WINDOW_TILE`].
        pub fn tile(
            tile: &Tile,
            base: &[f32],
            patch: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: &mut [f32],
        ) {
            moves::tile(tile, base, patch, origins, starts, out, tile_part);
        }

        /// The contract of [`super::WINDOW_TILE_PATCH`].
        pub fn tile_patch(t: &Tile, x: &[f32], origins: &[i32], starts: &[i32], out: &mut [f32]) {
            moves::tile_patch(t, x, origins, starts, out, patch_part);
        }

        /// The contract of [`super::WINDOW_TILE_BASE`].
        pub fn tile_base(
            tile: &Tile,
            x: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            moves::tile_base(tile, x, origins, starts, out, scratch, base_part);
        }

        /// The contract of [`super::PICKS`].
        pub fn picks(picks: &Picks, x: &[f32], out: &mut [f32]) {
            moves::picks(picks, x, out, picks_part);
        }

        /// The contract of [`super::PICKS_GRADIENT`].
        pub fn picks_gradient(picks: &Picks, x: &[f32], out: &mut [f32]) {
            moves::picks_gradient(picks, x, out, unpick_part);
        }
    };
}
pub(super) use compiled;

/// How many of `count` things, of `elements` together, make a part.
fn each(count: usize, elements: usize) -> usize {
    (GRAIN * count).div_ceil(elements.max(1)).max(1)
}

type MovePart<S> = unsafe fn(&S, Range<usize>, &[f32], *mut f32);

pub fn tile(
    tile: &Tile,
    base: &[f32],
    patch: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: &mut [f32],
    run: unsafe fn(&Tile, Range<usize>, &[f32], &[f32], &[i32], &[i32], *mut f32),
) {
    tile.check(origins.len(), starts.len());
    assert_eq!(base.len(), tile.base_elements(), "length of the base");
    assert_eq!(patch.len(), tile.windows.elements(), "length of the patch");
    assert_eq!(out.len(), tile.elements(), "length of the tiles");
    let samples = tile.windows.samples;
    let shared = Shared::new(out);
    for_parts(samples, each(samples, tile.elements()), |samples| {
        // SAFETY: the processor has the instruction set, or the variant would not
        // have been chosen; lengths are checked, and parts write their samples.
        unsafe { run(tile, samples, base, patch, origins, starts, shared.get()) };
    });
}

pub fn tile_patch(
    tile: &Tile,
    x: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: &mut [f32],
    run: unsafe fn(&Tile, Range<usize>, &[f32], &[i32], &[i32], *mut f32),
) {
    tile.check(origins.len(), starts.len());
    assert_eq!(x.len(), tile.elements(), "length of the tiles");
    assert_eq!(out.len(), tile.windows.elements(), "length of the patch");
    let samples = tile.windows.samples;
    let shared = Shared::new(out);
    for_parts(samples, each(samples, tile.elements()), |samples| {
        // SAFETY: as above.
        unsafe { run(tile, samples, x, origins, starts, shared.get()) };
    });
}

pub fn tile_base(
    tile: &Tile,
    x: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: &mut [f32],
    scratch: &mut [f32],
    run: unsafe fn(&Tile, Range<usize>, &[f32], &[i32], &[i32], *mut f32),
) {
    tile.check(origins.len(), starts.len());
    let size = tile.base_elements();
    assert_eq!(x.len(), tile.elements(), "length of the tiles");
    assert_eq!(out.len(), size, "length of the base");
    let scratch = &mut scratch[..base_scratch(tile)];
    out.fill(0.0);
    scratch.fill(0.0);
    let samples = tile.windows.samples;
    let (shared, sums) = (Shared::new(out), Shared::new(scratch));
    if tile.backgrounds == samples {
        for_parts(samples, each(samples, tile.elements()), |samples| {
            // SAFETY: as above; each sample has a base of its own.
            unsafe { run(tile, samples, x, origins, starts, shared.get()) };
        });
        return;
    }
    let each = samples.div_ceil(base_parts(tile)).max(1);
    for_parts(samples, each, |samples| {
        let out = match samples.start / each {
            0 => shared.get(),
            part => sums.get().wrapping_add((part - 1) * size),
        };
        // SAFETY: as above; each part has sums of its own.
        unsafe { run(tile, samples, x, origins, starts, out) };
    });
    for part in scratch.chunks_exact(size.max(1)) {
        out.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}

/// Between images and their rectangles, `elements` of them: each part reads and
/// writes what belongs to its images.
fn rectangles<S: Sync>(
    shape: &S,
    images: usize,
    elements: usize,
    x: &[f32],
    out: &mut [f32],
    run: MovePart<S>,
) {
    let shared = Shared::new(out);
    for_parts(images, each(images, elements), |images| {
        // SAFETY: as above; parts write what is their images'.
        unsafe { run(shape, images, x, shared.get()) };
    });
}

pub fn picks(picks: &Picks, x: &[f32], out: &mut [f32], run: MovePart<Picks>) {
    picks.check();
    assert_eq!(x.len(), picks.image_elements(), "length of the images");
    assert_eq!(out.len(), picks.elements(), "length of the rectangles");
    rectangles(picks, picks.images, picks.elements(), x, out, run);
}

pub fn picks_gradient(picks: &Picks, x: &[f32], out: &mut [f32], run: MovePart<Picks>) {
    picks.check();
    assert_eq!(x.len(), picks.elements(), "length of the rectangles");
    assert_eq!(out.len(), picks.image_elements(), "length of the images");
    rectangles(picks, picks.images, picks.elements(), x, out, run);
}

#[inline(always)]
unsafe fn add(to: *mut f32, from: *const f32, count: usize) {
    for i in 0..count {
        *to.add(i) += *from.add(i);
    }
}

/// Calls `body` with runs of places of one kind that lie side by side in tile
/// and source: where the run begins in the tile, in the source, and its length.
#[inline(always)]
fn for_runs(
    tile: &Tile,
    samples: Range<usize>,
    origins: &[i32],
    starts: &[i32],
    mut body: impl FnMut(usize, &Place, usize),
) {
    let Windows { channels, map, .. } = tile.windows;
    let [height, width] = tile.size;
    for sample in samples {
        for number in 0..tile.tiles {
            let tile_at = sample * tile.tiles + number;
            let [top, left] = [starts[2 * tile_at], starts[2 * tile_at + 1]].map(i64::from);
            let end = left + width as i64;
            for i in 0..height {
                let row = top + i as i64;
                let is_on_map = (0..map[0] as i64).contains(&row);
                let mut column = left;
                let mut at = (tile_at * height + i) * width * channels;
                while column < end {
                    let (place, until) = if !is_on_map || column >= map[1] as i64 {
                        (Place::Beyond, end)
                    } else if column < 0 {
                        (Place::Beyond, end.min(0))
                    } else {
                        run_on_map(tile, origins, sample, number, [row, column], end)
                    };
                    let length = (until - column) as usize * channels;
                    body(at, &place, length);
                    at += length;
                    column = until;
                }
            }
        }
    }
}

/// What stands at a position of the map, and the column where its run ends, at most
/// `end`. A tile's own window comes first, then the others in order; a run ends
/// where one that comes before its own begins.
#[inline(always)]
fn run_on_map(
    tile: &Tile,
    origins: &[i32],
    sample: usize,
    number: usize,
    [row, column]: [i64; 2],
    end: i64,
) -> (Place, i64) {
    let windows = &tile.windows;
    let mut end = end.min(windows.map[1] as i64);
    let own = (number < windows.slots).then_some(number);
    let others = (0..windows.slots).filter(|slot| Some(*slot) != own);
    for slot in own.into_iter().chain(others) {
        let [top, left] = windows.origin(origins, sample, slot);
        let [height, width] = windows.size.map(|size| size as i64);
        if !(top..top + height).contains(&row) || width == 0 {
            continue;
        }
        if (left..left + width).contains(&column) {
            let inside = [(row - top) as usize, (column - left) as usize];
            return (Place::Patch(windows.at(sample, slot, inside)), end.min(left + width));
        }
        if left > column {
            end = end.min(left);
        }
    }
    let background = if tile.backgrounds == 1 { 0 } else { sample };
    let class = tile.classes[0][row as usize] as usize;
    let classes = &tile.classes[1][column as usize..end as usize];
    let side_by_side = 1 + classes.windows(2).take_while(|pair| pair[1] == pair[0] + 1).count();
    let at = (background * tile.base[0] + class) * tile.base[1] + classes[0] as usize;
    (Place::Base(at * windows.channels), column + side_by_side as i64)
}

#[inline(always)]
pub unsafe fn tile_part(
    tile: &Tile,
    samples: Range<usize>,
    base: &[f32],
    patch: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: *mut f32,
) {
    let beyond = if tile.negative { f32::NEG_INFINITY } else { 0.0 };
    for_runs(tile, samples, origins, starts, |at, place, length| {
        let out = std::slice::from_raw_parts_mut(out.add(at), length);
        match place {
            Place::Beyond => out.fill(beyond),
            Place::Patch(from) => out.copy_from_slice(&patch[*from..from + length]),
            Place::Base(from) => out.copy_from_slice(&base[*from..from + length]),
        }
    });
}

#[inline(always)]
pub unsafe fn patch_part(
    tile: &Tile,
    samples: Range<usize>,
    x: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: *mut f32,
) {
    let Windows { slots, size, channels, .. } = tile.windows;
    let own = slots * size[0] * size[1] * channels;
    out.add(samples.start * own).write_bytes(0, samples.len() * own);
    for_runs(tile, samples, origins, starts, |at, place, length| {
        if let Place::Patch(to) = place {
            add(out.add(*to), x.as_ptr().add(at), length);
        }
    });
}

#[inline(always)]
pub unsafe fn base_part(
    tile: &Tile,
    samples: Range<usize>,
    x: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: *mut f32,
) {
    for_runs(tile, samples, origins, starts, |at, place, length| {
        if let Place::Base(to) = place {
            add(out.add(*to), x.as_ptr().add(at), length);
        }
    });
}

/// Calls `body` for each run of places of each rectangle that lie side by side:
/// where it begins among the rectangles, and in the images unless it is beyond
/// them, and its length.
#[inline(always)]
fn for_picks(
    picks: &Picks,
    images: Range<usize>,
    mut body: impl FnMut(usize, Option<usize>, usize),
) {
    let [height, width] = picks.image;
    let [down, across] = picks.output();
    let channels = picks.channels;
    let neighbours = |a: &u32, b: &u32| *b == a + 1 && (*b as usize) < width;
    for image in images {
        let mut at = image * down * across * picks.kernel[0] * picks.kernel[1] * channels;
        for rows in picks.reads[0].chunks_exact(picks.kernel[0]) {
            for columns in picks.reads[1].chunks_exact(picks.kernel[1]) {
                for row in rows {
                    for run in columns.chunk_by(neighbours) {
                        let [row, column] = [*row as usize, run[0] as usize];
                        let inside = row < height && column < width;
                        let from = ((image * height + row) * width + column) * channels;
                        let length = run.len() * channels;
                        body(at, inside.then_some(from), length);
                        at += length;
                    }
                }
            }
        }
    }
}

#[inline(always)]
pub unsafe fn picks_part(picks: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
    let beyond = if picks.negative { f32::NEG_INFINITY } else { 0.0 };
    for_picks(picks, images, |to, from, length| {
        let out = std::slice::from_raw_parts_mut(out.add(to), length);
        match from {
            Some(from) => out.copy_from_slice(&x[from..from + length]),
            None => out.fill(beyond),
        }
    });
}

#[inline(always)]
pub unsafe fn unpick_part(picks: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
    let own = picks.image[0] * picks.image[1] * picks.channels;
    out.add(images.start * own).write_bytes(0, images.len() * own);
    for_picks(picks, images, |from, to, length| {
        if let Some(to) = to {
            add(out.add(to), x.as_ptr().add(from), length);
        }
    });
}
