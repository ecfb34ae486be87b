//! Groups: chains of element-wise steps and the sums at their ends, run tile
//! by tile.
//!
//! An element-wise op reads each element once and does little with it, so a
//! chain of them is limited by memory, not by arithmetic: Adam as plain graph
//! ops would read and write a dozen arrays as large as the parameter. A
//! *group* is a run of steps over the same number of elements: all members
//! work on one tile of 4 KiB before the next is touched. Values that only
//! members read live in tiles on the stack that never leave the first-level
//! cache; operands stretched along some dimensions are written out a tile at
//! a time, where a tile does not lie in one run of them; and a sum takes its
//! tile while it is there.
//!
//! What limits a group is memory, so what counts is to keep it busy while the
//! members compute. Before each member a share of the lines of the next tile
//! is asked for: a tile of each operand is a page of its own, and the
//! processor's prefetcher starts anew at each page. Outputs far larger than the
//! caches are written past them, which spares reading the lines they overwrite.
//!
//! What is stored in 16 bits is widened into a tile by a member of its own, and
//! rounded from one: all others see the type that they compute in.
//!
//! Measured on a two-core AVX-512 server (Zen 5), one thread: asking ahead made
//! Adam on 6.3 million parameters 1.45 times as fast; writing past the caches a
//! sum of two arrays of 32 MiB 1.5 times, a product with a number 1.15 times.
//! Below a million elements asking ahead costs more than it gains, for the next
//! tile is in the second-level cache. Tiles of 2 KiB were a tenth to a third
//! slower: calls weigh more. Large pages for the arrays changed nothing.
//!
//! Tried without gain: a group of few members that calls each for 128 elements at a
//! time, so that what it asks for and writes lies between arithmetic. A copy of this
//! loop with one member, on 32 million values and two threads, won by it (the exponential
//! 77 to 97 % of a copy of 50 GB/s, the hyperbolic tangent 70 to 100 %). Here, in one run
//! on 50 million values while a copy made 77 GB/s, products won 7 to 9 %, the exponential
//! and GELU lost 9, the tangent 19: each call fetches its constants anew.

use super::arena::View;
use super::pattern::Pattern;
use super::pointwise::{Folding, Pointwise, Typed};
use crate::dtype::DType;
use speck_kernels::parallel::{STREAMED, Shared, for_parts, prefetch, stream, streamed};
use std::mem::MaybeUninit;

/// Bytes of a tile: a few of them fit in a first-level cache of 32 KiB.
const TILE_BYTES: usize = 4096;
/// Tiles a group may use at once for values of its members.
pub(crate) const MAX_TILES: usize = 12;
/// Stretched operands a group may have.
pub(crate) const MAX_SPREADS: usize = 40;
/// Of these, how many may need a tile.
pub(crate) const MAX_SPREAD_TILES: usize = 8;
/// Sums a group may have.
pub(crate) const MAX_SUMS: usize = 8;
/// Elements handed to a thread at a time, and no more parts than these: each
/// has its own partial sums. Work of one part never leaves its thread.
const PART: usize = 1 << 15;
const MOST_PARTS: usize = 256;
/// Shortest row for which a member is called.
const SHORTEST_PIECE: usize = 64;
/// From this many elements on, the next tile is not in a cache yet.
const PREFETCHED: usize = 1 << 20;

/// Outputs written so; each has a tile.
const MAX_STREAMED: usize = 4;
/// The tiles of those come after the others.
const FIRST_STREAMED: usize = MAX_TILES + MAX_SPREAD_TILES;

/// A value that a member of a group reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A node's memory, element for element.
    View(usize),
    /// A tile on the stack.
    Tile(usize),
    /// A stretched operand, by its place in the group's list.
    Spread(usize),
}

/// An operand stretched along some dimensions.
pub(crate) struct Spread {
    node: usize,
    pattern: Pattern,
    /// Whether it has an element for each row of this many positions, and rows
    /// are such that a member is better called once a row than with a tile in
    /// which each element is repeated. Writing 8 rows of 128 out took twice as
    /// long as the member itself.
    pieces: bool,
}

impl Spread {
    pub fn new(node: usize, pattern: Pattern) -> Self {
        let pieces = pattern.is_rows() && SHORTEST_PIECE <= pattern.inner().0;
        Spread { node, pattern, pieces }
    }

    pub fn is(&self, node: usize, pattern: &Pattern) -> bool {
        self.node == node && self.pattern == *pattern
    }
}

/// One op in a group.
pub(crate) enum Member {
    Map { kernel: Pointwise, inputs: Vec<Operand>, output: Operand },
    Sum { folding: Folding, input: Operand, output: usize },
}

