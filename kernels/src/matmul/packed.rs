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
//! and are added in order. Else threads take blocks of rows, of which there is an
//! even number, cut into some parts of columns each; whoever comes first to a block
//! of rows packs it into panels of its own (see `block`). So threads wait for each
//! other twice for a block of depth and columns: when `right` is packed, and at the
//! end. One thread that runs all blocks of rows uses the same panels for all, which
//! stay in the cache.
//!
//! # Takers
//! A product that is larger than its operands, such as the gradient of large weights,
//! costs more memory traffic than it is worth if it is only there to be read once by
//! the next step. Where a taker waits for it, threads take some columns, pack them,
//! and multiply some rows after others with them; each block of the product goes to
//! the taker while it is in the second-level cache. If nobody else wants the product,
//! the block is a buffer on the stack.

use super::block::Block;
use super::plan::{LINE, PACKED, PACKED_LANES, Plan};
use super::{MatmulShape, Taker};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// What an instruction set provides.
pub(crate) trait Tile {
    /// What operands are stored as; panels hold floats.
    type Value: Copy + Send + Sync;
    /// Whether a tile can read operands where they lie, because they are stored as
    /// floats.
    const IN_PLACE: bool = true;
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

    /// The same, and asks for memory that will be read soon.
    ///
    /// # Safety
    /// As for [`Tile::multiply`]; any addresses may be asked for.
    unsafe fn multiply_and_ask(job: &TileJob, _ask: &mut Ask) {
        // SAFETY: the caller's promise.
        unsafe { Self::multiply(job) }
    }

    /// Copies lanes (rows of `left` or columns of `right`) into panels.
    ///
    /// # Safety
    /// The processor has the instruction set, and the job's promises hold.
    unsafe fn pack(job: &PackJob<Self::Value>);
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

/// What a tile asks for while it is multiplied.
#[cfg_attr(target_arch = "aarch64", allow(dead_code, reason = "NEON has no stable prefetch"))]
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// Nothing.
    Nothing,
    /// Lines one after the other from here on, one every few steps of depth: what
    /// a later tile will read.
    Next(*const f32),
    /// What belongs to the product's tiles in other arrays.
    Others(Others),
}

/// Where lines of arrays of the product's shape are asked for.
#[cfg_attr(target_arch = "aarch64", allow(dead_code, reason = "NEON has no stable prefetch"))]
#[derive(Clone, Copy)]
pub(crate) struct Others {
    /// The arrays.
    pub bases: [*const u8; OTHERS],
    /// Bytes from there to the next line.
    pub offset: usize,
    /// Lines left in this row, and in every row.
    pub left: usize,
    pub row: usize,
    /// Bytes from the last line of a row to the first of the next one.
    pub gap: usize,
    /// Lines of each array that one tile asks for.
    pub lines: usize,
}

/// Arrays that are asked for together.
pub(crate) const OTHERS: usize = 4;

#[cfg_attr(target_arch = "aarch64", allow(dead_code, reason = "NEON has no stable prefetch"))]
impl Others {
    /// Asks for the next line of each array.
    #[inline(always)]
    pub(crate) fn ask(&mut self, prefetch: impl Fn(*const u8)) {
        for base in self.bases {
            prefetch(base.wrapping_add(self.offset));
        }
        self.offset += LINE * size_of::<f32>();
        self.left -= 1;
        if self.left == 0 {
            self.offset += self.gap;
            self.left = self.row;
        }
    }
}

/// Lane `l` at depth `d` lies at `source[l · lane_step + d · depth_step]`, one
/// of the two steps being 1, and goes to
/// `panels[(l / width) · width · depth + d · width + l % width]`.
/// Lanes that fill up the last panel may get any value.
pub(crate) struct PackJob<V = f32> {
    /// Readable at every lane and depth.
    pub source: *const V,
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
    Plan::new::<T>(shape, false).scratch().max(Plan::new::<T>(shape, true).scratch())
}

/// Whether a product needs no memory if a taker gets it.
pub(super) fn passes<T: Tile>(shape: &MatmulShape) -> bool {
    shape.elements() == 0 || (shape.k > 0 && Plan::new::<T>(shape, true).handed.is_some())
}

/// The product.
///
/// # Safety
/// The processor has the instruction set of `T`.
pub(super) unsafe fn run<T: Tile>(
    shape: &MatmulShape,
    a: &[T::Value],
    b: &[T::Value],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    assert_eq!(out.len(), shape.elements(), "length of the product");
    // SAFETY: the caller's promise.
    unsafe { product::<T>(shape, a, b, out.as_mut_ptr(), scratch, None) }
}

/// The product, parts of which go to a taker when they are finished.
///
/// # Safety
/// As for [`run`], and as [`super::Routine::report`] says.
pub(super) unsafe fn report<T: Tile>(
    shape: &MatmulShape,
    a: &[T::Value],
    b: &[T::Value],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    // SAFETY: the caller's promise.
    unsafe { product::<T>(shape, a, b, out, scratch, Some(taker)) }
}

/// # Safety
/// As for [`report`].
unsafe fn product<T: Tile>(
    shape: &MatmulShape,
    a: &[T::Value],
    b: &[T::Value],
    out: *mut f32,
    scratch: &mut [f32],
    taker: Option<&dyn Taker>,
) {
    shape.check_operands(a, b);
    let total = shape.elements();
    let tell = |range: Range<usize>| {
        if let Some(taker) = taker {
            taker.take(range.clone(), out.wrapping_add(range.start).cast());
        }
    };
    if total == 0 {
        return;
    }
    if shape.k == 0 {
        assert!(!out.is_null(), "an empty product has memory");
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(out, total) }.fill(0.0);
        return tell(0..total);
    }
    let plan = Plan::new::<T>(shape, taker.is_some());
    assert!(!out.is_null() || plan.handed.is_some(), "the product has memory");
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
                run_part::<T>(&plan, part, operands, shared_out, shared_sums, buffer, taker);
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
            if let Some(taker) = taker {
                taker.take(range, out.as_mut_ptr().cast());
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
    [left, right]: [&[T::Value]; 2],
    out: Shared<f32>,
    partial_sums: Shared<f32>,
    buffer: &mut [f32],
    taker: Option<&dyn Taker>,
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
                let by_rows = plan.out_steps[1] == 1;
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
                    taker: taker.filter(|_| last && by_rows),
                };
                // SAFETY: the caller's promise.
                unsafe { block.run::<T>() };
                if let Some(taker) = taker.filter(|_| last && !by_rows) {
                    let start = batch * plan.out_size;
                    let values = out.get().wrapping_add(start).cast();
                    taker.take(start..start + plan.out_size, values);
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
pub(super) unsafe fn pack<T: Tile>(job: &PackJob<T::Value>, panels: *mut f32) {
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
