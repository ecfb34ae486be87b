//! The matrix product of operands stored in 16 bits, with sums in 32.
//!
//! A matrix read from memory takes half the time to read, and half the room. Both
//! formats are exact in `f32`, so what is lost is lost when values are stored:
//! bf16 keeps 8 bits of the significand, a relative error of 2⁻⁹; f16 keeps 11, a
//! relative error of 2⁻¹² from 6.1·10⁻⁵ to 65504. The product keeps the bound of
//! the f32 product on what was stored: a few roundings of `Σ |a| |b|`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

pub use crate::storage::Storage;

use super::{MatmulShape, Taker};
use crate::isa::Isa;
use crate::real::Real;
use crate::variant::{Kernel, Signature, Variant};

/// `run(shape, storage, a, b, out, scratch)`.
pub type Run<T> = unsafe fn(&MatmulShape, Storage, &[u16], &[u16], &mut [T], &mut [T]);

/// `report(shape, storage, a, b, out, scratch, taker)`.
pub type Report<T> = unsafe fn(&MatmulShape, Storage, &[u16], &[u16], *mut T, &mut [T], &dyn Taker);

/// One way to multiply.
#[derive(Clone, Copy)]
pub struct Routine<T> {
    /// As [`super::Routine::run`], of operands stored in 16 bits. Offsets and
    /// strides of the shape count stored values.
    ///
    /// # Safety
    /// The processor has what the variant's [`Isa`] names.
    pub run: Run<T>,
    /// How many elements of scratch `run` needs.
    pub scratch: fn(&MatmulShape) -> usize,
    /// As [`super::Routine::report`], of operands stored in 16 bits.
    ///
    /// # Safety
    /// As for [`super::Routine::report`].
    pub report: Option<Report<T>>,
}

/// The signature of [`MATMUL_HALF`].
pub struct MatmulHalf;

impl Signature for MatmulHalf {
    type Run<T: Real> = Routine<T>;
}

/// The product of operands in f16 or bf16.
pub static MATMUL_HALF: Kernel<MatmulHalf> = Kernel {
    name: "matmul_half",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512_bf16", isa: Isa::Avx512Bf16, run: avx512::PAIRS },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::WIDENED },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2F16c, run: avx2::WIDENED },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::routine() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::routine() }],
};
