//! How the driver `packed` cuts a product: into parts for the threads, and each
//! part into blocks for the caches.
//!
//! # What was measured
//! AVX-512, one thread, on a two-core AVX-512 server (Zen 5), the best of
//! repeated calls as a share of the peak of multiply-adds measured in the same
//! process. Sizes are rows × columns × depth.
//! * The tile alone on packed panels reaches 97 % whatever its depth (128 to
//!   2048) and in either order of the two loops over tiles; 91 % where the block
//!   of `left` is 2 MiB, twice the second-level cache. So what is to be won is
//!   in the copying.
//! * Parts that each packed their own rows and columns: 71 % for 1024 × 1024 ×
//!   1024. `left` packed once by all, `right` once a block of rows: 79 %, and
//!   with rows dealt out to panels 8 steps at a time (see `avx512`) 85 %.
//!   `right` packed once too, for all blocks of rows: 89 %.
//! * Depth of a block, at 2048 × 2048 × 2048: 512: 80 %, 1024: 87 %, 2048: the
//!   same. Deeper blocks touch the result less often.
//! * Rows of a block there: 56 to 140 the same, 252: 84 %, 378: 82 %.
//! * `right` in place: 32 × 512 × 512 from 70 to 90 %, 64 × 512 × 512 from 75
//!   to 84 % (256 steps a block) and 88 % (512), 112 × 1024 × 512 from 86 to
//!   93 %; but 64 × 4096 × 1024 from 63 to 60 % and 256 × 512 × 512 from 82 to
//!   75 %, since rows far apart share few sets of the caches.
//! * Reading 1 × 4096 × 4096 in blocks of 16 rows: 4.0 ms, of 64: 5.5 ms, of
//!   256: 5.9 ms.
//! * No gain: asking for the lines of the result before a tile, for the lines
//!   ahead while packing.
//!
//! Two threads, the median of interleaved rounds, where other work on the same
//! chip takes its share of the third-level cache:
//! * Threads met after the packing and after the columns of each of ten blocks
//!   of rows: 1024 × 1024 × 1024 at 76 to 82 %, 64 × 512 × 512 at 58 % at worst.
//!   Blocks of rows dealt out to threads, which pack them and help each other
//!   with their columns: 81 to 84 %, and 73 %.
//! * All of `left` packed before anything is multiplied, by all threads together:
//!   no better on two threads (75 %), and on one 83 instead of 87 %, since each
//!   block comes back from the third-level cache.
//! * Asking for the next panel of `right` while one is multiplied, a line every
//!   four steps: 256 × 12288 × 512, whose panels are read from memory, from 59 to
//!   63 % on two threads and from 73 to 76 % on one; nothing elsewhere.
//! * What that cost: 1 × 4096 × 4096 and 8 × 4096 × 4096, which are read from memory
//!   in place, take 1.2 and 1.1 times as long as before on one thread, 3.4 and 4.1
//!   ms then. Neither the asking ahead nor divisions in the loop over tiles are the
//!   cause; what is, is not known. Asking for what is 1 KiB further on in each row
//!   made it 1.8 times as slow on two threads, which have 2 KiB of a row each.
//! * At 256 × 12288 × 512, 256 rows of 512 steps as one block of rows, so that
//!   `right` is packed a panel at a time and used at once: 75 %; as two blocks,
//!   with all of `right` packed before: 63 %.
//! * Blocks of rows were as long as the cache allows and the last one was what was
//!   left: 256 rows at a depth of 1024 were 98, 98 and 60, of which one of two threads
//!   has 158. That was most of what two threads lost. There is an even number of equal
//!   blocks now, cut into parts of columns where they are few, for threads that run a
//!   program (`team`) do not help each other within a part.

use super::MatmulShape;
use super::packed::{PackJob, Tile};
use crate::parallel::GRAIN;
use std::ops::Range;

