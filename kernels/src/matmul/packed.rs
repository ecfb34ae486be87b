//! The driver of the SIMD variants: splitting, blocking and packing.
//!
//! The product is seen as `out[r, c] = Σ_d left[r, d] · right[d, c]`. A
//! register tile of a few rows and two vectors of columns is summed over a
//! block of depth; each step loads two vectors of `right`, broadcasts one
//! value of `left` a row, and multiplies. That runs at the speed of the
//! multipliers only if the loads hit the first-level cache and walk through
//! memory in order, so both operands are first copied into *panels*: for every
//! step of depth the values of the tile's columns (or rows) side by side. The
//! copy also does away with transposition.
//!
//! * Depth is cut into blocks of at most [`DEPTH`], so that a panel of `right`
//!   (`DEPTH` × two vectors) stays in the first-level cache while all panels
//!   of `left` pass by.
//! * Rows and columns are cut into blocks of at most [`ROWS`] and [`COLUMNS`],
//!   so that both packed blocks together stay in the second-level cache.
//! * Rows of a tile are balanced (16 rows are 8 + 8, not 14 + 2), and each
//!   number of rows has its own code, so rows are never padded. Columns are
//!   padded to a vector. Where the result has few columns the product is
//!   computed transposed, if that pads less.
//! * Where there is one tile of rows, every value of `right` is used once, and
//!   packing would be most of the work: it is read where it is.
//!
//! # Threads
//! The work is cut into at most [`PARTS`] parts by its shape alone: over the
//! batch, then columns or rows, or, where the result is small and the sums are
//! long, over depth. Parts of depth sum into buffers of their own, which are
//! added in order. Each part has its own packing buffers; when one thread runs
//! them all it uses the first part's for all, which stay in the cache.
//!
//! # What was measured
//! AVX-512, one thread, on a two-core Zen 5 server, best of repeated calls;
//! the limit is about 240 GFLOP/s, and what other work on the machine leaves
//! differs by a tenth from time to time. Sizes are rows × columns × depth.
//! * Cutting 1024 × 1024 × 1024 into parts by columns first or by rows first:
//!   the same (208 and 209), although every part packs its rows of `left` anew.
//! * Blocks 384 deep, with columns cut to match: no gain; 512 deep: slower for
//!   most sizes that deep or wide.
//! * 8 × 12288 × 128 in place: 168; packed: 79. A single row is bound by memory;
//!   there packing, which reads `right` row after row, would be faster (12
//!   against 10), but not by enough to make it a case of its own.

use super::MatmulShape;
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// Most depth steps of a block.
const DEPTH: usize = 256;
/// Most rows of a block.
const ROWS: usize = 336;
/// Most columns of a block.
const COLUMNS: usize = 512;
/// Most parts.
const PARTS: usize = 8;
/// Multiplications that are worth a part of their own: some microseconds.
const PART_WORK: usize = 16 * GRAIN;
/// Fewest rows or columns of a part, where it has less than all.
const SIDE: usize = 128;
/// Floats in a cache line; buffers start at a line.
const LINE: usize = 16;

/// What an instruction set provides.
pub(super) trait Tile {
    /// Floats in a vector.
    const LANES: usize;
    /// Most rows of a register tile.
    const ROWS: usize;
    /// Columns of a register tile.
    const WIDTH: usize = 2 * Self::LANES;

    /// Computes one register tile.
    ///
    /// # Safety
    /// The processor has the instruction set, and the job's promises hold.
    unsafe fn multiply(job: &TileJob);

    /// Copies lanes (rows of `left` or columns of `right`) into panels.
    ///
    /// # Safety
    /// The processor has the instruction set, and the job's promises hold.
    unsafe fn pack(job: &PackJob);
}

/// One register tile:
/// `out[r, c] (+)= Σ_d left[d · left_step + r] · right[d · right_step + c]`.
pub(super) struct TileJob {
    /// `1..=Tile::ROWS`.
    pub rows: usize,
    /// `1..=Tile::WIDTH`; `right` is readable up to the next whole vector.
    pub columns: usize,
    /// Number of steps.
    pub depth: usize,
    /// `rows` values a step.
    pub left: *const f32,
    /// Elements between steps of `left`.
    pub left_step: usize,
    /// Whole vectors, enough for `columns`, a step.
    pub right: *const f32,
    /// Elements between steps of `right`.
    pub right_step: usize,
    /// The tile's first element; writable at every row and column, not beyond.
    pub out: *mut f32,
    /// Elements between rows of `out`.
    pub out_step: usize,
    /// Add to `out`; if not set, `out` is not read.
    pub accumulate: bool,
}

