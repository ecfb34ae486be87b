//! Picking and folding whole rows: one index serves all elements of a row, so a
//! row moves as a block and arithmetic runs over vectors.

use super::Gathering;
use crate::Real;
use crate::elementwise::scalar::{BinaryRule, Maximum};
use crate::parallel::{GRAIN, Shared, for_parts};

pub(super) fn index_select<T: Real>(
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
            for (row, &pick) in to.chunks_exact_mut(inner).zip(picked) {
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
/// the indices send to it.
///
/// Parallel over the outer axis and over ranges of the rows written: whoever
/// owns a range looks through all indices in ascending order, so every element
/// takes its values in that order. Looking costs little beside folding where
/// rows are long, and short rows are not cut.
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
    let work = (source + picks) * inner;
    let ranges = (work / GRAIN).min(inner / 8).clamp(1, source);
    let length = source.div_ceil(ranges);
    let target = Shared::new(out);
    for_parts(outer * ranges, GRAIN / work.div_ceil(ranges), |parts| {
        for unit in parts {
            let (o, first) = (unit / ranges, (unit % ranges * length).min(source));
            let last = (first + length).min(source);
            // SAFETY: ranges of different units do not overlap and lie in `out`.
            let to =
                unsafe { target.part((o * source + first) * inner..(o * source + last) * inner) };
            to.fill(start);
            let rows = x[o * picks * inner..][..picks * inner].chunks_exact(inner);
            for (row, &pick) in rows.zip(index) {
                let pick = pick as usize;
                if (first..last).contains(&pick) {
                    let totals = &mut to[(pick - first) * inner..][..inner];
                    for (total, &value) in totals.iter_mut().zip(row) {
                        *total = next(*total, value);
                    }
                }
            }
        }
    });
}