/// Most depth steps of a block.
const DEPTH: usize = 1024;
/// Most elements of `left` that meet columns together: 512 KiB of a second-level
/// cache.
const LEFT: usize = 1 << 17;
/// Most elements of a block of rows of the result, where it is to stay in that
/// cache: 256 KiB.
const RESULT: usize = 1 << 16;
/// Blocks of rows whose panels there is room for together: so many, ...
const SLOTS: usize = 16;
/// ... or more of small ones, up to 8 MiB of a third-level cache ...
const SLOT_ELEMENTS: usize = 1 << 21;
/// ... and no more than these.
pub(super) const MOST_SLOTS: usize = 64;
/// Units of work that blocks of rows are cut into by their columns if they are
/// fewer, and most of one block: the last ones even out what threads have done.
const UNITS: usize = 16;
const MOST_OF_ROWS: usize = 4;
/// Elements packed at a time: what is worth a part of its own ...
pub(super) const PACKED: usize = 1 << 14;
/// ... and lanes, where they lie side by side in memory, which is better read in
/// long runs.
pub(super) const PACKED_LANES: usize = 256;
/// Most elements of panels of `right` that are kept while all blocks of rows
/// pass by: 8 MiB of a third-level cache.
const KEPT: usize = 1 << 21;
/// Most panels of `right`, and their elements, that are packed together where
/// they are not kept: 256 KiB of a second-level cache. What is read of a row of
/// memory at a time is so many times two vectors.
const PANELS: usize = 4;
const PANEL_ELEMENTS: usize = 1 << 16;
/// Fewest steps of depth for a part, where there are fewer panels of columns than
/// parts. 64 × 64 × 12288 as two panels dealt out to two threads, which meet after
/// each of twelve blocks of depth, takes 970 µs, 590 on one; as parts of depth 310
/// and 530.
const SHORTEST: usize = 512;
/// Most parts.
const PARTS: usize = 8;
/// Multiplications that are worth a part of their own: some microseconds.
const PART_WORK: usize = 16 * GRAIN;
/// Tiles of rows up to which `right` is read in place, ...
const IN_PLACE: usize = 8;
/// ... if it has no more elements than this over the number of tiles, ...
const IN_PLACE_ELEMENTS: usize = 3 << 21;
/// ... in blocks of so many steps.
const IN_PLACE_DEPTH: usize = 512;
/// Steps of a block where what is read from memory is packed a few rows at a time.
const WIDE_DEPTH: usize = 32;
/// Where there is one tile of rows and `right` is large, memory is the limit.
/// Then as many rows of it are read side by side as the memory likes.
const STREAMED: usize = 1 << 19;
/// Where a taker wants what is finished of a product of one block of depth: most
/// elements of the panels of `right` that meet all rows before the next columns,
/// 1 MiB of a cache, ...
const HANDED_RIGHT: usize = 1 << 18;
/// ... most and fewest columns that makes, ...
const HANDED_COLUMNS: usize = 1 << 10;
const FEWEST_HANDED: usize = 1 << 8;
/// ... and most elements handed over at a time: 128 KiB of the second-level cache, on
/// the stack.
pub(super) const HANDED: usize = 1 << 15;
/// Fewest elements of such a product: what is smaller stays in a cache anyway.
const PASSED: usize = 1 << 18;
/// Floats in a cache line; buffers start at a line.
pub(super) const LINE: usize = 16;

/// Where an operand's values lie.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub lane_step: usize,
    pub depth_step: usize,
    pub batch_step: usize,
}

impl Operand {
    pub(super) fn at(self, batch: usize, lane: usize, depth: usize) -> usize {
        batch * self.batch_step + lane * self.lane_step + depth * self.depth_step
    }

    /// The job of packing a block, without its target.
    pub(super) fn pack_job<V>(
        self,
        operand: &[V],
        batch: usize,
        lanes: Range<usize>,
        depths: Range<usize>,
        width: usize,
    ) -> PackJob<V> {
        PackJob {
            source: operand[self.at(batch, lanes.start, depths.start)..].as_ptr(),
            lane_step: self.lane_step,
            depth_step: self.depth_step,
            lanes: lanes.len(),
            depth: depths.len(),
            width,
            panels: std::ptr::null_mut(),
        }
    }
}

/// An axis cut into equal pieces, the last one shorter.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub total: usize,
    pub piece: usize,
    pub pieces: usize,
}

impl Cut {
    /// At most `pieces` pieces, each a multiple of `multiple` long.
    pub(super) fn new(total: usize, pieces: usize, multiple: usize) -> Self {
        let piece = total.div_ceil(pieces.max(1)).next_multiple_of(multiple).max(1);
        Cut { total, piece, pieces: total.div_ceil(piece).max(1) }
    }

    /// Pieces of at most `most`, each a multiple of `multiple` long.
    pub(super) fn at_most(total: usize, most: usize, multiple: usize) -> Self {
        Self::new(total, total.div_ceil(most), multiple)
    }

    pub(super) fn range(self, index: usize) -> Range<usize> {
        index * self.piece..((index + 1) * self.piece).min(self.total)
    }
}

