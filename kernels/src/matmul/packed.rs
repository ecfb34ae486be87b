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
//! * A block of `left` is packed just before it meets all columns, so that it is
//!   in the second-level cache then. Where there are several blocks of rows, the
//!   panels of `right` are packed once for all of them; else one after the other
//!   is packed, multiplied with every panel of `left`, and forgotten.
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
//! and are added in order. Else threads take blocks of rows, each with panels of
//! `left` of its own, and whoever has none left takes over columns of a block
//! that another has begun. So they wait for each other twice for a block of
//! depth and columns: when `right` is packed, and at the end. One thread that
//! runs all blocks of rows uses the same panels for all, which stay in the
//! cache.

use super::MatmulShape;
use super::plan::{Cut, LINE, PACKED, PACKED_LANES, Plan, ROW_BLOCKS};
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

    /// The same, and asks for lines of memory from `ahead` on, one every few
    /// steps of depth: what a later tile will read. Nothing is asked for if
    /// `ahead` is the job's own `right`.
    ///
    /// # Safety
    /// As for [`Tile::multiply`]; `ahead` may be any address.
    unsafe fn multiply_ahead(job: &TileJob, _ahead: *const f32) {
        // SAFETY: the caller's promise.
        unsafe { Self::multiply(job) }
    }

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
    assert_eq!(out.len(), shape.elements(), "length of the product");
    // SAFETY: the caller's promise.
    unsafe { report::<T>(shape, a, b, out.as_mut_ptr(), scratch, &|_| {}) }
}

/// The product, with a report of what is finished.
///
/// # Safety
/// As for [`run`], and as [`super::Routine::report`] says.
pub(super) unsafe fn report<T: Tile>(
    shape: &MatmulShape,
    a: &[f32],
    b: &[f32],
    out: *mut f32,
    scratch: &mut [f32],
    finished: &(dyn Fn(Range<usize>) + Sync),
) {
    shape.check_operands(a, b);
    let total = shape.elements();
    if total == 0 || shape.k == 0 {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(out, total) }.fill(0.0);
        finished(0..total);
        return;
    }
    let plan = Plan::new::<T>(shape);
    assert!(scratch.len() >= plan.scratch(), "length of the scratch of a product");
    let aligned = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let (partial_sums, buffers) = scratch[aligned..].split_at_mut(plan.partial_sums());
    let operands = if plan.swapped { [b, a] } else { [a, b] };

    let alone = rayon::current_num_threads() == 1;
    let size = plan.buffer();
    let shared_out = Shared::from_ptr(out);
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
            unsafe {
                run_part::<T>(&plan, part, operands, shared_out, shared_sums, buffer, finished);
            }
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
            finished(range);
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
    finished: &(dyn Fn(Range<usize>) + Sync),
) {
    let (depth_part, batch_part) = (part % plan.depth.pieces, part / plan.depth.pieces);
    let depths = plan.depth.range(depth_part);
    let out = match depth_part {
        0 => out,
        // SAFETY: there is a result's worth of sums for each further part.
        later => Shared::from_ptr(unsafe { partial_sums.get().add((later - 1) * plan.out_total) }),
    };
    let (left_panels, right_panels) = buffer.split_at_mut(plan.left_panels);
    let (left_panels, right_panels) = (Shared::new(left_panels), Shared::new(right_panels));
    // What the panels of `left` hold now: its offset in the operand. With a
    // shared operand, or one block of depth, it can be the same again and again.
    let mut held = None;
    for batch in plan.batch.range(batch_part) {
        for columns in (0..plan.columns.pieces).map(|block| plan.columns.range(block)) {
            for d in depths.clone().step_by(plan.block_depth) {
                let depths = d..(d + plan.block_depth).min(depths.end);
                if plan.kept {
                    let (columns, depths) = (columns.clone(), depths.clone());
                    let job = plan.right.pack_job(right, batch, columns, depths, T::WIDTH);
                    // SAFETY: columns and steps lie inside the operand, and the
                    // panels have room for them.
                    unsafe { pack::<T>(&job, right_panels.get()) };
                }
                let holds = Some((plan.left.at(batch, 0, d), depths.len()));
                let packed = plan.left_in_place || (plan.rows.pieces == 1 && held == holds);
                held = holds;
                let last = columns.end == plan.columns.total
                    && depths.end == plan.depth.total
                    && plan.depth.pieces == 1;
                // Rows of a product that is computed transposed lie scattered.
                let (by_rows, at_end) = (plan.out_steps[1] == 1, &|_| {});
                let block = Block {
                    plan,
                    batch,
                    columns: columns.clone(),
                    depths,
                    operands: [left, right],
                    panels: [left_panels, right_panels],
                    packed,
                    out,
                    accumulate: d > plan.depth.range(depth_part).start,
                    finished: if last && by_rows { finished } else { at_end },
                };
                for first in (0..plan.rows.pieces).step_by(ROW_BLOCKS) {
                    for_parts(ROW_BLOCKS.min(plan.rows.pieces - first), 1, |range| {
                        for slot in range {
                            // SAFETY: the caller's promise; blocks of rows are
                            // disjoint, as are their panels of `left`.
                            unsafe { block.rows::<T>(first + slot, slot) };
                        }
                    });
                }
                if last && !by_rows {
                    finished(batch * plan.out_size..(batch + 1) * plan.out_size);
                }
            }
        }
    }
}