/// Lane `l` at depth `d` lies at `source[l · lane_step + d · depth_step]`, one
/// of the two steps being 1, and goes to
/// `panels[(l / width) · width · depth + d · width + l % width]`.
/// Lanes that fill up the last panel may get any value.
pub(super) struct PackJob {
    /// Readable at every lane and depth.
    pub source: *const f32,
    /// Elements between lanes.
    pub lane_step: usize,
    /// Elements between depth steps.
    pub depth_step: usize,
    /// Number of lanes.
    pub lanes: usize,
    /// Number of depth steps.
    pub depth: usize,
    /// Lanes a panel: at most `Tile::ROWS`, or exactly `Tile::WIDTH`.
    pub width: usize,
    /// Writable for `lanes`, rounded up to whole panels, times `depth`.
    pub panels: *mut f32,
}

/// Where an operand's values lie.
#[derive(Clone, Copy)]
struct Operand {
    lane_step: usize,
    depth_step: usize,
    batch_step: usize,
}

impl Operand {
    fn at(self, batch: usize, lane: usize, depth: usize) -> usize {
        batch * self.batch_step + lane * self.lane_step + depth * self.depth_step
    }

    /// The job of packing a block, without its target.
    fn pack_job(
        self,
        operand: &[f32],
        batch: usize,
        lanes: Range<usize>,
        depths: Range<usize>,
        width: usize,
    ) -> PackJob {
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
struct Cut {
    total: usize,
    piece: usize,
    pieces: usize,
}

impl Cut {
    /// At most `pieces` pieces, each a multiple of `multiple` long.
    fn new(total: usize, pieces: usize, multiple: usize) -> Self {
        let piece = total.div_ceil(pieces.max(1)).next_multiple_of(multiple).max(1);
        Cut { total, piece, pieces: total.div_ceil(piece).max(1) }
    }

    /// Pieces of at most `most`, each a multiple of `multiple` long.
    fn at_most(total: usize, most: usize, multiple: usize) -> Self {
        Self::new(total, total.div_ceil(most), multiple)
    }

    fn range(self, index: usize) -> Range<usize> {
        index * self.piece..((index + 1) * self.piece).min(self.total)
    }
}

/// How a shape is computed; a function of the shape and the instruction set.
struct Plan {
    /// Computed transposed: `left` is B.
    swapped: bool,
    left: Operand,
    right: Operand,
    /// Elements between rows and between columns of the result.
    out_steps: [usize; 2],
    /// Elements of one product, and of all.
    out_size: usize,
    out_total: usize,
    /// The parts along each axis.
    batch: Cut,
    rows: Cut,
    columns: Cut,
    depth: Cut,
    /// Rows of a register tile.
    tile_rows: usize,
    /// Elements of a part's packed blocks.
    left_block: usize,
    right_block: usize,
    block_rows: usize,
    block_columns: usize,
    block_depth: usize,
}

impl Plan {
    fn new<T: Tile>(shape: &MatmulShape) -> Self {
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

        let parts = parts(batch * m * n * k);
        let batch_parts = batch.clamp(1, parts);
        let [row_parts, column_parts, depth_parts] = split(parts / batch_parts, [rows, columns, k]);
        let columns = Cut::new(columns, column_parts, T::WIDTH);
        let depth = Cut::new(k, depth_parts, 1);
        let tile_rows = Cut::at_most(rows.div_ceil(row_parts), T::ROWS, 1).piece;
        let rows = Cut::new(rows, row_parts, tile_rows);
        let block_rows = Cut::at_most(rows.piece, ROWS, tile_rows).piece;
        let block_columns = Cut::at_most(columns.piece, COLUMNS, T::WIDTH).piece;
        let block_depth = Cut::at_most(depth.piece, DEPTH, 1).piece;
        Plan {
            swapped,
            left,
            right,
            out_steps,
            out_size: m * n,
            out_total: batch * m * n,
            batch: Cut::new(batch, batch_parts, 1),
            rows,
            columns,
            depth,
            tile_rows,
            left_block: (block_rows * block_depth).next_multiple_of(LINE),
            right_block: (block_columns * block_depth).next_multiple_of(LINE),
            block_rows,
            block_columns,
            block_depth,
        }
    }

    fn parts(&self) -> usize {
        self.batch.pieces * self.rows.pieces * self.columns.pieces * self.depth.pieces
    }

    /// Where an element of the result lies.
    fn out_at(&self, batch: usize, row: usize, column: usize) -> usize {
        batch * self.out_size + row * self.out_steps[0] + column * self.out_steps[1]
    }

    /// Elements of the sums of all parts of depth but the first.
    fn partial_sums(&self) -> usize {
        ((self.depth.pieces - 1) * self.out_total).next_multiple_of(LINE)
    }

    fn scratch(&self) -> usize {
        LINE + self.partial_sums() + self.parts() * (self.left_block + self.right_block)
    }
}

/// How many parts so many multiplications are worth.
pub(crate) fn parts(multiplications: usize) -> usize {
    (multiplications / PART_WORK).clamp(1, PARTS)
}

/// Into how many pieces rows, columns and depth are cut to get `parts` parts or
/// somewhat fewer: the longer side of the result, rows if they are equal, is
/// halved as long as the pieces stay long (both operands are packed again for
/// every piece of the other's side), then the depth.
fn split(parts: usize, [rows, columns, depth]: [usize; 3]) -> [usize; 3] {
    let [mut row_parts, mut column_parts, mut depth_parts] = [1; 3];
    while row_parts * column_parts * depth_parts * 2 <= parts {
        let [row_piece, column_piece] = [rows / row_parts, columns / column_parts];
        if column_piece >= 2 * SIDE && column_piece > row_piece {
            column_parts *= 2;
        } else if row_piece >= 2 * SIDE {
            row_parts *= 2;
        } else if depth / depth_parts >= 4 * DEPTH {
            depth_parts *= 2;
        } else {
            break;
        }
    }
    [row_parts, column_parts, depth_parts]
}

/// Scratch for a product.
pub(super) fn scratch<T: Tile>(shape: &MatmulShape) -> usize {
    Plan::new::<T>(shape).scratch()
}

/// The product.
///
/// # Safety
/// The processor has the instruction set of `T`.
pub(super) unsafe fn run<T: Tile>(
    shape: &MatmulShape,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(a, b, out);
    if out.is_empty() || shape.k == 0 {
        out.fill(0.0);
        return;
    }
    let plan = Plan::new::<T>(shape);
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a product");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let (partial_sums, buffers) = scratch[aligned..].split_at_mut(plan.partial_sums());
    let operands = if plan.swapped { [b, a] } else { [a, b] };

    let alone = rayon::current_num_threads() == 1;
    let block = plan.left_block + plan.right_block;
    let shared_out = Shared::new(out);
    let shared_sums = Shared::new(partial_sums);
    let shared_buffers = Shared::new(buffers);
    for_parts(plan.parts(), 1, |range| {
        for part in range {
            let slot = if alone { 0 } else { part };
            // SAFETY: the scratch holds a block for every part, and parts that
            // share the first one run one after another on this thread.
            let buffer = unsafe { shared_buffers.part(slot * block..(slot + 1) * block) };
            // SAFETY: `T` runs here, by the caller's promise; the operands and
            // the result were checked against the shape; parts write disjoint
            // ranges of the result, or of the partial sums.
            unsafe { run_part::<T>(&plan, part, operands, shared_out, shared_sums, buffer) };
        }
    });
    let more = &*partial_sums;
    if plan.depth.pieces > 1 {
        for_parts(plan.out_total, GRAIN, |range| {
            // SAFETY: ranges of `for_parts` are disjoint and inside the result.
            let out = unsafe { shared_out.part(range.clone()) };
            for sums in more.chunks_exact(plan.out_total).take(plan.depth.pieces - 1) {
                out.iter_mut().zip(&sums[range.clone()]).for_each(|(out, sum)| *out += sum);
            }
        });
    }
}

/// Computes one part: all blocks of it.
///
/// # Safety
/// The processor has the instruction set; operands, result and partial sums
/// are as long as the plan's shape says, nobody else touches the part's range
/// of the result, and `buffer` holds a left and a right block.
unsafe fn run_part<T: Tile>(
    plan: &Plan,
    part: usize,
    [left, right]: [&[f32]; 2],
    out: Shared<f32>,
    partial_sums: Shared<f32>,
    buffer: &mut [f32],
) {
    let (depth_part, rest) = (part % plan.depth.pieces, part / plan.depth.pieces);
    let (column_part, rest) = (rest % plan.columns.pieces, rest / plan.columns.pieces);
    let (row_part, batch_part) = (rest % plan.rows.pieces, rest / plan.rows.pieces);
    let rows = plan.rows.range(row_part);
    let columns = plan.columns.range(column_part);
    let depths = plan.depth.range(depth_part);
    let out = match depth_part {
        0 => out.get(),
        // SAFETY: there is a result's worth of sums for each further part.
        later => unsafe { partial_sums.get().add((later - 1) * plan.out_total) },
    };
    let (left_block, right_block) = buffer.split_at_mut(plan.left_block);
    // What the blocks hold now: the offset of the block in its operand. With a
    // shared operand, or a single block, it is the same again and again.
    let (mut left_held, mut right_held) = (None, None);
    let in_place = rows.len() <= plan.tile_rows && plan.right.lane_step == 1;

    for batch in plan.batch.range(batch_part) {
        for d in depths.clone().step_by(plan.block_depth) {
            let depth = plan.block_depth.min(depths.end - d);
            for c in columns.clone().step_by(plan.block_columns) {
                let block_columns = plan.block_columns.min(columns.end - c);
                // Read in place, only columns that fill no panel are packed.
                let packed_from =
                    if in_place { block_columns - block_columns % T::WIDTH } else { 0 };
                let held = Some((plan.right.at(batch, c + packed_from, d), depth));
                if packed_from < block_columns && right_held != held {
                    let lanes = c + packed_from..c + block_columns;
                    let job = plan.right.pack_job(right, batch, lanes, d..d + depth, T::WIDTH);
                    // SAFETY: lanes and depths lie inside the operand; the
                    // block holds as many panels as a block has columns.
                    unsafe { T::pack(&PackJob { panels: right_block.as_mut_ptr(), ..job }) };
                    right_held = held;
                }
                for r in rows.clone().step_by(plan.block_rows) {
                    let block_rows = plan.block_rows.min(rows.end - r);
                    let held = Some((plan.left.at(batch, r, d), depth));
                    if left_held != held {
                        let (lanes, width) = (r..r + block_rows, plan.tile_rows);
                        let job = plan.left.pack_job(left, batch, lanes, d..d + depth, width);
                        // SAFETY: as above, for rows.
                        unsafe { T::pack(&PackJob { panels: left_block.as_mut_ptr(), ..job }) };
                        left_held = held;
                    }
                    let block = Block {
                        rows: block_rows,
                        columns: block_columns,
                        packed_from,
                        depth,
                        left: left_block,
                        right: right_block,
                        unpacked: &right[plan.right.at(batch, c, d)..],
                        // SAFETY: the block lies inside the result.
                        out: unsafe { out.add(plan.out_at(batch, r, c)) },
                        accumulate: d > depths.start,
                    };
                    // SAFETY: the blocks were packed, and the block of the
                    // result lies in this part.
                    unsafe { multiply_block::<T>(plan, &block) };
                }
            }
        }
    }
}

/// A block of the result, and its packed operands.
struct Block<'a> {
    rows: usize,
    columns: usize,
    /// The columns before are read from `unpacked`.
    packed_from: usize,
    depth: usize,
    left: &'a [f32],
    right: &'a [f32],
    unpacked: &'a [f32],
    out: *mut f32,
    accumulate: bool,
}

/// All tiles of a block.
///
/// # Safety
/// The processor has the instruction set, `left` and `right` hold the block's
/// panels, and its rows and columns may be written from `out` on.
unsafe fn multiply_block<T: Tile>(plan: &Plan, block: &Block) {
    for column in (0..block.columns).step_by(T::WIDTH) {
        let (right, right_step) = match column.checked_sub(block.packed_from) {
            Some(packed) => (&block.right[packed * block.depth..], T::WIDTH),
            None => (&block.unpacked[column..], plan.right.depth_step),
        };
        for row in (0..block.rows).step_by(plan.tile_rows) {
            let job = TileJob {
                rows: plan.tile_rows.min(block.rows - row),
                columns: T::WIDTH.min(block.columns - column),
                depth: block.depth,
                left: block.left[row * block.depth..].as_ptr(),
                left_step: plan.tile_rows,
                right: right.as_ptr(),
                right_step,
                // SAFETY: the tile lies inside the block.
                out: unsafe { block.out.add(plan.out_at(0, row, column)) },
                out_step: plan.out_steps[0],
                accumulate: block.accumulate,
            };
            // SAFETY: panels hold `depth` steps of the tile's rows and
            // columns; the tile lies in the block.
            unsafe {
                match plan.out_steps[1] {
                    1 => T::multiply(&job),
                    column_step => multiply_transposed::<T>(job, column_step),
                }
            }
        }
    }
}

/// A tile whose columns lie `column_step` apart in the result: summed into a
/// buffer on the stack, then moved.
///
/// # Safety
/// As for [`Tile::multiply`], with columns `column_step` apart.
unsafe fn multiply_transposed<T: Tile>(job: TileJob, column_step: usize) {
    // The largest tile of any instruction set: 14 rows of 32 columns.
    let mut buffer = [0.0f32; 14 * 32];
    assert!(T::ROWS * T::WIDTH <= buffer.len());
    let TileJob { rows, columns, out, out_step, accumulate, .. } = job;
    let job = TileJob { out: buffer.as_mut_ptr(), out_step: T::WIDTH, accumulate: false, ..job };
    // SAFETY: the caller's promise; the buffer holds a whole tile.
    unsafe { T::multiply(&job) };
    for column in 0..columns {
        for row in 0..rows {
            // SAFETY: a row and column of the tile, writable by the caller's
            // promise.
            let out = unsafe { &mut *out.add(row * out_step + column * column_step) };
            let sum = buffer[row * T::WIDTH + column];
            *out = if accumulate { *out + sum } else { sum };
        }
    }
}
