//! A block of a product: some columns over some steps of depth, which all blocks of
//! rows meet. See `packed`.

use super::Taker;
use super::packed::{Ask, OTHERS, Others, PackJob, Tile, TileJob, pack};
use super::plan::{Cut, HANDED, LINE, MOST_SLOTS, Plan};
use crate::parallel::{Shared, for_parts};
use std::hint::spin_loop;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Some columns over some steps of depth, and what all blocks of rows share.
pub(super) struct Block<'a, V> {
    pub plan: &'a Plan,
    pub batch: usize,
    pub columns: Range<usize>,
    pub depths: Range<usize>,
    pub operands: [&'a [V]; 2],
    pub panels: [Shared<f32>; 2],
    /// Whether `left` needs no packing.
    pub packed: bool,
    pub out: Shared<f32>,
    pub accumulate: bool,
    /// Gets what is finished.
    pub taker: Option<&'a dyn Taker>,
}

/// How far the panels of a block of rows are: nobody has begun to pack them, somebody
/// has, or they are there.
const BARE: usize = 0;
const BEGUN: usize = 1;
const THERE: usize = 2;

/// A block of rows as threads share it.
struct Slot {
    panels: AtomicUsize,
    /// Parts of its columns that are not done yet.
    missing: AtomicUsize,
}