/// Packs lanes into `panels`, with the help of threads that have nothing to do.
///
/// # Safety
/// The processor has the instruction set, the job's promises hold, and `panels`
/// has room for all lanes.
unsafe fn pack<T: Tile>(job: &PackJob, panels: *mut f32) {
    let panels = Shared::from_ptr(panels);
    let source = Shared::from_ptr(job.source.cast_mut());
    let &PackJob { lane_step, depth_step, lanes, depth, width, .. } = job;
    let fewest = if lane_step == 1 { PACKED_LANES } else { 1 };
    let part = (PACKED / depth.max(1)).max(fewest).next_multiple_of(width);
    for_parts(lanes, part, |range| {
        // SAFETY: the caller's promise; parts are whole panels.
        unsafe {
            T::pack(&PackJob {
                source: source.get().add(range.start * lane_step),
                lane_step,
                depth_step,
                lanes: range.len(),
                depth,
                width,
                panels: panels.get().add(range.start * depth),
            });
        }
    });
}

/// Some columns over some steps of depth, and what all blocks of rows share.
struct Block<'a> {
    plan: &'a Plan,
    batch: usize,
    columns: Range<usize>,
    depths: Range<usize>,
    operands: [&'a [f32]; 2],
    panels: [Shared<f32>; 2],
    /// Whether `left` needs no packing.
    packed: bool,
    out: Shared<f32>,
    accumulate: bool,
    /// Told which elements of the result are done.
    finished: &'a (dyn Fn(Range<usize>) + Sync),
}

