//! The plain loops.

use super::{EMPTY, OriginAxis, Picks, Place, Tile, Windows};
use crate::Real;

pub(super) fn origins(axes: &[OriginAxis; 2], positions: &[i32], out: &mut [i32]) {
    assert_eq!(positions.len(), out.len(), "as many origins as positions");
    for (position, out) in positions.chunks_exact(2).zip(out.chunks_exact_mut(2)) {
        if position == [-1, -1] {
            out.fill(EMPTY);
        } else {
            // Positions far off would overflow; their windows are as far off.
            let near = |position: i32| position.clamp(EMPTY, -EMPTY);
            out[0] = axes[0].of(near(position[0]));
            out[1] = axes[1].of(near(position[1]));
        }
    }
}

/// The speck that is seen at a place of a speck's own window.
fn seen(
    windows: &Windows,
    positions: &[i32],
    sample: usize,
    slot: usize,
    place: [usize; 2],
) -> usize {
    let origin = windows.origin(positions, sample, slot);
    let position = [origin[0] + place[0] as i64, origin[1] + place[1] as i64];
    let covers = |other: &usize| {
        !empty(windows, positions, sample, *other)
            && windows.inside(positions, sample, *other, position).is_some()
    };
    (0..windows.slots).rev().find(covers).unwrap_or(slot)
}

fn empty(windows: &Windows, positions: &[i32], sample: usize, slot: usize) -> bool {
    windows.origin(positions, sample, slot) == [-1, -1]
}

pub(super) fn render<T: Real>(windows: &Windows, positions: &[i32], x: &[T], out: &mut [T]) {
    windows.check(positions.len());
    let channels = windows.channels;
    assert_eq!(x.len(), windows.samples * windows.slots * channels, "length of the colours");
    assert_eq!(out.len(), windows.elements(), "length of the windows");
    for_places(windows, |sample, slot, place| {
        let at = windows.at(sample, slot, place);
        let out = &mut out[at..at + channels];
        if empty(windows, positions, sample, slot) {
            out.fill(T::zero());
        } else {
            let seen = seen(windows, positions, sample, slot, place);
            out.copy_from_slice(&x[(sample * windows.slots + seen) * channels..][..channels]);
        }
    });
}

pub(super) fn unrender<T: Real>(windows: &Windows, positions: &[i32], x: &[T], out: &mut [T]) {
    windows.check(positions.len());
    let channels = windows.channels;
    assert_eq!(x.len(), windows.elements(), "length of the windows");
    assert_eq!(out.len(), windows.samples * windows.slots * channels, "length of the colours");
    out.fill(T::zero());
    for_places(windows, |sample, slot, place| {
        if !empty(windows, positions, sample, slot) {
            let at = windows.at(sample, slot, place);
            let seen = seen(windows, positions, sample, slot, place);
            add(&mut out[(sample * windows.slots + seen) * channels..][..channels], &x[at..]);
        }
    });
}

fn add<T: Real>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
}

fn for_places(windows: &Windows, mut body: impl FnMut(usize, usize, [usize; 2])) {
    for sample in 0..windows.samples {
        for slot in 0..windows.slots {
            for i in 0..windows.size[0] {
                (0..windows.size[1]).for_each(|j| body(sample, slot, [i, j]));
            }
        }
    }
}

/// Calls `body` for each place of each tile with where its values begin.
fn for_tiles(tile: &Tile, origins: &[i32], starts: &[i32], mut body: impl FnMut(usize, Place)) {
    tile.check(origins.len(), starts.len());
    let Windows { samples, channels, .. } = tile.windows;
    let mut at = 0;
    for sample in 0..samples {
        for number in 0..tile.tiles {
            let start = 2 * (sample * tile.tiles + number);
            let start = [i64::from(starts[start]), i64::from(starts[start + 1])];
            for i in 0..tile.size[0] {
                for j in 0..tile.size[1] {
                    let position = [start[0] + i as i64, start[1] + j as i64];
                    body(at, tile.place(origins, sample, number, position));
                    at += channels;
                }
            }
        }
    }
}

