//! Softmax and its logarithm along one dimension.
//!
//! The largest value is subtracted first, so nothing overflows. A slice whose
//! largest value is ±∞, or that holds a NaN, becomes NaN throughout
//! (`log_softmax` keeps -∞ for a -∞ beside finite values).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod lanes;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// `(outer, len, inner, x, out)`: both slices have the shape
/// `[outer, len, inner]`, and the function is along `len`.
///
/// # Safety
/// Both slices have `outer · len · inner` elements. The variant's instruction
/// set is available.
pub struct Softmax;

impl Signature for Softmax {
    type Run<T: Real> = unsafe fn(usize, usize, usize, &[T], &mut [T]);
}

/// `e^(x - m) / Σ e^(x - m)` with m the largest value along the dimension.
pub static SOFTMAX: Kernel<Softmax> = Kernel {
    name: "softmax",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::softmax },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::softmax },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::softmax::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::softmax::<f64> }],
};

/// `x - m - ln Σ e^(x - m)` with m the largest value along the dimension.
pub static LOG_SOFTMAX: Kernel<Softmax> = Kernel {
    name: "log_softmax",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::log_softmax },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::log_softmax },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::log_softmax::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::log_softmax::<f64> }],
};

/// The kernels of this family with their variants.
pub fn kernels() -> Vec<KernelStatus> {
    vec![SOFTMAX.status(), LOG_SOFTMAX.status()]
}

/// Elements of work that one exponential stands for when work is split.
const EXP_WORK: usize = 8;