/// A run of steps executed together.
pub(crate) struct Group {
    members: Vec<Member>,
    spreads: Vec<Spread>,
    dtype: DType,
    total: usize,
    /// Elements of a part.
    part: usize,
    /// Where the partial sums of each sum begin in the scratch memory, in
    /// `f64`s; `None` for sums that need none.
    partial: Vec<Option<usize>>,
    /// Bytes of scratch memory.
    pub scratch: usize,
    /// The operands that are prefetched.
    reads: Vec<usize>,
    /// The outputs written past the caches.
    writes: Vec<usize>,
}

/// Elements of a part of a group of `total` elements that sums into `outputs`
/// outputs, in units of `unit` elements.
pub(crate) fn part_length(total: usize, outputs: usize, unit: usize) -> usize {
    let few = total.div_ceil(MOST_PARTS);
    let most = PART.max(16 * outputs).max(few).next_multiple_of(PART);
    // An even number of equal parts, of whole tiles: of five parts and a bit one
    // of two threads does the most.
    let parts = match total.div_ceil(most) {
        0 | 1 => return most.next_multiple_of(unit),
        parts => parts.next_multiple_of(2),
    };
    total.div_ceil(parts).next_multiple_of(TILE_BYTES / size_of::<f32>()).next_multiple_of(unit)
}

impl Member {
    fn inputs(&self) -> &[Operand] {
        match self {
            Member::Map { inputs, .. } => inputs,
            Member::Sum { input, .. } => std::slice::from_ref(input),
        }
    }
}

/// Gives outputs that no member has read before a tile each, from which they
/// are written; where old values are read there, the lines are in a cache.
fn streamed_outputs(members: &mut [Member], in_state: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut writes: Vec<usize> = Vec::new();
    for i in 0..members.len() {
        let Member::Map { output: Operand::View(node), .. } = members[i] else { continue };
        let view = Operand::View(node);
        if in_state(node) || writes.len() == MAX_STREAMED {
            continue;
        }
        let tile = Operand::Tile(FIRST_STREAMED + writes.len());
        writes.push(node);
        for member in &mut members[i..] {
            let (inputs, output) = match member {
                Member::Map { inputs, output, .. } => (inputs.as_mut_slice(), Some(output)),
                Member::Sum { input, .. } => (std::slice::from_mut(input), None),
            };
            let own = output.filter(|output| **output == view);
            for operand in inputs.iter_mut().filter(|input| **input == view).chain(own) {
                *operand = tile;
            }
        }
    }
    writes
}

impl Group {
    /// `in_state` says which outputs are written over an old value of the state.
    pub fn new(
        mut members: Vec<Member>,
        mut spreads: Vec<Spread>,
        (dtype, total): (DType, usize),
        in_state: impl Fn(usize) -> bool,
    ) -> Self {
        // Members are called for rows of one length only.
        let row = spreads.iter().find(|spread| spread.pieces).map(|spread| spread.pattern.inner());
        for spread in &mut spreads {
            spread.pieces &= Some(spread.pattern.inner()) == row;
        }
        let mut part = part_length(total, 0, 1);
        let mut partial = Vec::new();
        let mut scratch = 0;
        for member in &members {
            if let Member::Sum { folding, .. } = member {
                let outputs = if folding.is_direct() { 0 } else { folding.outputs };
                part = part_length(total, outputs, folding.unit());
                partial.push(Some(scratch).filter(|_| !folding.is_direct()));
                scratch += outputs * total.div_ceil(part);
            }
        }
        let scratch = scratch * size_of::<f64>();
        let large = total * dtype.bytes() >= STREAMED;
        let writes = if large { streamed_outputs(&mut members, in_state) } else { Vec::new() };
        let mut reads = Vec::new();
        for input in members.iter().flat_map(Member::inputs) {
            match input {
                Operand::View(node) if !reads.contains(node) => reads.push(*node),
                _ => {}
            }
        }
        if total < PREFETCHED {
            reads.clear();
        }
        Group { members, spreads, dtype, total, part, partial, scratch, reads, writes }
    }

    pub fn run(&self, views: &[View], scratch: View) {
        match self.dtype {
            DType::F64 => self.run_typed::<f64>(views, scratch),
            _ => self.run_typed::<f32>(views, scratch),
        }
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.total.div_ceil(self.part)
    }

    /// The elements of a part.
    pub fn part(&self, number: usize) -> std::ops::Range<usize> {
        number * self.part..((number + 1) * self.part).min(self.total)
    }

