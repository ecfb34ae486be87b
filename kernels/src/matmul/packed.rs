//! The driver of the SIMD variants: splitting, blocking and packing.
//!
//! The product is seen as `out[r, c] = Σ_d left[r, d] · right[d, c]`. A
//! register tile of a few rows and two vectors of columns is summed over a
//! block of depth; each step loads two vectors of `right`, broadcasts one
//! value of `left` a row, and multiplies. That runs at the speed of the
//! multipliers only if the loads walk through memory in order and hit the
//! caches, so both operands are first copied into *panels*: for every step of
//! depth the values of the tile's columns (or rows) side by side. The copy also
//! does away with transposition.
//!
//! * Depth is cut into blocks of at most `DEPTH`, rows into blocks of at most
//!   `ROWS`, so that a packed block of `left` stays in the second-level cache.
//! * A block of `left` is packed once and then meets all columns: one panel of
//!   `right` after the other is packed, multiplied with every panel of `left`,
//!   and forgotten. So every value of `left` is copied once, one of `right` once
//!   for each block of rows.
//! * Rows of a tile are balanced (16 rows are 8 + 8, not 14 + 2), and each
//!   number of rows has its own code, so rows are never padded. Columns are
//!   padded to a vector. Where the result has few columns the product is
//!   computed transposed, if that pads less.
//! * Where there are only a few tiles of rows, every value of `right` is used
//!   rarely, and packing would take longer than it saves: it is read where it
//!   is.
//!
//! # Threads
//! The work is cut into at most `PARTS` parts by its shape alone. Parts of
//! the batch, or of depth where the result is small and the sums are long, are
//! products of their own with buffers of their own; parts of depth sum apart
//! and are added in order. Else the parts are columns: all of them pack the
//! block of `left` together, and then share it. When one thread runs all parts
//! it uses the first part's buffers for all, which stay in the cache.

