//! Movement by runs and tiles.
//!
//! A strided copy is first brought to its simplest form: axes of length 1 are
//! dropped, axes are ordered so that the written side is walked as nearly in
//! order as it can be, and neighbouring axes that are one run on both sides
//! are merged. What is left at the innermost axis decides the loop:
//!
//! - consecutive on both sides: a block copy;
//! - one element repeated: a fill;
//! - consecutive on the written side, while on the read side some *other* axis
//!   is the consecutive one: a transposition. Read column by column, each
//!   element would touch a cache line of its own. Instead square tiles pass
//!   through a buffer of `TILE²` elements, so every line that is fetched is
//!   used whole, and power-of-two strides, whose lines compete for one cache
//!   set, do no harm;
//! - anything else: an element at a time.
//!
//! Reference: `scalar`, which finds the address of each element from its number, by a
//! division and a remainder for every axis: 3 to 10 ns an element, the more axes the more,
//! whatever is copied. Limit: the bytes. So addresses are found once a run, by counting
//! coordinates up, and the runs are as long as merging makes them. One thread of a
//! two-core AVX-512 server (Zen 5), two runs with the variants in turn, times as fast as
//! `scalar`:
//!
//! | | |
//! |---|---|
//! | a row to 2048 × 128 | over 60 |
//! | a value a channel to 64 × 8 × 32 × 32 | over 150 |
//! | half of each row of 2048 × 128 | over 30 |
//! | the same rows back into zeros | 18 to 23 |
//! | 3 and 2 channels joined, 64 screens of 64 × 64 | over 75 |
//! | 512 × 512 transposed | 7 to 8 |
//! | 64 × 8 × 32 × 32 to channels last | 13 to 15 |
//! | sums scattered from 512 × 1024 to 512 × 4096 | 2 |
//!
//! Copies and fills move 60 to 100 GB/s, more than a copy beyond the caches in the same
//! run; instruction sets add nothing to them. Transpositions move 15 to 19: a tile goes
//! through its buffer an element at a time, which `transpose` does in registers, with
//! AVX-512 twice to four times as fast. Scattering keeps the order of its sums, so that
//! what is saved is the arithmetic of addresses alone. The story of gathering is in
//! `avx512`, that of whole rows in `rows`.

use super::{Element, Gathering, Strided};
use crate::Real;
use crate::parallel::{GRAIN, Shared, for_parts, prefetch};
use std::ops::Range;

/// Axes left after merging; a layout with more (there is none in practice)
/// goes to the scalar routine.
const AXES: usize = 12;
/// Edge of a transposition tile: one cache line of `f32`.
pub(super) const TILE: usize = 16;

/// Bytes of a row that fits into the first-level cache with what is picked of it.
const ROW: usize = 1 << 15;

/// One axis of a copy: its length and its stride on both sides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Axis {
    pub size: usize,
    pub from: isize,
    pub to: isize,
}

/// Copies a plane; the contract of [`transpose`].
pub(super) type Plane<T> = unsafe fn(Axis, Axis, *const T, *mut T);

/// A copy in its simplest form; see the text above.
#[derive(Clone, Copy)]
struct Plan {
    axes: [Axis; AXES],
    rank: usize,
}

/// Which side of a copy the layout describes; the other is contiguous.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    To,
}

impl Plan {
    /// The copy between `layout` and a contiguous tensor of the same sizes,
    /// none of which is 0. `None` if there are too many axes.
    fn new(layout: &Strided<'_>, side: Side) -> Option<Plan> {
        let mut plan = Plan { axes: [Axis::default(); AXES], rank: 0 };
        let mut contiguous = 1;
        // Innermost first, inserted in front of all axes of smaller or equal
        // written stride: the result is ordered from outermost to innermost.
        for (&size, &stride) in layout.sizes.iter().zip(layout.strides).rev() {
            if size == 1 {
                continue;
            }
            if plan.rank == AXES {
                return None;
            }
            let (from, to) = match side {
                Side::From => (stride, contiguous),
                Side::To => (contiguous, stride),
            };
            let larger = |axis: &Axis| axis.to.unsigned_abs() > to.unsigned_abs();
            let place = plan.axes[..plan.rank].iter().take_while(|axis| larger(axis)).count();
            plan.axes.copy_within(place..plan.rank, place + 1);
            plan.axes[place] = Axis { size, from, to };
            plan.rank += 1;
            contiguous *= size as isize;
        }
        plan.merge();
        Some(plan)
    }