    /// One part of [`Group::run`]; when all have run, [`Group::combine`] is left.
    pub fn run_one(&self, views: &[View], scratch: View, part: usize) {
        let (partial, part) = (scratch.address.cast::<f64>(), self.part(part));
        match self.dtype {
            DType::F64 => self.run_part::<f64>(views, partial, part, None),
            _ => self.run_part::<f32>(views, partial, part, None),
        }
    }

    /// Runs on some elements, of which `node` has the values at `values`. Only for
    /// groups without sums, which may be run on any of their elements.
    pub fn run_some(
        &self,
        views: &[View],
        range: std::ops::Range<usize>,
        (node, values): (usize, *mut u8),
    ) {
        let (views, values) = (SharedViews(views), Shared::from_ptr(values));
        for_parts(range.len(), self.part, |some| {
            let own = range.start + some.start..range.start + some.end;
            let given = Given { node, start: range.start, values: values.get() };
            let none = std::ptr::null_mut();
            match self.dtype {
                DType::F64 => self.run_part::<f64>(views.get(), none, own, Some(given)),
                _ => self.run_part::<f32>(views.get(), none, own, Some(given)),
            }
        });
    }

    /// Whether no member is a sum.
    pub fn is_without_sums(&self) -> bool {
        self.partial.is_empty()
    }

    /// The arrays that are read element for element, where they are large.
    pub fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// Adds the partial sums of all parts.
    pub fn combine(&self, views: &[View], scratch: View) {
        let partial = Shared::from_ptr(scratch.address.cast::<f64>());
        match self.dtype {
            DType::F64 => self.combine_typed::<f64>(SharedViews(views), partial),
            _ => self.combine_typed::<f32>(SharedViews(views), partial),
        }
    }

    fn run_typed<T: Typed>(&self, views: &[View], scratch: View) {
        let views = SharedViews(views);
        let partial = Shared::from_ptr(scratch.address.cast::<f64>());
        for_parts(self.total, self.part, |range| {
            self.run_part::<T>(views.get(), partial.get(), range, None);
        });
        self.combine_typed::<T>(views, partial);
    }

    fn combine_typed<T: Typed>(&self, views: SharedViews<'_>, partial: Shared<f64>) {
        let parts = self.total.div_ceil(self.part);
        let sums = self.members.iter().filter_map(|member| match member {
            Member::Sum { folding, output, .. } => Some((folding, output)),
            Member::Map { .. } => None,
        });
        for ((folding, output), offset) in sums.zip(&self.partial) {
            let Some(offset) = offset else { continue };
            let outputs = folding.outputs;
            // SAFETY: the scratch memory holds a row for each part, all of
            // them written; the output is as long as a row.
            unsafe {
                let rows = partial.get().add(*offset);
                let first = std::slice::from_raw_parts_mut(rows, outputs);
                for part in 1..parts {
                    let row = std::slice::from_raw_parts(rows.add(part * outputs), outputs);
                    first.iter_mut().zip(row).for_each(|(total, value)| *total += value);
                }
                let output = views.get()[*output].address.cast::<T>();
                for (i, total) in first.iter().enumerate() {
                    *output.add(i) = T::of(*total);
                }
            }
        }
    }

