//! Where the rows of an attention lie.
//!
//! A linear layer gives the queries, keys and values of a token side by side,
//! head after head. Brought into arrays of their own they cost two copies on the
//! way in, one on the way out, and six on the way back, each of which writes
//! zeros around what it moves: of the step of a vision transformer (64 samples of
//! 64 tokens, 4 heads of 32) that was 6.5 of 92 ms. The kernels only ever walk from
//! row to row, so they can as well walk with longer steps.

use super::{AttentionRows, AttentionShape};

/// Row `i` of attention `b` begins at `first + b / heads · sample + b % heads ·
/// head + i · step`.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    first: usize,
    heads: usize,
    sample: usize,
    head: usize,
    /// From row to row.
    pub step: usize,
}

impl Place {
    /// The first element, and the steps from sample to sample, from head to head and
    /// from row to row; behind `skipped` elements.
    pub fn steps(&self, skipped: usize) -> [usize; 4] {
        [skipped + self.first, self.sample, self.head, self.step]
    }

    /// The first element of a row.
    pub fn at(&self, b: usize, row: usize) -> usize {
        self.first + b / self.heads * self.sample + b % self.heads * self.head + row * self.step
    }
}

impl AttentionShape {
    fn place(&self, first: usize, rows: usize, length: usize, together: usize) -> Place {
        match self.rows {
            AttentionRows::Apart => {
                Place { first, heads: 1, sample: rows * length, head: 0, step: length }
            }
            AttentionRows::Packed { heads } => {
                let step = together * heads * length;
                Place { first, heads: heads.max(1), sample: rows * step, head: length, step }
            }
        }
    }

    /// Queries in their slice.
    pub(super) fn place_q(&self) -> Place {
        self.place(0, self.queries, self.size, 3)
    }
    /// Keys in their slice.
    pub(super) fn place_k(&self) -> Place {
        self.place(0, self.keys, self.size, 3)
    }
    /// Values in their slice.
    pub(super) fn place_v(&self) -> Place {
        self.place(0, self.keys, self.value, 3)
    }
    /// Outputs, and their cotangent.
    pub(super) fn place_out(&self) -> Place {
        self.place(0, self.queries, self.value, 1)
    }
    /// Gradients of queries, keys and values in the array of all three.
    pub(super) fn place_gradients(&self) -> [Place; 3] {
        let [q, k, _, _] = self.elements();
        let firsts = match self.rows {
            AttentionRows::Apart => [0, q, q + k],
            AttentionRows::Packed { heads } => [0, heads * self.size, 2 * heads * self.size],
        };
        let [q, k, v] = [self.place_q(), self.place_k(), self.place_v()];
        [
            Place { first: firsts[0], ..q },
            Place { first: firsts[1], ..k },
            Place { first: firsts[2], ..v },
        ]
    }
}
