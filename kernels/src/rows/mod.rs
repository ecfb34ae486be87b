//! Linear layers on windows, by rows: forward, backward, and the update of the
//! rows that a step has touched.
//!
//! A linear layer on a flattened map has one row of weights, `outputs` long, for
//! each position and channel. Behind a few windows (see [`crate::window`]) only
//! the rows under them meet anything that differs from sample to sample, so only
//! they are read and written here. The layout follows from that: `rows`
//! `[positions · channels, parts, outputs]`, channels last as in windows. Part 0
//! is the weight; an optimizer's moments may lie in the parts behind it, so that
//! all that an update touches of a row is one stretch of memory.
//!
//! PyTorch's layout `[outputs, channels · positions]` would put the values that
//! one position needs into `outputs` different cache lines.
//!
//! An *index* lists for each position which places of windows lie on it, so that
//! all samples that share a position form one small matrix product: the rows are
//! read once for all of them, and no sample is dispatched by itself.
//!
//! # What was measured
//! f32, one thread of a two-core AVX-512 server (Zen 5), best of repeated steps.
//! * The head of a CNN, 8192 → 128 behind windows of 64 samples: sample by sample
//!   on PyTorch's layout 16 ms forward, 16 ms to the windows and 98 ms to the
//!   weight; position by position in tiles of registers 0.25, 0.26 and 0.1 ms.
//!   A dense gradient of the weight was most of a step before.
//! * 12288 → 512, 256 samples that differ in one pixel: a step took 23 ms with the
//!   gradient written out and all of the weight and its moments updated, and takes
//!   2.6 ms; at 32 samples 15.3 and 0.45 ms. What is left of the 2.6 ms is 1.8 ms of
//!   catching up, 14 MB read and written, and the layers behind.
//! * With a background for each sample, where all rows have a gradient: 5.8 ms for
//!   the update, which reads and writes 75 MB each; that is the memory's speed.
//! * [`ROW_SUM`] reads one part of three. In columns of 256, one thread each, 3.0 ms
//!   for 4.2 million weights; in two long stretches, with the row of the next
//!   position fetched ahead, 1.6 ms.
//! * Transposing the weight from PyTorch's layout and back in each step took 23 ms
//!   for 6.3 million weights: hence the rows live in the state.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod compiled;
#[cfg(target_arch = "x86_64")]
mod gaps;
pub mod gpu;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub mod rule;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod update;

use crate::window::Windows;
use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use rule::Rule;

/// Sizes of a layer on windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The windows.
    pub windows: Windows,
    /// Length of a row's part.
    pub outputs: usize,
    /// Parts of a row.
    pub parts: usize,
}

impl Rows {
    /// Positions of the map.
    pub fn positions(&self) -> usize {
        self.windows.map[0] * self.windows.map[1]
    }

    /// Places of a sample's windows.
    fn places(&self) -> usize {
        self.windows.slots * self.windows.size[0] * self.windows.size[1]
    }

    /// Elements from one row to the next.
    fn stride(&self) -> usize {
        self.parts * self.outputs
    }

    /// Elements of all rows.
    pub fn elements(&self) -> usize {
        self.positions() * self.windows.channels * self.stride()
    }

    /// Elements of the index.
    pub fn index_elements(&self) -> usize {
        self.positions() + 1 + 2 * self.windows.samples * self.places()
    }

    /// The places on the map's position `position`: sample, and number among the
    /// places of all samples.
    fn entries<'a>(&self, index: &'a [i32], position: usize) -> &'a [[i32; 2]] {
        let behind = self.positions() + 1;
        let [from, to] = [index[position] as usize, index[position + 1] as usize];
        index[behind + 2 * from..behind + 2 * to].as_chunks().0
    }

    /// Panics unless the index is as long as it should be and names only places
    /// that there are: the fast variants use it through pointers.
    fn check_index(&self, index: &[i32]) {
        assert_eq!(index.len(), self.index_elements(), "length of the index");
        let (offsets, entries) = index.split_at(self.positions() + 1);
        let (samples, most) = (self.windows.samples as u32, entries.len() as u32 / 2);
        let ascending = offsets.windows(2).fold(true, |all, pair| all & (pair[0] <= pair[1]));
        assert!(offsets[0] == 0 && ascending, "offsets of the index");
        assert!(offsets[self.positions()] as u32 <= most, "offsets of the index");
        let (entries, _) = entries.as_chunks::<2>();
        let inside = entries.iter().fold(true, |all, [sample, place]| {
            all & ((*sample as u32) < samples) & ((*place as u32) < most)
        });
        assert!(inside || most == 0, "entries of the index");
    }

    fn check(&self, windows: usize, outputs: usize, rows: usize, index: &[i32]) {
        assert_eq!(windows, self.windows.elements(), "length of the windows");
        assert_eq!(outputs, self.windows.samples * self.outputs, "length of the outputs");
        assert_eq!(rows, self.elements(), "length of the rows");
        self.check_index(index);
    }
}