/// How a shape is computed; a function of the shape and the instruction set.
pub(super) struct Plan {
    /// Computed transposed: `left` is B.
    pub swapped: bool,
    pub left: Operand,
    pub right: Operand,
    /// Elements between rows and between columns of the result.
    pub out_steps: [usize; 2],
    /// Elements of one product, and of all.
    pub out_size: usize,
    pub out_total: usize,
    /// Blocks of rows.
    pub rows: Cut,
    /// The parts along each axis.
    pub batch: Cut,
    pub depth: Cut,
    /// Blocks of columns, and into how many parts each is cut.
    pub columns: Cut,
    pub column_parts: usize,
    /// Whether a block's panels of `right` are kept while all blocks of rows
    /// pass by; else there is one block of rows, and few panels at a time.
    pub kept: bool,
    /// Blocks of rows that have panels of their own.
    pub slots: usize,
    /// Rows that are handed over together with `group` columns, where what is
    /// finished goes to a taker at once.
    pub handed: Option<usize>,
    /// Columns whose panels are in a part's block of `right` at a time.
    pub group: usize,
    /// Rows of a register tile.
    pub tile_rows: usize,
    pub block_depth: usize,
    /// Elements of the panels of a block of rows, and of all such panels.
    pub left_block: usize,
    pub left_panels: usize,
    /// Elements of a part's panels of `right` where they are not kept.
    pub right_block: usize,
    /// Elements of all panels of `right`.
    pub right_panels: usize,
    /// Whether `left`, and whole vectors of `right`, are read where they are.
    pub left_in_place: bool,
    pub right_in_place: bool,
}

impl Plan {
    /// The plan of a shape, where a taker is told of parts that are finished, or
    /// without one.
    pub(super) fn new<T: Tile>(shape: &MatmulShape, taken: bool) -> Self {
        let MatmulShape { mut batch, mut m, n, k, .. } = *shape;
        // One matrix B for a stack of matrices A without gaps: a taller A.
        if shape.b_stride == 0 && !shape.transpose_a && shape.a_stride == m * k {
            m *= batch;
            batch = 1;
        }
        let [a_row, a_column] = shape.a_steps();
        let [b_row, b_column] = shape.b_steps();
        let a = Operand { lane_step: a_row, depth_step: a_column, batch_step: shape.a_stride };
        let b = Operand { lane_step: b_column, depth_step: b_row, batch_step: shape.b_stride };
        // Transposing makes the stores slow, hence a margin.
        let padded = |rows: usize, columns: usize| rows * columns.next_multiple_of(T::LANES);
        let swapped = padded(n, m) * 3 < padded(m, n) * 2;
        let (left, right, rows, columns, out_steps) =
            if swapped { (b, a, n, m, [1, n]) } else { (a, b, m, n, [n, 1]) };

        let tile_rows = Cut::at_most(rows, T::ROWS, 1).piece;
        let tiles = rows.div_ceil(tile_rows);
        let streamed = tiles == 1 && columns * k > STREAMED;
        let [batch_parts, column_parts, depth_parts] =
            split(parts(batch * m * n * k), batch, [rows, columns.div_ceil(T::WIDTH), k]);
        let depth = Cut::new(k, depth_parts, 1);
        let passing = (taken && !swapped && depth.pieces == 1)
            .then(|| passing_columns(rows, columns, k, T::WIDTH))
            .flatten();
        let right_in_place = T::IN_PLACE
            && passing.is_none()
            && right.lane_step == 1
            && (tiles == 1 || tiles <= IN_PLACE && tiles * columns * k <= IN_PLACE_ELEMENTS);
        // Where what is streamed has to be packed, long pieces of its rows are.
        let wide = streamed && !right_in_place && right.lane_step == 1 && passing.is_none();
        let most_depth = match (right_in_place, streamed) {
            (false, _) if wide => WIDE_DEPTH,
            (true, true) if rows <= 8 => 16,
            (true, true) => 32,
            (true, false) => IN_PLACE_DEPTH,
            (false, _) => DEPTH,
        };
        let block_depth = Cut::at_most(depth.piece, most_depth, 1).piece;
        // Where the panels of `right` stay in the second-level cache, so do the
        // results of a block of rows.
        let most_rows = match columns * block_depth <= LEFT && !right_in_place {
            true => (LEFT / block_depth.max(1)).min((RESULT / columns.max(1)).max(8 * tile_rows)),
            false => LEFT / block_depth.max(1),
        };
        let row_blocks = match most_rows.max(1) {
            most if rows <= most || passing.is_some() => Cut::new(rows, 1, 1),
            // An even number: two threads have as much to do.
            most => Cut::new(rows, rows.div_ceil(most).next_multiple_of(2), 1),
        };
        // Panels of one block of rows only need not be kept: see `Block::run_rows`.
        debug_assert!(!right_in_place || row_blocks.pieces == 1, "panels of a `right` in place");
        let tile_rows = Cut::at_most(row_blocks.piece, T::ROWS, 1).piece;
        let kept = row_blocks.pieces > 1 && !right_in_place;
        let most_columns = if kept { KEPT / block_depth.max(1) } else { usize::MAX };
        let columns = Cut::at_most(columns, most_columns, T::WIDTH);
        let column_parts = match kept {
            true => {
                let work = row_blocks.piece * columns.piece * block_depth;
                let wanted = UNITS.div_ceil(row_blocks.pieces).min(work / PART_WORK);
                wanted.clamp(1, MOST_OF_ROWS)
            }
            false => column_parts,
        };
        let part = Cut::new(columns.piece, column_parts, T::WIDTH);
        let group = match passing {
            _ if kept => part.piece,
            Some(most) => Cut::at_most(part.piece, most, T::WIDTH).piece,
            None if wide => Cut::at_most(part.piece, PANEL_ELEMENTS / WIDE_DEPTH, T::WIDTH).piece,
            None => {
                let panels = PANEL_ELEMENTS / (T::WIDTH * block_depth.max(1));
                part.piece.min(T::WIDTH * panels.clamp(1, PANELS))
            }
        };
        let handed = passing.map(|_| (HANDED / group / tile_rows).max(1) * tile_rows);
        let whole_tiles = row_blocks.piece.next_multiple_of(tile_rows);
        let left_block = (whole_tiles * block_depth).next_multiple_of(LINE);
        let right_block = (group.next_multiple_of(T::WIDTH) * block_depth).next_multiple_of(LINE);
        let most_slots = (SLOT_ELEMENTS / left_block.max(1)).clamp(SLOTS, MOST_SLOTS);
        let slots = row_blocks.pieces.min(most_slots);
        // Every value is used for a panel or two: not worth a copy.
        let left_in_place = T::IN_PLACE && left.lane_step == 1 && columns.total <= 2 * T::WIDTH;
        Plan {
            swapped,
            left,
            right,
            out_steps,
            out_size: m * n,
            out_total: batch * m * n,
            rows: row_blocks,
            batch: Cut::new(batch, batch_parts, 1),
            columns,
            column_parts: part.pieces,
            kept,
            slots,
            handed,
            depth,
            tile_rows,
            block_depth,
            left_block,
            left_panels: if left_in_place { 0 } else { slots * left_block },
            group,
            right_block,
            right_panels: match kept {
                true => columns.piece.next_multiple_of(T::WIDTH) * block_depth,
                false => part.pieces * right_block,
            },
            left_in_place,
            right_in_place,
        }
    }

