//! Eigenvalues and eigenvectors of small symmetric matrices.

pub mod gpu;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// A decomposition of square matrices one behind another.
pub struct Eigen;

impl Signature for Eigen {
    /// `(n, x, out, scratch)`: matrices `[n, n]`, results `[n + 1, n]`, and
    /// [`scratch`] numbers of scratch memory.
    type Run<T: Real> = fn(n: usize, x: &[T], out: &mut [T], scratch: &mut [f64]);
}

/// Numbers of scratch memory for matrices `[n, n]`.
pub fn scratch(n: usize) -> usize {
    2 * n * n + n
}

/// Of each matrix, whose lower triangle is not read: in the first row the
/// eigenvalues, the smallest first, below it the eigenvectors of unit length as
/// rows in the same order, each with its largest component positive.
pub static SYMMETRIC: Kernel<Eigen> = Kernel {
    name: "symmetric_eigen",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::symmetric }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::symmetric }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![SYMMETRIC.status()]
}