pub(super) fn tile<T: Real>(
    tile: &Tile,
    base: &[T],
    patch: &[T],
    origins: &[i32],
    starts: &[i32],
    out: &mut [T],
) {
    let channels = tile.windows.channels;
    assert_eq!(base.len(), tile.base_elements(), "length of the base");
    assert_eq!(patch.len(), tile.windows.elements(), "length of the patch");
    assert_eq!(out.len(), tile.elements(), "length of the tiles");
    let beyond = if tile.negative { T::neg_infinity() } else { T::zero() };
    for_tiles(tile, origins, starts, |at, place| {
        let out = &mut out[at..at + channels];
        match place {
            Place::Beyond => out.fill(beyond),
            Place::Patch(from) => out.copy_from_slice(&patch[from..from + channels]),
            Place::Base(from) => out.copy_from_slice(&base[from..from + channels]),
        }
    });
}

pub(super) fn tile_patch<T: Real>(
    tile: &Tile,
    x: &[T],
    origins: &[i32],
    starts: &[i32],
    out: &mut [T],
) {
    let channels = tile.windows.channels;
    assert_eq!(x.len(), tile.elements(), "length of the tiles");
    assert_eq!(out.len(), tile.windows.elements(), "length of the patch");
    out.fill(T::zero());
    for_tiles(tile, origins, starts, |at, place| {
        if let Place::Patch(to) = place {
            add(&mut out[to..to + channels], &x[at..]);
        }
    });
}

pub(super) fn tile_base<T: Real>(
    tile: &Tile,
    x: &[T],
    origins: &[i32],
    starts: &[i32],
    out: &mut [T],
    _scratch: &mut [T],
) {
    let channels = tile.windows.channels;
    assert_eq!(x.len(), tile.elements(), "length of the tiles");
    assert_eq!(out.len(), tile.base_elements(), "length of the base");
    out.fill(T::zero());
    for_tiles(tile, origins, starts, |at, place| {
        if let Place::Base(to) = place {
            add(&mut out[to..to + channels], &x[at..]);
        }
    });
}

pub(super) fn mask<T: Real>(windows: &Windows, owned: bool, origins: &[i32], out: &mut [T]) {
    windows.check(origins.len());
    assert_eq!(out.len() * windows.channels, windows.elements(), "length of the mask");
    let mut at = 0;
    for_places(windows, |sample, slot, [i, j]| {
        let origin = windows.origin(origins, sample, slot);
        let position = [origin[0] + i as i64, origin[1] + j as i64];
        let held = |other: usize| windows.inside(origins, sample, other, position).is_some();
        let counts = windows.on_map(position) && !(owned && (0..slot).any(held));
        out[at] = if counts { T::one() } else { T::zero() };
        at += 1;
    });
}

/// Calls `body` for each place of each rectangle: where it begins among the
/// rectangles, and in the images unless it is beyond them.
fn for_picks(picks: &Picks, mut body: impl FnMut(usize, Option<usize>)) {
    picks.check();
    let [height, width] = picks.image;
    let mut at = 0;
    for image in 0..picks.images {
        for rows in picks.reads[0].chunks_exact(picks.kernel[0]) {
            for columns in picks.reads[1].chunks_exact(picks.kernel[1]) {
                for row in rows.iter().map(|row| *row as usize) {
                    for column in columns.iter().map(|column| *column as usize) {
                        let from = (image * height + row) * width + column;
                        let inside = row < height && column < width;
                        body(at, inside.then_some(from * picks.channels));
                        at += picks.channels;
                    }
                }
            }
        }
    }
}

pub(super) fn picks<T: Real>(picks: &Picks, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), picks.image_elements(), "length of the images");
    assert_eq!(out.len(), picks.elements(), "length of the rectangles");
    let beyond = if picks.negative { T::neg_infinity() } else { T::zero() };
    for_picks(picks, |to, from| {
        let out = &mut out[to..to + picks.channels];
        match from {
            Some(from) => out.copy_from_slice(&x[from..from + picks.channels]),
            None => out.fill(beyond),
        }
    });
}

pub(super) fn picks_gradient<T: Real>(picks: &Picks, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), picks.elements(), "length of the rectangles");
    assert_eq!(out.len(), picks.image_elements(), "length of the images");
    out.fill(T::zero());
    for_picks(picks, |from, to| {
        if let Some(to) = to {
            add(&mut out[to..to + picks.channels], &x[from..]);
        }
    });
}
