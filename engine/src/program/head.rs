//! A product, and the group that is run on each part of it as it is finished.
//!
//! A product writes its result once, block by block; a bias, an activation or a
//! residual added by a step of its own reads it back when much of it has left the
//! second-level cache. A kernel that can tell which elements are done reports them
//! instead, and whoever has finished a part of the group's work runs the group on
//! it there and then. Where only the group reads the product, the product lies in
//! the memory of what the group makes of it, so that memory is written once.
//!
//! Measured on a two-core AVX-512 server (Zen 5), two threads, medians of
//! interleaved rounds, the time of product and group apart over that joined, with a
//! bias alone / bias, rectifier and residual / GELU / bias, rectifier and the sums of
//! columns:
//!
//! | rows × columns × depth | bias | residual | GELU | sums |
//! |---|---|---|---|---|
//! | 4096 × 512 × 128 | 1.11 | 1.17 | 1.11 | 1.05 |
//! | 4096 × 128 × 512 | 1.02 | 1.06 | 1.03 | 1.03 |
//! | 16384 × 512 × 128 | 1.19 | 1.20 | 1.03 | 1.07 |
//! | 16384 × 128 × 128 | 1.11 | 1.28 | 1.10 | 1.10 |
//! | 65536 × 32 × 64 | 1.17 | 1.22 | 1.14 | 1.12 |
//! | 256 × 4096 × 512 | 1.04 | 1.04 | 1.06 | 1.00 |
//! | 1024 × 1024 × 1024 | 1.01 | 1.01 | 1.01 | 1.01 |
//! | 256 × 512 × 12288 | 1.02 | 1.00 | 1.00 | 1.00 |
//!
//! A training step of the vision transformer of `speck bench steps` at batch 64
//! gains 0 to 0.5 %. As long as the product's blocks of rows were as many as its
//! first operand has in half a second-level cache, 1000 rows at a depth of 128, it
//! lost 3 %: what was reported had left that cache.
//!
//! A group with sums is cut into parts by its shape alone; each part runs as a whole
//! when its last element is handed over, on the values and in the order in which it
//! runs by itself. A group without sums runs on whatever is handed over, for its
//! elements have nothing to do with each other. So nothing changes but the time, at
//! any number of threads.
//!
//! # Products that are kept nowhere
//! Where the group alone reads the product and none of its own values can lend it
//! memory, as where an optimizer takes a weight's gradient, the product needs none if
//! its kernel can hand over block by block (`Routine::passes`): the values lie in a
//! buffer that stays in the second-level cache. The arrays that the group reads with
//! them are asked for while the block is multiplied.
//!
//! Measured as above, on two threads, with weights of 512 × 12288 and Adam: a training step
//! on 32 samples takes 0.96 times as long, one on 256 samples gains nothing yet: in 4 KiB
//! pages, as the arrays then lay in, each row of a block has a page of its own.

use super::arena::{Arguments, View};
use super::group::Group;
use crate::op::Routine;
use speck_kernels::matmul::Taker;
use speck_kernels::parallel::{Shared, for_parts};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Arrays of a group that a product is told of.
const MOST_READ: usize = 4;

/// A product and its group.
pub(crate) struct Head {
    /// The product.
    pub node: usize,
    inputs: Vec<usize>,
    routine: Routine,
    group: Group,
    /// Elements of each of the group's parts that are not finished yet; none where the
    /// group has no sums.
    missing: Vec<AtomicUsize>,
}

impl Head {
    pub fn new(node: usize, inputs: Vec<usize>, routine: Routine, group: Group) -> Self {
        let parts = if group.is_without_sums() { 0 } else { group.parts() };
        let missing = (0..parts).map(|_| AtomicUsize::new(0)).collect();
        Head { node, inputs, routine, group, missing }
    }

    /// Bytes of scratch memory: the product's, then the group's.
    pub fn scratch(&self) -> usize {
        super::memory::padded(self.routine.scratch) + self.group.scratch
    }

    pub fn run(&self, views: &[View], scratch: View) {
        for (part, missing) in self.missing.iter().enumerate() {
            missing.store(self.group.part(part).len(), Ordering::Relaxed);
        }
        let offset = super::memory::padded(self.routine.scratch);
        let behind = View { address: scratch.address.wrapping_add(offset), ..scratch };
        let scratch = View { elements: self.routine.scratch, ..scratch };
        let mut reads = [Shared::from_ptr(std::ptr::null_mut()); MOST_READ];
        let others = self.group.reads().iter().filter(|node| **node != self.node);
        let mut count = 0;
        for (place, node) in reads.iter_mut().zip(others) {
            *place = Shared::from_ptr(views[*node].address);
            count += 1;
        }
        (self.routine.run)(Arguments {
            views,
            inputs: &self.inputs,
            output: views[self.node],
            scratch,
            taker: Some(&Parts { head: self, views, scratch: behind, reads: &reads[..count] }),
        });
        self.group.combine(views, behind);
    }
}

/// What takes the product's parts in one run.
struct Parts<'a> {
    head: &'a Head,
    views: &'a [View],
    scratch: View,
    reads: &'a [Shared<u8>],
}

impl Taker for Parts<'_> {
    /// Runs the group on these elements, or on the parts of which they are the last.
    fn take(&self, range: Range<usize>, values: *mut u8) {
        let Parts { head: Head { node, group, missing, .. }, views, scratch, .. } = *self;
        if range.is_empty() {
            return;
        }
        if group.is_without_sums() {
            return group.run_some(views, range, (*node, values));
        }
        let length = group.part(0).len().max(1);
        let parts = range.start / length..range.end.div_ceil(length);
        for_parts(parts.len(), 1, |some| {
            for part in parts.start + some.start..parts.start + some.end {
                let own = group.part(part);
                let done = range.end.min(own.end) - range.start.max(own.start);
                // What other threads have finished of the part is seen by the one
                // that takes the count to zero.
                if missing[part].fetch_sub(done, Ordering::AcqRel) == done {
                    group.run_one(views, scratch, part);
                }
            }
        });
    }

    fn reads(&self) -> &[Shared<u8>] {
        self.reads
    }
}
