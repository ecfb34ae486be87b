//! Pairs of stored values, for the instruction that multiplies two at once.

use crate::parallel::{GRAIN, Shared, for_parts};

/// A pair as the bits of an `f32`, which is moved and never computed with.
#[inline]
pub(crate) fn pair(low: u16, high: u16) -> f32 {
    f32::from_bits(u32::from(low) | u32::from(high) << 16)
}

/// How many pairs there are of so many stacks of so many planes of so many values.
pub(crate) fn pairs_of([stacks, planes, length]: [usize; 3]) -> usize {
    stacks * planes.div_ceil(2) * length
}

/// Puts each two planes of a stack together, value by value; a plane without a
/// partner gets zeros.
pub(crate) fn pair_planes(values: &[u16], sizes: [usize; 3], to: &mut [f32]) {
    let [stacks, planes, length] = sizes;
    assert_eq!(values.len(), stacks * planes * length, "length of the planes");
    assert!(to.len() >= pairs_of(sizes), "length of the pairs");
    let pairs = planes.div_ceil(2);
    let target = Shared::new(to);
    // Pieces of planes, so that few long ones are dealt out too.
    let piece = length.clamp(1, GRAIN);
    let pieces = length.div_ceil(piece);
    for_parts(stacks * pairs * pieces, (GRAIN / piece).max(1), |range| {
        for index in range {
            let (line, from) = (index / pieces, index % pieces * piece);
            let until = (from + piece).min(length);
            let (stack, first) = (line / pairs, line % pairs * 2);
            let plane = |plane: usize| {
                let start = (stack * planes + plane) * length;
                &values[start + from..start + until]
            };
            // SAFETY: pieces are disjoint, and there is room for all.
            let to = unsafe { target.part(line * length + from..line * length + until) };
            let low = plane(first);
            match first + 1 < planes {
                true => {
                    let both = low.iter().zip(plane(first + 1));
                    to.iter_mut().zip(both).for_each(|(to, (low, high))| *to = pair(*low, *high));
                }
                false => to.iter_mut().zip(low).for_each(|(to, low)| *to = pair(*low, 0)),
            }
        }
    });
}