    /// Merges neighbours that are one run on both sides.
    fn merge(&mut self) {
        let mut kept = 0;
        for i in 1..self.rank {
            let (outer, inner) = (self.axes[kept], self.axes[i]);
            let run = inner.size as isize;
            // Wrapping: a stride that overflows here is refused by `check`.
            if outer.from == inner.from.wrapping_mul(run) && outer.to == inner.to.wrapping_mul(run)
            {
                self.axes[kept] = Axis { size: outer.size * inner.size, ..inner };
            } else {
                kept += 1;
                self.axes[kept] = inner;
            }
        }
        self.rank = self.rank.min(kept + 1);
    }

    fn remove(&mut self, place: usize) -> Axis {
        let axis = self.axes[place];
        self.axes.copy_within(place + 1..self.rank, place);
        self.rank -= 1;
        axis
    }

    fn axes(&self) -> &[Axis] {
        &self.axes[..self.rank]
    }

    /// Whether no two elements can be written to one place: with the written
    /// strides descending, each exceeds what all axes inside it can span. This
    /// is sufficient, not necessary.
    fn writes_once(&self) -> bool {
        let mut span = 0;
        self.axes().iter().rev().all(|axis| {
            let stride = axis.to.unsigned_abs();
            let outside = stride > span;
            span += stride * (axis.size - 1);
            outside
        })
    }
}

/// Panics unless every address of `layout`, whose sizes are all positive, lies
/// in a slice of `len` elements.
fn check(layout: &Strided<'_>, len: usize) {
    assert_eq!(layout.sizes.len(), layout.strides.len(), "sizes and strides");
    let (mut low, mut high) = (layout.offset as isize, layout.offset as isize);
    for (&size, &stride) in layout.sizes.iter().zip(layout.strides) {
        // Saturated sums stay outside every slice.
        let reach = (size as isize - 1).saturating_mul(stride);
        low = low.saturating_add(reach.min(0));
        high = high.saturating_add(reach.max(0));
    }
    let inside = low >= 0 && high < len as isize;
    assert!(inside, "addresses {low}..={high} of {layout:?} in a slice of {len} elements");
}

pub(super) fn read<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T]) {
    read_by(layout, x, out, transpose);
}

pub(super) fn write<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T]) {
    write_by(layout, x, out, transpose);
}

/// Reads, with `plane` for transpositions, which this processor can run.
pub(super) fn read_by<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T], plane: Plane<T>) {
    assert_eq!(out.len(), layout.elements(), "length of the output");
    if out.is_empty() {
        return;
    }
    check(layout, x.len());
    let Some(plan) = Plan::new(layout, Side::From) else {
        return super::scalar::read(layout, x, out);
    };
    // SAFETY: reads lie in `x` by `check`; writes are contiguous from 0 and as
    // many as `out` is long, so they lie in it and differ.
    unsafe { copy(plan, x.as_ptr().wrapping_add(layout.offset), out.as_mut_ptr(), true, plane) }
}

/// Writes, with `plane` for transpositions, which this processor can run.
pub(super) fn write_by<T: Element>(layout: &Strided<'_>, x: &[T], out: &mut [T], plane: Plane<T>) {
    assert_eq!(x.len(), layout.elements(), "length of the input");
    if x.is_empty() {
        return;
    }
    check(layout, out.len());
    let Some(plan) = Plan::new(layout, Side::To) else {
        return super::scalar::write(layout, x, out);
    };
    let to = out.as_mut_ptr().wrapping_add(layout.offset);
    // SAFETY: writes lie in `out` by `check`; reads are contiguous from 0 and
    // as many as `x` is long. Threads are used only if no two writes coincide.
    unsafe { copy(plan, x.as_ptr(), to, plan.writes_once(), plane) }
}