    /// Parts with buffers of their own.
    pub(super) fn parts(&self) -> usize {
        self.batch.pieces * self.depth.pieces
    }

    /// Where an element of the result lies.
    pub(super) fn out_at(&self, batch: usize, row: usize, column: usize) -> usize {
        batch * self.out_size + row * self.out_steps[0] + column * self.out_steps[1]
    }

    /// Elements of the sums of all parts of depth but the first.
    pub(super) fn partial_sums(&self) -> usize {
        ((self.depth.pieces - 1) * self.out_total).next_multiple_of(LINE)
    }

    /// Elements of the buffers of a part.
    pub(super) fn buffer(&self) -> usize {
        self.left_panels + self.right_panels.next_multiple_of(LINE)
    }

    pub(super) fn scratch(&self) -> usize {
        LINE + self.partial_sums() + self.parts() * self.buffer()
    }
}

/// How many parts so many multiplications are worth.
pub(crate) fn parts(multiplications: usize) -> usize {
    (multiplications / PART_WORK).clamp(1, PARTS)
}

/// How many columns meet all rows before the next ones, where a product of so many
/// rows, columns and steps goes to a taker bit by bit; `None` where it does not.
fn passing_columns(rows: usize, columns: usize, depth: usize, width: usize) -> Option<usize> {
    let most = (HANDED_RIGHT / depth.max(1)).min(HANDED_COLUMNS) / width * width;
    let large = rows * columns >= PASSED && columns >= 2 * HANDED_COLUMNS;
    (large && depth <= DEPTH && most >= FEWEST_HANDED).then_some(most)
}

/// Into how many pieces the batch, the columns and the depth are cut to get
/// `parts` parts or somewhat fewer; `panels` are panels of columns.
fn split(parts: usize, batch: usize, [rows, panels, depth]: [usize; 3]) -> [usize; 3] {
    if batch >= parts {
        return [parts, 1, 1];
    }
    // Sums so long that a result of their own for every part is a trifle.
    let long = depth >= 2 * parts * DEPTH && depth >= 4 * rows;
    let column_parts = panels.clamp(1, parts);
    // Few panels, and one block of rows: nothing else to deal out.
    let single = column_parts < parts && rows * DEPTH <= LEFT;
    if batch == 1 && (long || (single && depth >= parts * SHORTEST)) {
        return [1, 1, parts];
    }
    [1, column_parts, 1]
}
