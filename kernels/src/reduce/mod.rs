//! Sums, maxima and the places of maxima.
//!
//! [`SUM`] and [`MAX`] take any set of dimensions to reduce. `layout.rs` brings
//! a shape into the form the loops want; `lanes.rs` holds the loops over
//! registers, which `avx2.rs` and `avx512.rs` compile for their instruction
//! sets.
//!
//! Work is split over outputs and never within one, so the order of additions
//! depends on the shape and the variant alone, not on the number of threads.

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod argmax;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) mod lanes;
mod layout;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;
pub mod tiles;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use scalar::{Max, Sum};

/// One dimension of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim {
    /// Its length.
    pub size: usize,
    /// Whether it is reduced; otherwise the output has it.
    pub reduced: bool,
}

/// How many dimensions may be left after [`collapse`].
pub const MAX_DIMS: usize = 16;

/// The shortest list that means the same: dimensions of size 1 are dropped and
/// neighbours of the same kind merged. Kernels accept any list of at most
/// [`MAX_DIMS`] dimensions after this; calling it once, when a program is
/// compiled, spares them the work.
pub fn collapse(dims: &[Dim]) -> Vec<Dim> {
    let mut collapsed: Vec<Dim> = Vec::new();
    for dim in dims.iter().filter(|dim| dim.size != 1) {
        match collapsed.last_mut() {
            Some(last) if last.reduced == dim.reduced => last.size *= dim.size,
            _ => collapsed.push(*dim),
        }
    }
    collapsed
}

/// `(dims, x, out)`: `x` has the shape `dims`, `out` that of the dimensions
/// kept, both row-major.
///
/// # Safety
/// The slices are as long as their shapes say; `dims` has at most [`MAX_DIMS`]
/// dimensions once collapsed. The variant's instruction set is available.
pub struct Reduce;

impl Signature for Reduce {
    type Run<T: Real> = unsafe fn(&[Dim], &[T], &mut [T]);
}

/// `(outer, len, inner, x, out)`: for `x` of shape `[outer, len, inner]`,
/// `out[o, i]` is the index in `0..len` of the largest `x[o, ·, i]`: the first
/// of equals. NaN counts as the largest value. Where `len` is 0 there is no
/// such index, and the output is 0.
///
/// # Safety
/// `x` has `outer · len · inner` elements, `out` has `outer · inner`, and `len`
/// fits an `i32`. The variant's instruction set is available.
pub struct ArgReduce;

impl Signature for ArgReduce {
    type Run<T: Real> = unsafe fn(usize, usize, usize, &[T], &mut [i32]);
}

/// The sum over the reduced dimensions; 0 where there is nothing to add.
///
/// `scalar` adds in `f64`. The `f32` variants add blocks of at most a few
/// hundred values a lane and carry the rounding error of adding the blocks
/// along, so that the error does not grow with the length: it stays within
/// 1e-5 (typically 1e-7) of the sum of the magnitudes.
pub static SUM: Kernel<Reduce> = Kernel {
    name: "sum",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::reduce::<Sum> },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::reduce::<Sum> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::reduce::<Sum, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::reduce::<Sum, f64> }],
};

/// The largest value over the reduced dimensions: -∞ where there is none, NaN
/// where any is NaN.
pub static MAX: Kernel<Reduce> = Kernel {
    name: "max",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::reduce::<Max> },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::reduce::<Max> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::reduce::<Max, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::reduce::<Max, f64> }],
};

/// The index of the largest value; see [`ArgReduce`].
pub static ARGMAX: Kernel<ArgReduce> = Kernel {
    name: "argmax",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::argmax },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::argmax },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::argmax::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::argmax::<f64> }],
};

/// The kernels of this family with their variants.
pub fn kernels() -> Vec<KernelStatus> {
    vec![SUM.status(), tiles::SUM_TILES.status(), MAX.status(), ARGMAX.status()]
}