/// The index of windows.
pub struct Index;

impl Signature for Index {
    /// `(rows, origins, out)`.
    type Run<T: Real> = fn(rows: &Rows, origins: &[i32], out: &mut [i32]);
}

/// `out` `[positions + 1 + 2 · samples · slots · places]`: for each position where
/// its list begins, and where the last ends; then the lists, each in ascending
/// order, of pairs: the sample, and the number of the place among those of all
/// windows of all samples; then zeros.
pub static ROW_INDEX: Kernel<Index> = Kernel {
    name: "row_index",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::index }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::index }],
};

/// The three products.
pub struct Product;

impl Signature for Product {
    /// `(rows, a, b, index, out)`; see the kernels.
    type Run<T: Real> = fn(rows: &Rows, a: &[T], b: &[T], index: &[i32], out: &mut [T]);
}

macro_rules! product {
    ($(#[$doc:meta])* $kernel:ident, $name:ident) => {
        $(#[$doc])*
        pub static $kernel: Kernel<Product> = Kernel {
            name: stringify!($name),
            f32: &[
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx512", isa: Isa::Avx512, run: avx512::$name },
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx2", isa: Isa::Avx2, run: avx2::$name },
                Variant { name: "scalar", isa: Isa::Portable, run: scalar::$name },
            ],
            f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::$name }],
        };
    };
}

product! {
    /// `out` `[samples, outputs]`: the windows `a` times part 0 of the rows `b`;
    /// positions in ascending order.
    ROW_LINEAR, row_linear
}
product! {
    /// The adjoint of [`ROW_LINEAR`] in the windows: `a` `[samples, outputs]`
    /// times part 0 of the rows `b`; 0 beyond the border.
    ROW_LINEAR_PATCH, row_linear_patch
}
product! {
    /// The adjoint of [`ROW_LINEAR`] in the rows, of one part: `a` are windows,
    /// `b` `[samples, outputs]`; samples in ascending order.
    ROW_LINEAR_WEIGHT, row_linear_weight
}

/// What a position of the map stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// For each position the row group of the sums that belongs to it.
    pub of: std::sync::Arc<[u32]>,
    /// How many groups there are.
    pub count: usize,
}

impl Classes {
    fn check(&self, rows: &Rows) {
        assert_eq!(self.of.len(), rows.positions(), "classes of positions");
        assert!(self.of.iter().all(|class| (*class as usize) < self.count), "a class too many");
    }
}

/// Sums of rows.
pub struct Sum;

impl Signature for Sum {
    /// `(rows, classes, wanted, x, out)`.
    type Run<T: Real> = fn(rows: &Rows, classes: &Classes, wanted: bool, x: &[T], out: &mut [T]);
}

/// `out` `[classes, channels, outputs]`: part 0 of the rows of all positions of
/// a class, added up; zeros where they are not `wanted`.
pub static ROW_SUM: Kernel<Sum> = Kernel {
    name: "row_sum",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::row_sum },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::row_sum },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_sum },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_sum }],
};

/// What an update of rows reads.
pub struct Change<'a, T> {
    /// The windows.
    pub windows: &'a [T],
    /// The cotangent of the outputs, `[samples, outputs]`.
    pub outputs: &'a [T],
    /// The gradient of the sums `[classes, channels, outputs]`.
    pub sums: &'a [T],
    /// The index of the windows.
    pub index: &'a [i32],
    /// Whether all rows are updated, not only those under windows.
    pub all: bool,
    /// The rate.
    pub rate: f64,
    /// The number of the step, from 1.
    pub step: u64,
}

/// Updating rows.
pub struct Update;

impl Signature for Update {
    /// `(rows, classes, rule, change, out)`.
    type Run<T: Real> =
        fn(rows: &Rows, classes: &Classes, rule: &Rule, change: &Change<T>, out: &mut [T]);
}

/// One step of an optimizer on the rows `out`, in place. The gradient of a row
/// is that of its class's sum and what [`ROW_LINEAR_WEIGHT`] gives; it is never
/// written to memory.
pub static ROW_UPDATE: Kernel<Update> = Kernel {
    name: "row_update",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::row_update },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::row_update },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_update },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_update }],
};