impl<V: Sync> Block<'_, V> {
    /// All of it.
    ///
    /// # Safety
    /// The processor has the instruction set, the panels of `right` are packed if
    /// they are kept, and nobody else touches this part of the result.
    pub(super) unsafe fn run<T: Tile<Value = V>>(&self) {
        if self.plan.rows.pieces == 1 {
            // SAFETY: the caller's promise.
            unsafe { self.run_at_once::<T>() }
        } else {
            let Plan { rows, slots, .. } = *self.plan;
            for first in (0..rows.pieces).step_by(slots) {
                // SAFETY: the caller's promise.
                unsafe { self.run_rows::<T>(first..(first + slots).min(rows.pieces)) }
            }
        }
    }

    /// One block of rows: packed by all threads together, which then take columns.
    ///
    /// # Safety
    /// As for [`Block::run`].
    unsafe fn run_at_once<T: Tile<Value = V>>(&self) {
        let plan = self.plan;
        let rows = plan.rows.range(0);
        let [left_panels, right_panels] = self.panels;
        if !self.packed {
            // SAFETY: rows and steps lie inside the operand, and there is room.
            unsafe { pack::<T>(&self.left_job(rows.clone()), left_panels.get()) };
        }
        let left = Shared::from_ptr(self.left(rows.start, left_panels.get()).cast_mut());
        let cut = Cut::new(self.columns.len(), plan.column_parts, T::WIDTH);
        for_parts(cut.pieces, 1, |range| {
            for piece in range {
                let left = left.get().cast_const();
                let start = match plan.kept {
                    true => cut.range(piece).start * self.depths.len(),
                    false => piece * plan.right_block,
                };
                // SAFETY: columns are disjoint. Panels that are kept are only
                // read; else each part of the columns has panels of its own.
                unsafe {
                    let panels = right_panels.get().add(start);
                    self.strip::<T>(rows.clone(), left, self.part(cut, piece), panels);
                }
            }
        });
        if plan.handed.is_none() {
            self.tell(rows);
        }
    }

    /// Several blocks of rows, each cut into parts by its columns. Threads take part
    /// after part; whoever comes first to a block of rows packs it, and one who comes
    /// meanwhile waits for that.
    ///
    /// # Safety
    /// As for [`Block::run`]; the panels of `right` are kept, and there are panels of
    /// `left` for so many blocks of rows.
    unsafe fn run_rows<T: Tile<Value = V>>(&self, pieces: Range<usize>) {
        let plan = self.plan;
        let [left_panels, right_panels] = self.panels;
        let cut = Cut::new(self.columns.len(), plan.column_parts, T::WIDTH);
        // One thread uses the same panels for all, which stay in the cache.
        let alone = rayon::current_num_threads() == 1;
        let slots: [Slot; MOST_SLOTS] = std::array::from_fn(|_| Slot {
            panels: AtomicUsize::new(if self.packed { THERE } else { BARE }),
            missing: AtomicUsize::new(cut.pieces),
        });
        for_parts(pieces.len() * cut.pieces, 1, |range| {
            for unit in range {
                let (number, piece) = (unit / cut.pieces, unit % cut.pieces);
                let rows = plan.rows.range(pieces.start + number);
                let slot = &slots[number];
                let number = if alone { 0 } else { number };
                // SAFETY: there are panels for so many blocks of rows.
                let panels = unsafe { left_panels.get().add(number * plan.left_block) };
                slot.pack(|| {
                    // SAFETY: rows and steps lie inside the operand, there is room, and
                    // nobody else touches these panels before they are there. One
                    // thread alone is done with them for the rows before.
                    unsafe { T::pack(&PackJob { panels, ..self.left_job(rows.clone()) }) };
                });
                let left = self.left(rows.start, panels);
                // SAFETY: parts are disjoint, and panels only read by now.
                unsafe {
                    let panels = right_panels.get().add(cut.range(piece).start * self.depths.len());
                    self.strip::<T>(rows.clone(), left, self.part(cut, piece), panels);
                }
                // What others have written of these rows is seen by the last one.
                if slot.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.tell(rows);
                }
            }
        });
    }

    /// The job of packing rows, without its target.
    fn left_job(&self, rows: Range<usize>) -> PackJob<V> {
        let plan = self.plan;
        plan.left.pack_job(self.operands[0], self.batch, rows, self.depths.clone(), plan.tile_rows)
    }

    /// Where rows are read that begin with this one.
    fn left(&self, row: usize, panels: *mut f32) -> *const f32 {
        match self.plan.left_in_place {
            true => {
                let at = self.plan.left.at(self.batch, row, self.depths.start);
                self.operands[0][at..].as_ptr().cast()
            }
            false => panels,
        }
    }

    fn part(&self, cut: Cut, piece: usize) -> Range<usize> {
        let own = cut.range(piece);
        self.columns.start + own.start..self.columns.start + own.end
    }

    /// Hands over rows that are finished.
    fn tell(&self, rows: Range<usize>) {
        if let Some(taker) = self.taker {
            let start = |row| self.plan.out_at(self.batch, row, 0);
            let values = self.out.get().wrapping_add(start(rows.start));
            taker.take(start(rows.start)..start(rows.end), values.cast());
        }
    }

    /// Rows that meet some columns: some panels after others, if they are not
    /// kept.
    ///
    /// # Safety
    /// The processor has the instruction set, `left` holds the rows' panels or is
    /// where they lie, `panels` holds the columns' panels if they are kept, else
    /// has room for some, and nobody else touches this part of the result.
    unsafe fn strip<T: Tile<Value = V>>(
        &self,
        rows: Range<usize>,
        left: *const f32,
        columns: Range<usize>,
        panels: *mut f32,
    ) {
        let Block { plan, batch, .. } = *self;
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
            if let (Some(together), Some(taker)) = (plan.handed, self.taker) {
                // SAFETY: the caller's promise; the panels are packed.
                unsafe { self.hand_over::<T>(taker, together, rows.clone(), left, lanes, panels) };
                continue;
            }
            for start in (0..lanes.len()).step_by(T::WIDTH) {
                let right = match start < whole {
                    true => (job.source.wrapping_add(start).cast::<f32>(), plan.right.depth_step),
                    // SAFETY: there is a panel for each of these columns.
                    false => unsafe {
                        (panels.add((start - whole) * job.depth).cast_const(), T::WIDTH)
                    },
                };
                let columns = column + start..(column + start + T::WIDTH).min(lanes.end);
                let out =
                    self.out.get().wrapping_add(plan.out_at(batch, rows.start, columns.start));
                let tiles = rows.len().div_ceil(plan.tile_rows);
                // What each tile of a panel asks for of the next one.
                let share = (T::WIDTH * self.depths.len()).div_ceil(tiles).next_multiple_of(LINE);
                let panel = Panel { columns: columns.len(), right, out, step: plan.out_steps[0] };
                let ask = |tile: usize| match plan.right_in_place {
                    true => Ask::Nothing,
                    false => Ask::Next(right.0.wrapping_add(T::WIDTH * job.depth + tile * share)),
                };
                // SAFETY: the caller's promise; the panel is packed or in place.
                unsafe { self.panel::<T>(rows.len(), left, panel, ask) };
            }
        }
    }

    /// Columns that meet some rows after others, which go to the taker at once. While
    /// they are multiplied, what the taker will read is asked for.
    ///
    /// # Safety
    /// As for [`Block::strip`]; the panels of these columns are packed.
    #[inline(never)]
    unsafe fn hand_over<T: Tile<Value = V>>(
        &self,
        taker: &dyn Taker,
        together: usize,
        rows: Range<usize>,
        left: *const f32,
        columns: Range<usize>,
        panels: *const f32,
    ) {
        let Block { plan, batch, .. } = *self;
        let depth = self.depths.len();
        let mut buffer = MaybeUninit::<Handed>::uninit();
        let memory = self.out.get();
        let mut bases = [std::ptr::null(); OTHERS];
        let reads = taker.reads();
        for (i, base) in bases.iter_mut().enumerate().take(reads.len()) {
            *base = reads[i].get().cast_const();
        }
        // Fewer than there is room for: the last one once more, which costs little.
        for i in reads.len().max(1)..OTHERS {
            bases[i] = bases[i - 1];
        }
        for first in rows.clone().step_by(together) {
            let some = first..(first + together).min(rows.end);
            let start = plan.out_at(batch, first, columns.start);
            let (out, step) = match memory.is_null() {
                true => (buffer.as_mut_ptr().cast::<f32>(), columns.len()),
                false => (memory.wrapping_add(start), plan.out_steps[0]),
            };
            let bytes = size_of::<f32>();
            let row = columns.len().div_ceil(LINE);
            let mut others = Others {
                bases,
                offset: start * bytes,
                left: row,
                row,
                gap: (plan.out_steps[0].saturating_sub(row * LINE)) * bytes,
                lines: plan.tile_rows * T::WIDTH / LINE,
            };
            for column in (0..columns.len()).step_by(T::WIDTH) {
                // SAFETY: the caller's promise; the buffer has room for so many rows
                // of so many columns.
                unsafe {
                    let right = (panels.add(column * depth), T::WIDTH);
                    let left = left.add((first - rows.start) * depth);
                    let width = T::WIDTH.min(columns.len() - column);
                    let panel = Panel { columns: width, right, out: out.add(column), step };
                    if reads.is_empty() {
                        self.panel::<T>(some.len(), left, panel, |_| Ask::Nothing);
                    } else {
                        others = self.panel_and_others::<T>(some.len(), left, panel, others);
                    }
                }
            }
            for row in some.clone() {
                let start = plan.out_at(batch, row, columns.start);
                let values = out.wrapping_add((row - first) * step);
                taker.take(start..start + columns.len(), values.cast());
            }
        }
    }

    /// All tiles of a panel of columns, each of which asks for something.
    ///
    /// # Safety
    /// As for [`Block::strip`], and the panel holds the block's steps.
    unsafe fn panel<T: Tile<Value = V>>(
        &self,
        rows: usize,
        left: *const f32,
        panel: Panel,
        ask: impl Fn(usize) -> Ask,
    ) {
        for tile in 0..rows.div_ceil(self.plan.tile_rows) {
            // SAFETY: the caller's promise.
            unsafe { self.tile::<T>(rows, left, &panel, tile, &mut ask(tile)) };
        }
    }

    /// The same, asking for other arrays line by line; returns how far it is.
    ///
    /// # Safety
    /// As for [`Block::panel`].
    unsafe fn panel_and_others<T: Tile<Value = V>>(
        &self,
        rows: usize,
        left: *const f32,
        panel: Panel,
        others: Others,
    ) -> Others {
        let mut ask = Ask::Others(others);
        for tile in 0..rows.div_ceil(self.plan.tile_rows) {
            // SAFETY: the caller's promise.
            unsafe { self.tile::<T>(rows, left, &panel, tile, &mut ask) };
        }
        match ask {
            Ask::Others(others) => others,
            _ => others,
        }
    }

    /// One of the tiles of so many rows that meet a panel.
    ///
    /// # Safety
    /// As for [`Block::panel`].
    unsafe fn tile<T: Tile<Value = V>>(
        &self,
        rows: usize,
        left: *const f32,
        panel: &Panel,
        tile: usize,
        ask: &mut Ask,
    ) {
        let Block { plan, .. } = *self;
        let depth = self.depths.len();
        let (lane_step, left_step) = match plan.left_in_place {
            true => (1, plan.left.depth_step),
            false => (depth, plan.tile_rows),
        };
        let row = tile * plan.tile_rows;
        let (right, right_step) = panel.right;
        // SAFETY: the tile lies inside the panels, and inside the result.
        let job = unsafe {
            TileJob {
                rows: plan.tile_rows.min(rows - row),
                columns: panel.columns,
                depth,
                left: left.add(row * lane_step),
                left_step,
                right,
                right_step,
                out: panel.out.add(row * panel.step),
                out_step: panel.step,
                accumulate: self.accumulate,
            }
        };
        // SAFETY: panels hold `depth` steps of the tile's rows and columns; the tile
        // lies in the block.
        unsafe {
            match (plan.out_steps[1], &ask) {
                (1, Ask::Nothing) => T::multiply(&job),
                (1, _) => T::multiply_and_ask(&job, ask),
                (column_step, _) => multiply_transposed::<T>(job, column_step),
            }
        }
    }
}

impl Slot {
    /// Has the panels packed by one thread, and waits until they are there. Packing
    /// calls nobody who might come here again.
    fn pack(&self, pack: impl FnOnce()) {
        let (taken, failed) = (Ordering::Acquire, Ordering::Acquire);
        match self.panels.compare_exchange(BARE, BEGUN, taken, failed) {
            Ok(_) => {
                pack();
                self.panels.store(THERE, Ordering::Release);
            }
            Err(THERE) => {}
            Err(_) => {
                let mut looks = 0usize;
                while self.panels.load(Ordering::Acquire) != THERE {
                    looks += 1;
                    if looks.is_multiple_of(1000) {
                        std::thread::yield_now();
                    }
                    spin_loop();
                }
            }
        }
    }
}

/// Some columns of `right`, and of the result.
struct Panel {
    columns: usize,
    /// Where they lie, and how far apart their steps.
    right: (*const f32, usize),
    /// The first tile, and how far apart its rows lie.
    out: *mut f32,
    step: usize,
}

/// What is handed over at a time, where the product has no memory.
#[repr(C, align(64))]
struct Handed {
    _values: [f32; HANDED],
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