impl Block<'_> {
    /// A block of rows: packs it into the panels of number `slot`, from which it
    /// meets all columns.
    ///
    /// # Safety
    /// The processor has the instruction set, the panels of `right` are packed if
    /// they are kept, and nobody else touches these rows of the result, nor the
    /// panels of `left` unless all run on one thread.
    unsafe fn rows<T: Tile>(&self, piece: usize, slot: usize) {
        let Block { plan, batch, .. } = *self;
        let rows = plan.rows.range(piece);
        let depth = self.depths.len();
        let [left, _] = self.operands;
        let [left_panels, right_panels] = self.panels;
        // One thread uses the same panels for all, which stay in the cache.
        let slot = if rayon::current_num_threads() == 1 { 0 } else { slot };
        // SAFETY: there are panels for so many blocks of rows.
        let panels = unsafe { left_panels.get().add(slot * plan.left_block) };
        if !self.packed {
            let (rows, depths) = (rows.clone(), self.depths.clone());
            let job = plan.left.pack_job(left, batch, rows, depths, plan.tile_rows);
            // SAFETY: rows and steps lie inside the operand, and there is room.
            unsafe { pack::<T>(&job, panels) };
        }
        let left = match plan.left_in_place {
            true => left[plan.left.at(batch, rows.start, self.depths.start)..].as_ptr(),
            false => panels.cast_const(),
        };
        let left = Shared::from_ptr(left.cast_mut());
        let cut = Cut::new(self.columns.len(), plan.column_parts, T::WIDTH);
        for_parts(cut.pieces, 1, |range| {
            for piece in range {
                let own = cut.range(piece);
                let start = if plan.kept { own.start * depth } else { piece * plan.right_block };
                let columns = self.columns.start + own.start..self.columns.start + own.end;
                let left = left.get().cast_const();
                // SAFETY: columns are disjoint. Panels that are kept are only
                // read; else there is one block of rows, and each part of its
                // columns has panels of its own.
                unsafe {
                    let panels = right_panels.get().add(start);
                    self.strip::<T>(rows.clone(), left, columns, panels);
                }
            }
        });
        let start = |row| plan.out_at(batch, row, 0);
        (self.finished)(start(rows.start)..start(rows.end));
    }

    /// Rows that meet some columns: some panels after others, if they are not
    /// kept.
    ///
    /// # Safety
    /// The processor has the instruction set, `left` holds the rows' panels or is
    /// where they lie, `panels` holds the columns' panels if they are kept, else
    /// has room for some, and nobody else touches this part of the result.
    unsafe fn strip<T: Tile>(
        &self,
        rows: Range<usize>,
        left: *const f32,
        columns: Range<usize>,
        panels: *mut f32,
    ) {
        let Block { plan, batch, .. } = *self;
        // What each tile of a panel asks for of the next one.
        let share = match plan.right_in_place {
            true => 0,
            false => {
                let tiles = rows.len().div_ceil(plan.tile_rows);
                (T::WIDTH * self.depths.len()).div_ceil(tiles).next_multiple_of(LINE)
            }
        };
        for column in columns.clone().step_by(plan.group.max(1)) {
            let lanes = column..(column + plan.group).min(columns.end);
            let (right, depths) = (self.operands[1], self.depths.clone());
            let job = plan.right.pack_job(right, batch, lanes.clone(), depths, T::WIDTH);
            // Read in place, only columns that fill no panel are packed.
            let whole = match (plan.right_in_place, lanes.len() % T::LANES) {
                (false, _) => 0,
                (true, 0) => lanes.len(),
                (true, _) => lanes.len() - lanes.len() % T::WIDTH,
            };
            if whole < lanes.len() && !plan.kept {
                let source = job.source.wrapping_add(whole * job.lane_step);
                let lanes = lanes.len() - whole;
                // SAFETY: lanes and depths lie inside the operand, and the block
                // has room for their panels.
                unsafe { T::pack(&PackJob { panels, source, lanes, ..job }) };
            }
            for start in (0..lanes.len()).step_by(T::WIDTH) {
                let right = match start < whole {
                    true => (job.source.wrapping_add(start), plan.right.depth_step),
                    // SAFETY: there is a panel for each of these columns.
                    false => unsafe {
                        (panels.add((start - whole) * job.depth).cast_const(), T::WIDTH)
                    },
                };
                let columns = column + start..(column + start + T::WIDTH).min(lanes.end);
                // SAFETY: the caller's promise; the panel is packed or in place.
                unsafe { self.panel::<T>(rows.clone(), left, columns, right, share) };
            }
        }
    }

    /// All tiles of a panel of columns, which lies at `right` with so many
    /// elements between steps. Each tile asks for a `share` of the next panel.
    ///
    /// # Safety
    /// As for [`Block::strip`], and the panel holds the block's steps.
    unsafe fn panel<T: Tile>(
        &self,
        rows: Range<usize>,
        left: *const f32,
        columns: Range<usize>,
        (right, right_step): (*const f32, usize),
        share: usize,
    ) {
        let Block { plan, .. } = *self;
        let depth = self.depths.len();
        let (lane_step, left_step) = match plan.left_in_place {
            true => (1, plan.left.depth_step),
            false => (depth, plan.tile_rows),
        };
        // The panel behind this one, a share of it a tile.
        let mut ahead = match share {
            0 => right,
            _ => right.wrapping_add(T::WIDTH * depth),
        };
        let mut row = rows.start;
        while row < rows.end {
            // SAFETY: the tile lies inside the panels, and inside the result.
            let job = unsafe {
                TileJob {
                    rows: plan.tile_rows.min(rows.end - row),
                    columns: columns.len(),
                    depth,
                    left: left.add((row - rows.start) * lane_step),
                    left_step,
                    right,
                    right_step,
                    out: self.out.get().add(plan.out_at(self.batch, row, columns.start)),
                    out_step: plan.out_steps[0],
                    accumulate: self.accumulate,
                }
            };
            // SAFETY: panels hold `depth` steps of the tile's rows and
            // columns; the tile lies in the block.
            unsafe {
                match plan.out_steps[1] {
                    1 => T::multiply_ahead(&job, ahead),
                    column_step => multiply_transposed::<T>(job, column_step),
                }
            }
            ahead = ahead.wrapping_add(share);
            row += plan.tile_rows;
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
