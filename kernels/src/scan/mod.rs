//! Running totals along an axis.

mod columns;
pub mod gpu;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// The shape of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanning {
    /// Product of the axes before the one scanned.
    pub outer: usize,
    /// Length of the axis scanned.
    pub length: usize,
    /// Product of the axes after it.
    pub inner: usize,
    /// Whether totals run from the end to the beginning.
    pub reverse: bool,
}

impl Scanning {
    fn check(&self, x: usize, out: usize) {
        assert_eq!(x, self.outer * self.length * self.inner, "length of the input");
        assert_eq!(out, x, "length of the output");
    }
}

/// A scan along one axis.
pub struct Scan;

impl Signature for Scan {
    /// `(shape, x, out)`, both `[outer, length, inner]`.
    type Run<T: Real> = fn(shape: &Scanning, x: &[T], out: &mut [T]);
}

/// `out[o, l, i] = Σ x[o, k, i]` over `k <= l`, or with `reverse` over
/// `k >= l`. Totals are `f64`, each term is added in order, and each total is
/// rounded for itself, so the result is the same for every variant.
pub static CUMULATIVE_SUM: Kernel<Scan> =
    Kernel { name: "cumulative_sum", f32: &cumulative_sum(), f64: &cumulative_sum() };

const fn cumulative_sum<T: Real>() -> [Variant<<Scan as Signature>::Run<T>>; 2] {
    [
        Variant { name: "columns", isa: Isa::Portable, run: columns::cumulative_sum::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::cumulative_sum::<T> },
    ]
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![CUMULATIVE_SUM.status()]
}