use super::MatmulShape;
use super::plan::{Cut, LINE, Plan};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// What an instruction set provides.
pub(crate) trait Tile {
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
pub(crate) struct TileJob {
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
pub(crate) struct PackJob {
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
    let size = plan.buffer();
    let shared_out = Shared::new(out);
    let shared_sums = Shared::new(partial_sums);
    let shared_buffers = Shared::new(buffers);
    for_parts(plan.parts(), 1, |range| {
        for part in range {
            let slot = if alone { 0 } else { part };
            // SAFETY: the scratch holds buffers for every part, and parts that
            // share the first one's run one after another on this thread.
            let buffer = unsafe { shared_buffers.part(slot * size..(slot + 1) * size) };
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
/// of the result, and `buffer` is as long as the plan says.
unsafe fn run_part<T: Tile>(
    plan: &Plan,
    part: usize,
    [left, right]: [&[f32]; 2],
    out: Shared<f32>,
    partial_sums: Shared<f32>,
    buffer: &mut [f32],
) {
    let (depth_part, batch_part) = (part % plan.depth.pieces, part / plan.depth.pieces);
    let depths = plan.depth.range(depth_part);
    let out = match depth_part {
        0 => out,
        // SAFETY: there is a result's worth of sums for each further part.
        later => Shared::from_ptr(unsafe { partial_sums.get().add((later - 1) * plan.out_total) }),
    };
    let (left_block, right_blocks) = buffer.split_at_mut(plan.left_block);
    let shared_blocks = Shared::new(right_blocks);
    // What the block holds now: its offset in the operand. With a shared operand
    // it can be the same again and again.
    let mut held = None;
    for batch in plan.batch.range(batch_part) {
        for columns in (0..plan.columns.pieces).map(|block| plan.columns.range(block)) {
            let cut = Cut::new(columns.len(), plan.column_parts, T::WIDTH);
            let each_part = |body: &(dyn Fn(Range<usize>, &mut [f32]) + Sync)| {
                for_parts(cut.pieces, 1, |range| {
                    for piece in range {
                        let block = piece * plan.right_block..(piece + 1) * plan.right_block;
                        let part = cut.range(piece);
                        let part = columns.start + part.start..columns.start + part.end;
                        // SAFETY: there is a block for each part.
                        body(part, unsafe { shared_blocks.part(block) });
                    }
                });
            };
            for d in depths.clone().step_by(plan.block_depth) {
                let steps = d..(d + plan.block_depth).min(depths.end);
                if plan.kept {
                    each_part(&|columns, block| {
                        let steps = steps.clone();
                        let job = plan.right.pack_job(right, batch, columns, steps, T::WIDTH);
                        // SAFETY: columns and steps lie inside the operand, and
                        // the block has room for their panels.
                        unsafe { T::pack(&PackJob { panels: block.as_mut_ptr(), ..job }) };
                    });
                }
                for row in (0..plan.rows).step_by(plan.block_rows) {
                    let rows = row..(row + plan.block_rows).min(plan.rows);
                    let holds = Some((plan.left.at(batch, row, d), steps.len()));
                    if !plan.left_in_place && held != holds {
                        let lanes = (rows.clone(), cut.pieces > 1);
                        // SAFETY: the caller's promise.
                        unsafe {
                            pack_left::<T>(plan, left, batch, lanes, steps.clone(), left_block);
                        }
                        held = holds;
                    }
                    let strip = Strip {
                        batch,
                        rows,
                        depths: steps.clone(),
                        left: match plan.left_in_place {
                            true => (&left[plan.left.at(batch, row, d)..], plan.left.depth_step),
                            false => (&*left_block, 0),
                        },
                        right,
                        out,
                        accumulate: d > depths.start,
                    };
                    // SAFETY: parts are disjoint columns of the result.
                    each_part(&|columns, block| unsafe {
                        strip.multiply::<T>(plan, columns, block);
                    });
                }
            }
        }
    }
}

/// Packs a block of `left`, on several threads if `together`.
///
/// # Safety
/// The processor has the instruction set, the block lies inside the operand,
/// and `block` has room for it.
unsafe fn pack_left<T: Tile>(
    plan: &Plan,
    left: &[f32],
    batch: usize,
    (rows, together): (Range<usize>, bool),
    depths: Range<usize>,
    block: &mut [f32],
) {
    let width = plan.tile_rows;
    // Whole panels.
    let part = match together {
        true => (GRAIN / depths.len().max(1)).max(1).next_multiple_of(width),
        false => rows.len(),
    };
    let panels = Shared::new(block);
    for_parts(rows.len(), part, |range| {
        let lanes = rows.start + range.start..rows.start + range.end;
        let job = plan.left.pack_job(left, batch, lanes, depths.clone(), width);
        // SAFETY: lanes and depths lie inside the operand; parts are whole
        // panels of the block, which has room for all.
        unsafe {
            let panels = panels.get().add(range.start * depths.len());
            T::pack(&PackJob { panels, ..job });
        }
    });
}

/// A block of `left` that meets columns of `right`.
struct Strip<'a> {
    batch: usize,
    rows: Range<usize>,
    depths: Range<usize>,
    /// Packed, or with so many elements between steps of depth.
    left: (&'a [f32], usize),
    right: &'a [f32],
    out: Shared<f32>,
    accumulate: bool,
}

impl Strip<'_> {
    /// The columns of a part: some panels after others, if they are not kept.
    ///
    /// # Safety
    /// The processor has the instruction set, `left` holds the block's panels,
    /// `block` holds the panels of `right` if they are kept, else has room for
    /// some, and nobody else touches these columns of the result.
    unsafe fn multiply<T: Tile>(&self, plan: &Plan, columns: Range<usize>, block: &mut [f32]) {
        for column in columns.clone().step_by(plan.group.max(1)) {
            let lanes = column..(column + plan.group).min(columns.end);
            let (batch, depths) = (self.batch, self.depths.clone());
            let job = plan.right.pack_job(self.right, batch, lanes.clone(), depths, T::WIDTH);
            // Read in place, only columns that fill no panel are packed.
            let whole = match (plan.right_in_place, lanes.len() % T::LANES) {
                (false, _) => 0,
                (true, 0) => lanes.len(),
                (true, _) => lanes.len() - lanes.len() % T::WIDTH,
            };
            if whole < lanes.len() && !plan.kept {
                let source = job.source.wrapping_add(whole * job.lane_step);
                let (panels, lanes) = (block.as_mut_ptr(), lanes.len() - whole);
                // SAFETY: lanes and depths lie inside the operand, and the block
                // has room for their panels.
                unsafe { T::pack(&PackJob { panels, source, lanes, ..job }) };
            }
            for start in (0..lanes.len()).step_by(T::WIDTH) {
                let right = match start < whole {
                    true => (job.source.wrapping_add(start), plan.right.depth_step),
                    false => (block[(start - whole) * job.depth..].as_ptr(), T::WIDTH),
                };
                let columns = column + start..(column + start + T::WIDTH).min(lanes.end);
                // SAFETY: the caller's promise; the panel is packed or in place.
                unsafe { self.multiply_panel::<T>(plan, columns, right) };
            }
        }
    }

    /// All tiles of a panel of columns, which lies at `right` with so many
    /// elements between steps.
    ///
    /// # Safety
    /// As for [`Strip::multiply`], and the panel holds the strip's steps.
    unsafe fn multiply_panel<T: Tile>(
        &self,
        plan: &Plan,
        columns: Range<usize>,
        (right, right_step): (*const f32, usize),
    ) {
        let depth = self.depths.len();
        let (left, left_step) = self.left;
        for row in (0..self.rows.len()).step_by(plan.tile_rows) {
            let job = TileJob {
                rows: plan.tile_rows.min(self.rows.len() - row),
                columns: columns.len(),
                depth,
                left: left[if plan.left_in_place { row } else { row * depth }..].as_ptr(),
                left_step: if plan.left_in_place { left_step } else { plan.tile_rows },
                right,
                right_step,
                // SAFETY: the tile lies inside the result.
                out: unsafe {
                    self.out.get().add(plan.out_at(
                        self.batch,
                        self.rows.start + row,
                        columns.start,
                    ))
                },
                out_step: plan.out_steps[0],
                accumulate: self.accumulate,
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
