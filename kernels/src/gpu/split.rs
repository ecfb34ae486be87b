//! Products with few tiles and long sums: the sums are cut, and the parts' results
//! added afterwards, in order.

use super::call::{Calls, MOST_GROUPS, Operand};
use crate::reduce::gpu::joined;

/// Workgroups that keep a large GPU busy: a weight gradient has a few tiles only, so
/// its sum is cut until there are as many.
pub(crate) const BUSY_GROUPS: usize = 256;
/// Invocations that do, where each works for itself.
pub(crate) const BUSY_LANES: usize = 1 << 16;
/// The longest part of a sum for which cutting does not pay.
const SHORTEST: usize = 256;

/// The longest part, for it takes an invocation some two rounds of its loops a term; see
/// [`MOST_ROUNDS`](super::MOST_ROUNDS).
const LONGEST: usize = 1 << 14;
/// Bytes that the parts' results have at most where a sum is cut for its length alone:
/// what every device can bind.
const ROOM: usize = 1 << 27;

/// A sum in parts.
pub(crate) struct Split {
    /// How many.
    pub parts: usize,
    /// Terms of each but the last, which may have fewer.
    pub share: usize,
}

impl Split {
    /// A sum of `length` terms that is not cut; `step` terms are taken at a time.
    pub fn none(length: usize, step: usize) -> Self {
        Split { parts: 1, share: length.next_multiple_of(step).max(step) }
    }

    /// A sum of `length` terms in a product of `tiles` tiles and `outputs` values, cut if
    /// it is long and they are few, or if it is very long.
    pub fn new(length: usize, step: usize, tiles: usize, outputs: usize) -> Self {
        let few = BUSY_GROUPS.div_ceil(tiles.max(1)).min(length.div_ceil(SHORTEST));
        let room = ROOM / (4 * outputs).max(1);
        let long = length.div_ceil(LONGEST).min(room).min(MOST_GROUPS);
        let wanted = few.max(long).max(1);
        let share = length.div_ceil(wanted).next_multiple_of(step).max(step);
        // Rounding may leave nothing for the last ones.
        Split { parts: length.div_ceil(share).max(1), share }
    }

    /// A sum of `length` terms for `outputs` values that there are enough of; cut only if
    /// it is very long.
    pub fn long(length: usize, step: usize, outputs: usize) -> Self {
        Split::new(length, step, BUSY_GROUPS, outputs)
    }

    /// Rounds of loops for a part: a round for each of the `step` terms that are in
    /// workgroup memory at a time, and as many for copying them there, at worst half as
    /// many again.
    pub fn rounds(&self, step: usize) -> usize {
        self.share.div_ceil(step.max(1)) * (5 * step / 2) + 32
    }

    /// Where the product writes: the parts one behind the other, or the output.
    pub fn target(&self) -> Operand {
        if self.parts > 1 { Operand::Scratch(0) } else { Operand::Output }
    }

    /// Behind the product in `calls`, what adds the parts of its `outputs` values.
    pub fn finish(&self, calls: &mut Calls, outputs: usize) -> Result<(), String> {
        if self.parts > 1 {
            calls.scratch.push(4 * self.parts * outputs);
            let operands = [Operand::Scratch(0), Operand::Output];
            calls.calls.extend(joined([1, self.parts, outputs], false, operands, 0)?.calls);
        }
        Ok(())
    }
}

/// The rows of a tile of `area` elements for a result of `m` rows and `n` columns: those
/// with which the least of the tiles lies beyond the edges, a square where it is equal.
pub(crate) fn tile_rows(m: usize, n: usize, area: usize) -> usize {
    let beyond = |rows: &usize| {
        let columns = area / rows;
        m.next_multiple_of(*rows) * n.next_multiple_of(columns)
    };
    [64, 32, 128].into_iter().min_by_key(beyond).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::MOST_ROUNDS;

    #[test]
    fn a_tile_fits_few_rows_or_columns() {
        assert_eq!(tile_rows(256, 256, 4096), 64);
        assert_eq!(tile_rows(32, 4096, 4096), 32);
        assert_eq!(tile_rows(4096, 27, 4096), 128);
        assert_eq!(tile_rows(96, 1024, 4096), 32);
        assert_eq!(tile_rows(0, 0, 4096), 64);
    }

    #[test]
    fn parts_cover_the_sum_and_none_is_empty() {
        for length in [0, 1, 15, 16, 255, 256, 257, 511, 4097, 65_536, 100_003] {
            for tiles in [0, 1, 3, 255, 256, 1000] {
                let Split { parts, share } = Split::new(length, 16, tiles, tiles * 4096);
                assert!(share > 0 && share % 16 == 0, "{length} {tiles}");
                assert!(parts * share >= length, "{length} {tiles}");
                assert!(parts == 1 || (parts - 1) * share < length, "{length} {tiles}");
                assert!(
                    tiles < BUSY_GROUPS || parts <= length.div_ceil(LONGEST).max(1),
                    "{length} {tiles}"
                );
                assert!(share <= LONGEST + 16, "{length} {tiles}");
            }
            assert_eq!(Split::none(length, 16).parts, 1);
            assert!(Split::none(length, 16).share >= length);
        }
        // A gradient of all places of many images; results too large to have many of.
        assert_eq!(Split::new(256 << 14, 16, 256, 1 << 16).parts, 256);
        assert_eq!(Split::new(256 << 14, 16, 1 << 14, 1 << 26).parts, 1);
        assert_eq!(Split::long(LONGEST, 16, 1).parts, 1);
        assert_eq!(Split::long(LONGEST + 1, 16, 1).parts, 2);
        for (length, most) in [(LONGEST, true), (1 << 16, false)] {
            let rounds = Split::none(length, 16).rounds(16);
            assert_eq!(rounds <= MOST_ROUNDS, most, "{length}");
        }
    }
}