    fn run_part<T: Typed>(
        &self,
        views: &[View],
        partial: *mut f64,
        part: std::ops::Range<usize>,
        given: Option<Given>,
    ) {
        // Not zeroed: every tile is written by a member before one reads it.
        let mut tiles = MaybeUninit::<Tiles>::uninit();
        let tiles = tiles.as_mut_ptr().cast::<u8>();
        // SAFETY: tile numbers are below the number of tiles.
        let tile = |number: usize| -> *mut T { unsafe { tiles.add(number * TILE_BYTES).cast() } };
        let number = part.start / self.part;
        let row = |sum: usize, outputs: usize| {
            // SAFETY: the scratch memory holds a row for each part.
            self.partial[sum].map(|offset| unsafe { partial.add(offset + number * outputs) })
        };
        let mut carries = [0.0f64; MAX_SUMS];
        let sums = self.members.iter().filter_map(|member| match member {
            Member::Sum { folding, .. } => Some(folding.outputs),
            Member::Map { .. } => None,
        });
        for (sum, outputs) in sums.enumerate() {
            if let Some(row) = row(sum, outputs) {
                // SAFETY: as above; the row is this part's own.
                unsafe { std::slice::from_raw_parts_mut(row, outputs) }.fill(0.0);
            }
        }
        let mut spreads = [(std::ptr::null::<T>(), 0); MAX_SPREADS];
        // At which phase of its period the tile of a spread was filled.
        let mut phases = [usize::MAX; MAX_SPREADS];
        let step = TILE_BYTES / size_of::<T>();
        let mut start = part.start;
        while start < part.end {
            let n = step.min(part.end - start);
            let mut used = MAX_TILES;
            for (i, spread) in self.spreads.iter().enumerate() {
                let base = views[spread.node].address.cast::<T>();
                if spread.pieces {
                    // SAFETY: a row pattern has an element for each row.
                    spreads[i] = (unsafe { base.add(start / spread.pattern.inner().0) }, 0);
                    continue;
                }
                let (element, left) = spread.pattern.at(start);
                if left >= n {
                    // SAFETY: patterns come from the shapes.
                    spreads[i] = (unsafe { base.add(element) }, spread.pattern.inner().1);
                    continue;
                }
                let own = tile(used);
                used += 1;
                let phase = spread.pattern.period().map_or(usize::MAX, |period| start % period);
                if phase == usize::MAX || phase != phases[i] {
                    // SAFETY: as above; a tile holds `n` elements. A repeated
                    // row fills the whole tile, for later ones may be longer.
                    unsafe { spread.pattern.spread(base, start, n, own) };
                    phases[i] = phase;
                }
                spreads[i] = (own, 1);
            }
            let address = |operand: Operand| -> (*mut T, usize) {
                match (operand, given) {
                    (Operand::View(node), Some(given)) if node == given.node => {
                        (given.values.cast::<T>().wrapping_add(start - given.start), 1)
                    }
                    (Operand::View(node), _) => {
                        // Of 16 bits where a step widens or rounds.
                        let View { address, dtype, .. } = views[node];
                        // SAFETY: `start + n` is within the node's elements.
                        (unsafe { address.add(start * dtype.bytes()) }.cast(), 1)
                    }
                    (Operand::Tile(number), _) => (tile(number), 1),
                    (Operand::Spread(number), _) => {
                        (spreads[number].0.cast_mut(), spreads[number].1)
                    }
                }
            };
            let mut sum = 0;
            let mut asked = 0;
            for (i, member) in self.members.iter().enumerate() {
                asked = self.ask(views, start + step, part.end, asked, i);
                match member {
                    Member::Map { kernel, inputs, output } => {
                        let Some(kernel) = T::call(kernel) else { return };
                        let mut from = [std::ptr::null::<T>(); 3];
                        let mut steps = [0; 3];
                        for (i, operand) in inputs.iter().enumerate() {
                            let (pointer, step) = address(*operand);
                            (from[i], steps[i]) = (pointer, step);
                        }
                        let to = address(*output).0;
                        let Some(length) = self.piece(inputs) else {
                            // SAFETY: addresses are valid for `n` elements (or
                            // one, with step 0); outputs equal an input or are
                            // apart.
                            unsafe { kernel.call(from, steps, to, n) };
                            continue;
                        };
                        let mut advance = [0; 3];
                        for (i, operand) in inputs.iter().enumerate() {
                            advance[i] = usize::from(self.by_row(*operand));
                        }
                        let mut done = 0;
                        let mut run = (length - start % length).min(n);
                        while run > 0 {
                            // SAFETY: as above; operands by the row have
                            // an element for each.
                            unsafe { kernel.call(from, steps, to.add(done), run) };
                            done += run;
                            for i in 0..3 {
                                from[i] = from[i].wrapping_add(advance[i] + steps[i] * run);
                            }
                            run = length.min(n - done);
                        }
                    }
                    Member::Sum { folding, input, output } => {
                        let Some(loops) = T::tiles(folding) else { return };
                        let x = address(*input).0.cast_const();
                        let to = match row(sum, folding.outputs) {
                            Some(row) => Totals::Row(row),
                            None => Totals::Output(views[*output].address.cast::<T>()),
                        };
                        // SAFETY: as above; totals are those of the pattern.
                        unsafe { fold(folding, loops, x, start, n, to, &mut carries[sum]) };
                        sum += 1;
                    }
                }
            }
            for (i, node) in self.writes.iter().enumerate() {
                let from = tile(FIRST_STREAMED + i).cast::<u8>();
                // SAFETY: `start + n` is within the node's elements.
                unsafe {
                    let View { address, dtype, .. } = views[*node];
                    stream(from, address.add(start * dtype.bytes()), n * dtype.bytes());
                }
            }
            start += n;
        }
        if !self.writes.is_empty() {
            streamed();
        }
    }

    /// Whether an operand has an element for each row and is read so.
    fn by_row(&self, operand: Operand) -> bool {
        matches!(operand, Operand::Spread(number) if self.spreads[number].pieces)
    }

