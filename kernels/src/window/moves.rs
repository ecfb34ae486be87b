//! Moves between maps, tiles and rectangles, in runs and on several threads.
//!
//! The plain loops ask for every place what stands there. Here places that lie
//! side by side in both memories are moved in one go (the middle of a tile is a
//! row of its own window; a row of a rectangle is a row of its image), and the
//! samples are cut into parts. Each part writes what its samples own. Only what
//! all samples add to one base cannot be cut so: there parts take channels.
//!
//! On one thread the gain is small, since the plain loops already move whole
//! channels at 20 to 60 GB/s: these loops are bound by the first two caches. In
//! parts of 32 channels the sums into a base took twice as long on one thread
//! (each part looks every place up again), hence fewer parts, and none on one
//! thread.

// The one condition of every function here is that the lengths are what the
// shapes say, which the wrappers check.
#![allow(unsafe_op_in_unsafe_fn)]

use super::{Columns, Picks, Place, Tile, Windows};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// Channels of a base that a thread takes at a time. Each part looks up again what
/// stands at which place: few parts.
const CHANNELS: usize = 64;

/// The routines of an instruction set, out of the loops here.
macro_rules! compiled {
    ($features:literal) => {
        use super::moves;
        use super::{Columns, Picks, Tile};
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
            channels: Range<usize>,
            x: &[f32],
            origins: &[i32],
            starts: &[i32],
            out: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { moves::base_part(tile, samples, channels, x, origins, starts, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn columns_part(c: &Columns, images: Range<usize>, x: &[f32], out: *mut f32) {
            // SAFETY: as above.
            unsafe { moves::columns_part(c, images, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn gradient_part(c: &Columns, images: Range<usize>, x: &[f32], out: *mut f32) {
            // SAFETY: as above.
            unsafe { moves::gradient_part(c, images, x, out) }
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
        pub fn tile_base(t: &Tile, x: &[f32], origins: &[i32], starts: &[i32], out: &mut [f32]) {
            moves::tile_base(t, x, origins, starts, out, base_part);
        }

        /// The contract of [`super::COLUMNS`].
        pub fn columns(columns: &Columns, x: &[f32], out: &mut [f32]) {
            moves::columns(columns, x, out, columns_part);
        }

        /// The contract of [`super::COLUMNS_GRADIENT`].
        pub fn columns_gradient(columns: &Columns, x: &[f32], out: &mut [f32]) {
            moves::columns_gradient(columns, x, out, gradient_part);
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
    run: unsafe fn(&Tile, Range<usize>, Range<usize>, &[f32], &[i32], &[i32], *mut f32),
) {
    tile.check(origins.len(), starts.len());
    assert_eq!(x.len(), tile.elements(), "length of the tiles");
    assert_eq!(out.len(), tile.base_elements(), "length of the base");
    out.fill(0.0);
    let Windows { samples, channels, .. } = tile.windows;
    let shared = Shared::new(out);
    if tile.backgrounds == samples {
        for_parts(samples, each(samples, tile.elements()), |samples| {
            // SAFETY: as above; each sample has a base of its own.
            unsafe { run(tile, samples, 0..channels, x, origins, starts, shared.get()) };
        });
        return;
    }
    // Channels do not meet, so it is no matter for the sums how they are cut.
    let whole = tile.elements() < 2 * GRAIN || rayon::current_num_threads() == 1;
    let part = if whole { channels } else { CHANNELS };
    for_parts(channels, part, |channels| {
        // SAFETY: as above; parts write their channels.
        unsafe { run(tile, 0..samples, channels, x, origins, starts, shared.get()) };
    });
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

pub fn columns(columns: &Columns, x: &[f32], out: &mut [f32], run: MovePart<Columns>) {
    assert_eq!(x.len(), columns.image_elements(), "length of the images");
    assert_eq!(out.len(), columns.elements(), "length of the matrix");
    rectangles(columns, columns.images, columns.elements(), x, out, run);
}

pub fn columns_gradient(columns: &Columns, x: &[f32], out: &mut [f32], run: MovePart<Columns>) {
    assert_eq!(x.len(), columns.elements(), "length of the matrix");
    assert_eq!(out.len(), columns.image_elements(), "length of the images");
    rectangles(columns, columns.images, columns.elements(), x, out, run);
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
    let channels = tile.windows.channels;
    let [height, width] = tile.size;
    for sample in samples {
        for number in 0..tile.tiles {
            let tile_at = sample * tile.tiles + number;
            let [top, left] = [starts[2 * tile_at], starts[2 * tile_at + 1]].map(i64::from);
            for i in 0..height {
                let mut at = (tile_at * height + i) * width * channels;
                let (mut run, mut length) = (Place::Beyond, 0);
                for j in 0..width {
                    let position = [top + i as i64, left + j as i64];
                    let next = tile.place(origins, sample, number, position);
                    let joins = match (&run, &next) {
                        (Place::Beyond, Place::Beyond) => true,
                        (Place::Patch(from), Place::Patch(next)) => *next == from + length,
                        (Place::Base(from), Place::Base(next)) => *next == from + length,
                        _ => false,
                    };
                    if !joins {
                        body(at, &run, length);
                        at += length;
                        (run, length) = (next, 0);
                    }
                    length += channels;
                }
                body(at, &run, length);
            }
        }
    }
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
    channels: Range<usize>,
    x: &[f32],
    origins: &[i32],
    starts: &[i32],
    out: *mut f32,
) {
    let all = tile.windows.channels;
    for_runs(tile, samples, origins, starts, |at, place, length| {
        if let Place::Base(to) = place {
            for place in (0..length).step_by(all.max(1)) {
                let from = x.as_ptr().add(at + place + channels.start);
                add(out.add(to + place + channels.start), from, channels.len());
            }
        }
    });
}

/// Calls `body` for each row of each rectangle: where it begins in the matrix and
/// in the images; taps of a row lie `step` places apart, in runs of `length`.
#[inline(always)]
fn for_rows(columns: &Columns, images: Range<usize>, mut body: impl FnMut(usize, usize, usize)) {
    let Columns { image: [height, width], channels, kernel, stride, dilation, .. } = *columns;
    let [down, across] = columns.output();
    // Taps side by side are one run.
    let (runs, length) = match dilation[1] {
        1 => (1, kernel[1] * channels),
        _ => (kernel[1], channels),
    };
    for image in images {
        for i in 0..down {
            for j in 0..across {
                let mut at = ((image * down + i) * across + j) * kernel[0] * kernel[1] * channels;
                for u in 0..kernel[0] {
                    let row = i * stride[0] + u * dilation[0];
                    for v in 0..runs {
                        let column = j * stride[1] + v * dilation[1];
                        body(at, ((image * height + row) * width + column) * channels, length);
                        at += length;
                    }
                }
            }
        }
    }
}

#[inline(always)]
pub unsafe fn columns_part(columns: &Columns, images: Range<usize>, x: &[f32], out: *mut f32) {
    for_rows(columns, images, |to, from, length| {
        std::ptr::copy_nonoverlapping(x.as_ptr().add(from), out.add(to), length);
    });
}

#[inline(always)]
pub unsafe fn gradient_part(columns: &Columns, images: Range<usize>, x: &[f32], out: *mut f32) {
    let own = columns.image[0] * columns.image[1] * columns.channels;
    out.add(images.start * own).write_bytes(0, images.len() * own);
    for_rows(columns, images, |from, to, length| {
        add(out.add(to), x.as_ptr().add(from), length);
    });
}

/// Calls `body` for each place of each rectangle: where it begins among the
/// rectangles, and in the images unless it is beyond them.
#[inline(always)]
fn for_picks(picks: &Picks, images: Range<usize>, mut body: impl FnMut(usize, Option<usize>)) {
    let [height, width] = picks.image;
    let [down, across] = picks.output();
    let channels = picks.channels;
    for image in images {
        let mut at = image * down * across * picks.kernel[0] * picks.kernel[1] * channels;
        for rows in picks.reads[0].chunks_exact(picks.kernel[0]) {
            for columns in picks.reads[1].chunks_exact(picks.kernel[1]) {
                for row in rows {
                    for column in columns {
                        let [row, column] = [*row as usize, *column as usize];
                        let inside = row < height && column < width;
                        let from = ((image * height + row) * width + column) * channels;
                        body(at, inside.then_some(from));
                        at += channels;
                    }
                }
            }
        }
    }
}

#[inline(always)]
pub unsafe fn picks_part(picks: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
    let beyond = if picks.negative { f32::NEG_INFINITY } else { 0.0 };
    for_picks(picks, images, |to, from| {
        let out = std::slice::from_raw_parts_mut(out.add(to), picks.channels);
        match from {
            Some(from) => out.copy_from_slice(&x[from..from + picks.channels]),
            None => out.fill(beyond),
        }
    });
}

#[inline(always)]
pub unsafe fn unpick_part(picks: &Picks, images: Range<usize>, x: &[f32], out: *mut f32) {
    let own = picks.image[0] * picks.image[1] * picks.channels;
    out.add(images.start * own).write_bytes(0, images.len() * own);
    for_picks(picks, images, |from, to| {
        if let Some(to) = to {
            add(out.add(to), x.as_ptr().add(from), picks.channels);
        }
    });
}
