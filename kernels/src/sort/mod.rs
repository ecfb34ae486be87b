//! Order along an axis.
//!
//! The order is total: numbers ascend, -0 equals 0, NaN equals NaN and is
//! larger than all numbers; equals keep the order in which they stand, whether
//! ascending or descending. So there is one right answer, and every variant
//! gives it whatever algorithm it sorts by.

pub mod gpu;
mod packed;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// The shape of [`ARGSORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// Product of the axes before the sorted one.
    pub outer: usize,
    /// Length of the sorted axis.
    pub length: usize,
    /// Product of the axes after the sorted one.
    pub inner: usize,
    /// How many of the first in order are wanted; at most `length`.
    pub count: usize,
    /// Whether the largest come first.
    pub descending: bool,
}

impl Sorting {
    /// The number of elements sorted, and of places of scratch memory.
    pub fn elements(&self) -> usize {
        self.outer * self.length * self.inner
    }

    fn check(&self, x: usize, out: usize, scratch: usize) {
        assert!(self.count <= self.length, "{} of {} in order", self.count, self.length);
        assert!(self.length <= i32::MAX as usize, "indices of an axis of {}", self.length);
        assert_eq!(x, self.elements(), "length of the input");
        assert_eq!(out, self.outer * self.count * self.inner, "length of the output");
        assert_eq!(scratch, self.elements(), "places of scratch memory");
    }
}

/// Sorting along one axis.
pub struct Argsort;

impl Signature for Argsort {
    /// `(shape, x, out, scratch)`, with one place of scratch an element of `x`.
    type Run<T: Real> = fn(shape: &Sorting, x: &[T], out: &mut [i32], scratch: &mut [u64]);
}

/// `out[o, ·, i]` are the indices of the `count` first elements of `x[o, ·, i]`
/// in order; `x` is `[outer, length, inner]`, `out` `[outer, count, inner]`.
pub static ARGSORT: Kernel<Argsort> = Kernel {
    name: "argsort",
    f32: &[
        Variant { name: "packed", isa: Isa::Portable, run: packed::argsort },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::argsort },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::argsort }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![ARGSORT.status()]
}