/// Steps of which the rates are kept: no row falls further behind.
pub const HISTORY: usize = 256;

/// What catching up reads.
pub struct Missed<'a, T> {
    /// For each position the last step that its rows have made.
    pub last: &'a [i32],
    /// The step that they are to have made, at most [`HISTORY`] after any `last`.
    pub step: u64,
    /// The rates of past steps: that of step t at t mod [`HISTORY`].
    pub rates: &'a [T],
    /// The index of the windows.
    pub index: &'a [i32],
    /// Whether all rows catch up, not only those under windows.
    pub all: bool,
}

/// Catching up.
pub struct CatchUp;

impl Signature for CatchUp {
    /// `(rows, rule, missed, out)`.
    type Run<T: Real> = fn(rows: &Rows, rule: &Rule, missed: &Missed<T>, out: &mut [T]);
}

/// Makes on the rows `out` the steps that they have missed, each with a gradient
/// of zero. `scalar` makes them one by one; the others as [`rule`] derives it.
pub static ROW_CATCH_UP: Kernel<CatchUp> = Kernel {
    name: "row_catch_up",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::row_catch_up },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::row_catch_up },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_catch_up },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::row_catch_up }],
};

/// Whether all rows are due.
pub struct Due;

impl Signature for Due {
    /// `(base, step, out)`.
    type Run<T: Real> = fn(base: &[T], step: &[i32], out: &mut [i32]);
}

/// `out` `[]`: 1 if a value of the base is not 0, so that every row has a gradient,
/// or if the steps made so far are a multiple of [`HISTORY`]; else 0.
pub static ROW_DUE: Kernel<Due> = Kernel { name: "row_due", f32: &due(), f64: &due() };

const fn due<T: Real>() -> [Variant<<Due as Signature>::Run<T>>; 1] {
    [Variant { name: "scalar", isa: Isa::Portable, run: scalar::due::<T> }]
}

/// The last steps of rows.
pub struct Seen;

impl Signature for Seen {
    /// `(last, index, due, step, out)`.
    type Run<T: Real> = fn(last: &[i32], index: &[i32], due: &[i32], step: &[i32], out: &mut [i32]);
}

/// `out` `[positions]`: the `step` for positions in the index, for all
/// of them where they are `due`; else `last`.
pub static ROW_SEEN: Kernel<Seen> = Kernel {
    name: "row_seen",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::seen }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::seen }],
};

/// The rates of past steps.
pub struct Rates;

impl Signature for Rates {
    /// `(rates, rate, step, out)`.
    type Run<T: Real> = fn(rates: &[T], rate: &[T], step: &[i32], out: &mut [T]);
}

/// `out` [`HISTORY`]: the `rates` with that of the step after `step`.
pub static ROW_RATES: Kernel<Rates> = Kernel { name: "row_rates", f32: &rates(), f64: &rates() };

const fn rates<T: Real>() -> [Variant<<Rates as Signature>::Run<T>>; 1] {
    [Variant { name: "scalar", isa: Isa::Portable, run: scalar::rates::<T> }]
}

impl<T: Real> Missed<'_, T> {
    fn check(&self, rows: &Rows, out: usize) {
        rows.check_index(self.index);
        assert_eq!(out, rows.elements(), "length of the rows");
        assert_eq!(self.last.len(), rows.positions(), "length of the last steps");
        assert_eq!(self.rates.len(), HISTORY, "length of the rates");
    }

    /// Whether the rows of a position catch up, and from which step.
    fn from(&self, rows: &Rows, position: usize) -> Option<u64> {
        let wanted = self.all || !rows.entries(self.index, position).is_empty();
        let last = u64::from(self.last[position].max(0).unsigned_abs());
        let last = last.max(self.step.saturating_sub(HISTORY as u64));
        (wanted && last < self.step).then_some(last)
    }

    fn rate(&self, step: u64) -> f64 {
        self.rates[(step % HISTORY as u64) as usize].wide()
    }
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![
        ROW_INDEX.status(),
        ROW_LINEAR.status(),
        ROW_LINEAR_PATCH.status(),
        ROW_LINEAR_WEIGHT.status(),
        ROW_SUM.status(),
        ROW_UPDATE.status(),
        ROW_CATCH_UP.status(),
        ROW_DUE.status(),
        ROW_SEEN.status(),
        ROW_RATES.status(),
    ]
}