/// Carries out `plan` from `from` to `to`, on several threads if `threads`.
///
/// # Safety
/// Every address of the plan is inside the slice its pointer was made from,
/// the slices do not overlap, and with `threads` no two elements are written
/// to the same place.
unsafe fn copy<T: Element>(
    mut plan: Plan,
    from: *const T,
    to: *mut T,
    threads: bool,
    plane: Plane<T>,
) {
    if plan.rank == 0 {
        // SAFETY: a single element, inside by the caller's promise.
        unsafe { *to = *from };
        return;
    }
    let run = plan.remove(plan.rank - 1);
    let across = plan.axes().iter().position(|axis| axis.from == 1);
    let transposes = run.to == 1 && run.from != 1 && run.from != 0;
    match across {
        Some(place) if transposes => {
            let across = plan.remove(place);
            // At least a tile, and enough of them for a worthwhile piece where
            // the run is short (three channels, say).
            let piece = TILE * (GRAIN / 8 / (TILE * run.size)).max(1);
            // SAFETY: the caller's promise; `for_pieces` hands out disjoint
            // pieces of `across`.
            unsafe {
                for_pieces(&plan, across, piece, run.size, from, to, threads, |from, to, len| {
                    plane(Axis { size: len, ..across }, run, from, to);
                });
            }
        }
        _ => {
            // SAFETY: as above, with pieces of the run itself.
            unsafe {
                for_pieces(&plan, run, GRAIN, 1, from, to, threads, |from, to, len| {
                    copy_run(Axis { size: len, ..run }, from, to);
                });
            }
        }
    }
}

/// Calls `body(from, to, length)` for every combination of the coordinates of
/// `outer` and a piece, at most `piece` long, of the axis `cut`. `cost` is the
/// number of elements behind each step along `cut`.
///
/// # Safety
/// As for [`copy`]: the pointers handed to `body` address one piece each.
unsafe fn for_pieces<T: Element>(
    outer: &Plan,
    cut: Axis,
    piece: usize,
    cost: usize,
    from: *const T,
    to: *mut T,
    threads: bool,
    body: impl Fn(*const T, *mut T, usize) + Sync,
) {
    let pieces = cut.size.div_ceil(piece);
    let units = pieces * outer.axes().iter().map(|axis| axis.size).product::<usize>();
    let unit_cost = piece.min(cut.size) * cost;
    let to = Shared::from_ptr(to);
    // Read only; wrapped to cross threads.
    let from = Shared::from_ptr(from.cast_mut());
    let part = |range: Range<usize>| {
        let mut walk = Walk::new(outer.axes(), range.start / pieces);
        let mut i = range.start % pieces;
        for _ in range {
            let start = i * piece;
            let source = from.get().wrapping_offset(walk.from + start as isize * cut.from);
            let target = to.get().wrapping_offset(walk.to + start as isize * cut.to);
            body(source, target, piece.min(cut.size - start));
            i += 1;
            if i == pieces {
                i = 0;
                walk.advance();
            }
        }
    };
    if threads {
        for_parts(units, GRAIN / unit_cost, part);
    } else {
        part(0..units);
    }
}

/// Coordinates counting up, the last axis fastest, with the offsets they
/// stand for on both sides.
struct Walk<'a> {
    axes: &'a [Axis],
    coordinates: [usize; AXES],
    from: isize,
    to: isize,
}

impl<'a> Walk<'a> {
    fn new(axes: &'a [Axis], mut flat: usize) -> Self {
        let mut walk = Walk { axes, coordinates: [0; AXES], from: 0, to: 0 };
        for (axis, coordinate) in axes.iter().zip(&mut walk.coordinates).rev() {
            *coordinate = flat % axis.size;
            flat /= axis.size;
            walk.from += *coordinate as isize * axis.from;
            walk.to += *coordinate as isize * axis.to;
        }
        walk
    }

    fn advance(&mut self) {
        for (axis, coordinate) in self.axes.iter().zip(&mut self.coordinates).rev() {
            *coordinate += 1;
            self.from += axis.from;
            self.to += axis.to;
            if *coordinate < axis.size {
                return;
            }
            *coordinate = 0;
            self.from -= axis.size as isize * axis.from;
            self.to -= axis.size as isize * axis.to;
        }
    }
}

/// Copies the elements of one axis.
///
/// # Safety
/// All `run.size` elements are inside the slices that the pointers come from,
/// which do not overlap.
#[inline]
unsafe fn copy_run<T: Element>(run: Axis, from: *const T, to: *mut T) {
    // SAFETY: the caller's promise covers every address below.
    unsafe {
        match (run.from, run.to) {
            (1, 1) => std::ptr::copy_nonoverlapping(from, to, run.size),
            (0, 1) => std::slice::from_raw_parts_mut(to, run.size).fill(*from),
            (stride, 1) => {
                for i in 0..run.size {
                    *to.add(i) = *from.offset(i as isize * stride);
                }
            }
            _ => {
                for i in 0..run.size as isize {
                    *to.offset(i * run.to) = *from.offset(i * run.from);
                }
            }
        }
    }
}

