//! Picking and folding whole rows: one index serves all elements of a row, so a
//! row moves as a block and arithmetic runs over vectors.
//!
//! Reference: row after row. Rows that lie in a cache are moved as fast as memory is;
//! those here and there in memory are waited for one after the other, for the processor
//! does not see the next one coming. So the rows of the next few indices are asked for
//! while one is moved: 16384 of 65536 rows of 256 floats took 2.0 times as long without
//! on one thread of a two-core AVX-512 server (Zen 5), 3.4 times on two, where it is as
//! fast as a copy now.
//!
//! A fold walks through what is folded once, in the order of memory, and asks for the
//! rows it is added to. It was split over ranges of those rows, up to 64, each of which
//! looked through all indices: then each reads rows here and there, and memory answers
//! much later than it would. On one thread, in a program of these loops alone, beside a
//! copy of what is folded, in µs:
//!
//! | rows to rows | copy | ranges | one walk | asking |
//! |---|---|---|---|---|
//! | 16384 to 1024, of 512 | 1458 | 6812 | 1334 | 1187 |
//! | 65536 to 16384, of 256 | 3082 | 18797 | 3975 | 3098 |
//! | 65536 to 1024, of 64 | 616 | 2176 | 782 | 514 |
//! | 65536 to 65536, of 64 | 544 | 4114 | 1528 | 1113 |
//! | 4096 to 1024, of 64 | 16 | 91 | 27 | 30 |
//!
//! What did not help: at most 16 ranges whose picks are found some hundred at a time,
//! without a branch, so that their rows can be asked for too: 4353, 10534, 1715, 3634 and
//! 98. Nor ranges of columns for two threads, the best of 2, 4 and 8: 1216, 4167, 454,
//! 1267 and 59: one thread walking in order takes what memory gives.

use super::{Element, Gathering};
use crate::Real;
use crate::elementwise::scalar::{BinaryRule, Maximum};
use crate::parallel::{GRAIN, Shared, for_parts, prefetch};

/// Bytes of rows that are asked for ahead, ...
const AHEAD: usize = 1 << 13;
/// ... in no more than so many rows, ...
const ROWS_AHEAD: usize = 16;
/// ... and of each no more than this: the processor sees the rest coming.
const START: usize = 1 << 10;
/// Most bytes of rows that stay in a second-level cache.
const NEAR: usize = 1 << 19;

/// How many rows of so many bytes are asked for ahead.
fn ahead(row: usize) -> usize {
    (AHEAD / row.max(1)).clamp(2, ROWS_AHEAD)
}

/// Asks for the start of a row.
fn ask<T>(row: &[T]) {
    prefetch(row.as_ptr().cast(), size_of_val(row).min(START));
}

pub(super) fn index_select<T: Element>(
    shape: &Gathering,
    x: &[T],
    index: &[i32],
    outside: T,
    out: &mut [T],
) {
    shape.check_rows(x.len(), index.len(), out.len());
    if out.is_empty() {
        return;
    }
    let Gathering { outer, source, picks, inner } = *shape;
    // Runs of rows of one outer index, long enough to be worth a loop.
    let run = (GRAIN / inner).clamp(1, picks);
    let runs = picks.div_ceil(run);
    let steps = ahead(inner * size_of::<T>());
    let target = Shared::new(out);
    for_parts(outer * runs, GRAIN / (run * inner), |range| {
        for unit in range {
            let (o, first) = (unit / runs, unit % runs * run);
            let last = (first + run).min(picks);
            let from = &x[o * source * inner..][..source * inner];
            // SAFETY: runs of different units do not overlap and lie in `out`.
            let to =
                unsafe { target.part((o * picks + first) * inner..(o * picks + last) * inner) };
            let picked = &index[first..last];
            if inner == 1 {
                for (value, &pick) in to.iter_mut().zip(picked) {
                    *value = from.get(pick as usize).copied().unwrap_or(outside);
                }
                continue;
            }
            for (at, (row, &pick)) in to.chunks_exact_mut(inner).zip(picked).enumerate() {
                if let Some(&next) = index[first..].get(at + steps)
                    && (next as usize) < source
                {
                    ask(&from[next as usize * inner..][..inner]);
                }
                let pick = pick as usize;
                if pick < source {
                    row.copy_from_slice(&from[pick * inner..][..inner]);
                } else {
                    row.fill(outside);
                }
            }
        }
    });
}

pub(super) fn index_add<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    fold(shape, x, index, out, T::zero(), |sum, value| sum + value);
}

pub(super) fn segment_max<T: Real>(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]) {
    fold(shape, x, index, out, T::neg_infinity(), Maximum::value);
}

/// `out` set to `start`, then each of its elements folded with the values that
/// the indices send to it, in ascending order.
///
/// Parallel over the outer axis only.
fn fold<T: Real>(
    shape: &Gathering,
    x: &[T],
    index: &[i32],
    out: &mut [T],
    start: T,
    next: impl Fn(T, T) -> T + Send + Sync,
) {
    shape.check_rows(out.len(), index.len(), x.len());
    if out.is_empty() {
        return;
    }
    let Gathering { outer, source, picks, inner } = *shape;
    let steps = ahead(inner * size_of::<T>());
    let target = Shared::new(out);
    for_parts(outer, GRAIN / ((source + picks) * inner), |range| {
        for o in range {
            // SAFETY: the parts of different outer indices do not overlap and lie in
            // `out`.
            let to = unsafe { target.part(o * source * inner..(o + 1) * source * inner) };
            to.fill(start);
            let far = size_of_val(to) > NEAR;
            let rows = x[o * picks * inner..][..picks * inner].chunks_exact(inner);
            for (at, (row, &pick)) in rows.zip(index).enumerate() {
                if far
                    && let Some(&later) = index.get(at + steps)
                    && (later as usize) < source
                {
                    ask(&to[later as usize * inner..][..inner]);
                }
                let pick = pick as usize;
                if pick < source {
                    let totals = &mut to[pick * inner..][..inner];
                    for (total, &value) in totals.iter_mut().zip(row) {
                        *total = next(*total, value);
                    }
                }
            }
        }
    });
}
