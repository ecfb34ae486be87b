//! Random numbers as a function of where they stand: nothing is drawn in
//! order, so a value does not depend on threads, variants or history.
//!
//! Element `index` of a [`Stream`] is word `index mod 4` of one block of
//! Philox4x32-10, with
//!
//! - counter = (`index / 4` low, high, `step` low, high), 32 bits each;
//! - key = [`Stream::key`], a mixture of `seed` and `stream`.
//!
//! Why nothing is used twice: under one key Philox is a bijection of counters
//! to blocks, and different (step, index) are different words of different
//! counters. The key is one-to-one in `stream` for a fixed seed and one-to-one
//! in `seed` for a fixed stream, so the streams of one run never share a key,
//! and neither does one stream under two seeds. Only two streams under two
//! *different* seeds can share one: 128 bits do not fit into 64. The mixing
//! makes that as unlikely as for random keys, 2⁻⁶⁴ a pair.

pub mod gpu;
mod lanes;
mod philox;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub use philox::{Stream, bits, philox4x32, uniform};

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// Filling a tensor with random numbers.
pub struct Generate;

impl Signature for Generate {
    /// `(stream, out)`: element `i` of `out` is drawn from elements of the
    /// stream that depend on `i` alone.
    type Run<T: Real> = unsafe fn(stream: &Stream, out: &mut [T]);
}

/// Uniform in [0, 1): [`uniform`]`(stream, i)`, a multiple of 2⁻²⁴, so `f32`
/// and `f64` hold the same value. All variants give the same bits.
pub static UNIFORM: Kernel<Generate> = Kernel {
    name: "uniform",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::uniform },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::uniform },
        Variant { name: "lanes", isa: Isa::Portable, run: lanes::uniform },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::uniform::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::uniform::<f64> }],
};

/// Normal with mean 0 and variance 1, by Box and Muller's transformation of
/// pairs of the uniform draws u of the same stream:
///
/// ```text
/// r = √(−2 ln(1 − u₂ₖ)),   n₂ₖ = r cos 2πu₂ₖ₊₁,   n₂ₖ₊₁ = r sin 2πu₂ₖ₊₁
/// ```
///
/// No value exceeds √(48 ln 2) ≈ 5.77 in magnitude, since 1 − u ≥ 2⁻²⁴.
/// `scalar` evaluates this in `f64` by routines of its own, the same on every
/// machine, and rounds; so `f32` is the rounding of what `f64` gets. The other
/// variants evaluate in `f32`, equal to each other bit for bit and within
/// 1.2·10⁻⁶ of `scalar`, the sum of the greatest errors found over all radii and
/// over all angles.
pub static NORMAL: Kernel<Generate> = Kernel {
    name: "normal",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::normal },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::normal },
        Variant { name: "lanes", isa: Isa::Portable, run: lanes::normal },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::normal::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::normal::<f64> }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![UNIFORM.status(), NORMAL.status()]
}