    /// The length of the rows for which a member has to be called.
    fn piece(&self, inputs: &[Operand]) -> Option<usize> {
        inputs.iter().find_map(|operand| match operand {
            Operand::Spread(number) if self.spreads[*number].pieces => {
                Some(self.spreads[*number].pattern.inner().0)
            }
            _ => None,
        })
    }

    /// Asks for a member's share of the lines of the tile at `next`: lines up to
    /// the one returned have been asked for.
    #[inline]
    fn ask(&self, views: &[View], next: usize, end: usize, asked: usize, member: usize) -> usize {
        const LINE: usize = 64;
        const LINES: usize = TILE_BYTES / LINE;
        if self.reads.is_empty() || next >= end {
            return asked;
        }
        let until = self.reads.len() * LINES * (member + 1) / self.members.len();
        for line in asked..until {
            let view = views[self.reads[line / LINES]];
            let offset = next * view.dtype.bytes() + line % LINES * LINE;
            prefetch(view.address.wrapping_add(offset), LINE);
        }
        until
    }
}

/// Where the values of a node lie from element `start` on, if not in its view.
#[derive(Clone, Copy)]
struct Given {
    node: usize,
    start: usize,
    values: *mut u8,
}

/// Where a sum keeps its totals.
enum Totals<T> {
    /// A part's own row of partial sums, one for each output.
    Row(*mut f64),
    /// The output: all values of an element are in one part.
    Output(*mut T),
}

/// Adds a tile to a sum. `carry` is the total so far of an output that goes on
/// in the next tile.
///
/// # Safety
/// `x` is valid for `n` elements, the totals for all outputs of the pattern.
unsafe fn fold<T: Typed>(
    folding: &Folding,
    loops: speck_kernels::reduce::tiles::Tiles<T>,
    x: *const T,
    start: usize,
    n: usize,
    totals: Totals<T>,
    carry: &mut f64,
) {
    let pattern = &folding.pattern;
    let (length, step) = pattern.inner();
    match totals {
        Totals::Output(out) => {
            // What is left of a row, whole rows, and the beginning of one.
            let mut output = start / length;
            let mut done = 0;
            while done < n {
                let before = (start + done) % length;
                if before > 0 || n - done < length {
                    let run = (length - before).min(n - done);
                    // SAFETY: the run lies in the tile.
                    *carry += unsafe { (loops.run)(x.add(done), run) };
                    done += run;
                    if before + run == length {
                        // SAFETY: the row is one of the pattern's.
                        unsafe { *out.add(output) = T::of(*carry) };
                        *carry = 0.0;
                        output += 1;
                    }
                    continue;
                }
                let mut sums = [0.0; 64];
                let rows = sums.len().min((n - done) / length);
                // SAFETY: the rows lie in the tile, their sums in the array.
                unsafe { (loops.each)(x.add(done), rows, length, sums.as_mut_ptr()) };
                for sum in &sums[..rows] {
                    // SAFETY: the row is one of the pattern's.
                    unsafe { *out.add(output) = T::of(*sum) };
                    output += 1;
                }
                done += rows * length;
            }
        }
        Totals::Row(row) if step == 0 => pattern.runs(start, n, |output, done, run| {
            // SAFETY: the run lies in the tile, the output in the row.
            unsafe { *row.add(output) += (loops.run)(x.add(done), run) };
        }),
        Totals::Row(row) => {
            // Whole rows of a repeated row are added together.
            let whole = match pattern.period() {
                Some(period) => (start.next_multiple_of(period) - start, period),
                None => (n, 1),
            };
            let before = whole.0.min(n);
            let rows = (n - before) / whole.1;
            let after = before + rows * whole.1;
            for (from, n) in [(0, before), (after, n - after)] {
                pattern.runs(start + from, n, |output, done, run| {
                    // SAFETY: as above, for the outputs of a run.
                    unsafe { (loops.rows)(x.add(from + done), 1, run, row.add(output)) };
                });
            }
            if rows > 0 {
                // SAFETY: the rows lie in the tile, and `row` is as long as one.
                unsafe { (loops.rows)(x.add(before), rows, whole.1, row) };
            }
        }
    }
}

/// Tiles on the stack, aligned for vector loads.
#[repr(C, align(64))]
struct Tiles {
    _bytes: [[u8; TILE_BYTES]; FIRST_STREAMED + MAX_STREAMED],
}

/// Views are plain addresses; threads work on disjoint ranges of them.
#[derive(Clone, Copy)]
struct SharedViews<'a>(&'a [View]);

impl<'a> SharedViews<'a> {
    fn get(self) -> &'a [View] {
        self.0
    }
}
