//! The softmax family compiled for AVX2 with FMA.

use super::lanes::{self, Finish, Logarithm, Plain, Plan};
use crate::elementwise::avx2::F32x8;
use std::ops::Range;

/// Softmax; the contract of [`Softmax`](super::Softmax).
pub unsafe fn softmax(outer: usize, len: usize, inner: usize, x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { lanes::softmax::<F32x8>(outer, len, inner, x, out, run_units::<Plain>) };
}

/// Its logarithm; the contract of [`Softmax`](super::Softmax).
pub unsafe fn log_softmax(outer: usize, len: usize, inner: usize, x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { lanes::softmax::<F32x8>(outer, len, inner, x, out, run_units::<Logarithm>) };
}

#[target_feature(enable = "avx2,fma")]
unsafe fn run_units<F: Finish>(plan: &Plan, units: Range<usize>, x: *const f32, out: *mut f32) {
    // SAFETY: the caller's promise; this function has the instruction set.
    unsafe { lanes::run_units::<F32x8, F>(plan, units, x, out) };
}