/// Copies the plane spanned by `across`, consecutive where it is read, and
/// `run`, consecutive where it is written, tile by tile.
///
/// # Safety
/// As for [`copy_run`], for all elements of the plane.
pub(super) unsafe fn transpose<T: Element>(across: Axis, run: Axis, from: *const T, to: *mut T) {
    let mut buffer = [T::zeroed(); TILE * TILE];
    for first_row in (0..across.size).step_by(TILE) {
        let rows = TILE.min(across.size - first_row);
        for first in (0..run.size).step_by(TILE) {
            let columns = TILE.min(run.size - first);
            for column in 0..columns {
                let at = (first + column) as isize * run.from + first_row as isize;
                // SAFETY: `rows` elements consecutive along `across`, inside by
                // the caller's promise.
                let line = unsafe { std::slice::from_raw_parts(from.offset(at), rows) };
                for (row, &value) in line.iter().enumerate() {
                    buffer[row * TILE + column] = value;
                }
            }
            for row in 0..rows {
                let at = (first_row + row) as isize * across.to + first as isize;
                // SAFETY: `columns` elements consecutive along `run`, inside by
                // the caller's promise and written by this call alone.
                let line = unsafe { std::slice::from_raw_parts_mut(to.offset(at), columns) };
                line.copy_from_slice(&buffer[row * TILE..][..columns]);
            }
        }
    }
}

pub(super) fn gather<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    gather_or(shape, x, index, T::nan(), out);
}

/// Gathers, with `outside` where an index is.
pub(super) fn gather_or<T: Element>(
    shape: &Gathering,
    x: &[T],
    index: &[i32],
    outside: T,
    out: &mut [T],
) {
    shape.check(x.len(), index.len(), out.len());
    if out.is_empty() {
        return;
    }
    let Gathering { outer, source, picks, inner } = *shape;
    // Rows are pieces of the indexed axis of one outer index: so many that a
    // row is worth a loop without divisions, and no border depends on threads.
    let row = (GRAIN / inner).clamp(1, picks);
    let rows = picks.div_ceil(row);
    let target = Shared::new(out);
    for_parts(outer * rows, GRAIN / (row * inner), |range| {
        for unit in range {
            let (o, first) = (unit / rows, unit % rows * row);
            let from = &x[o * source * inner..][..source * inner];
            let start = (o * picks + first) * inner;
            let end = (o * picks + (first + row).min(picks)) * inner;
            // SAFETY: rows of different units do not overlap and lie in `out`.
            let to = unsafe { target.part(start..end) };
            if inner == 1 {
                ask_all(from, to.len());
                for (value, &pick) in to.iter_mut().zip(&index[start..end]) {
                    *value = from.get(pick as usize).copied().unwrap_or(outside);
                }
            } else {
                let lines = to.chunks_exact_mut(inner).zip(index[start..end].chunks_exact(inner));
                for (values, picks) in lines {
                    for (i, (value, &pick)) in values.iter_mut().zip(picks).enumerate() {
                        let pick = pick as usize;
                        *value = if pick < source { from[pick * inner + i] } else { outside };
                    }
                }
            }
        }
    });
}

/// Asks for all of a row of which so many elements are picked, if that is less work than
/// to wait for its lines in the order of the picks (see `avx512`).
pub(super) fn ask_all<T>(row: &[T], picks: usize) {
    if size_of_val(row) <= ROW && picks >= row.len() / 16 {
        prefetch(row.as_ptr().cast(), size_of_val(row));
    }
}

/// Parallel over the outer axis only: inside it every sum keeps its order.
pub(super) fn scatter_add<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    shape.check(out.len(), index.len(), x.len());
    let Gathering { outer, source, picks, inner } = *shape;
    let (written, read) = (source * inner, picks * inner);
    let target = Shared::new(out);
    for_parts(outer, GRAIN / (written + read).max(1), |range| {
        for o in range {
            // SAFETY: the parts of different outer indices do not overlap and
            // lie in `out`.
            let to = unsafe { target.part(o * written..(o + 1) * written) };
            to.fill(T::zero());
            let lines = x[o * read..][..read].chunks_exact(inner.max(1));
            let picks = index[o * read..][..read].chunks_exact(inner.max(1));
            for (values, picks) in lines.zip(picks) {
                for (i, (&value, &pick)) in values.iter().zip(picks).enumerate() {
                    let pick = pick as usize;
                    if pick < source {
                        to[pick * inner + i] += value;
                    }
                }
            }
        }
    });
}
