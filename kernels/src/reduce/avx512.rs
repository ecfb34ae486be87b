//! The reductions compiled for AVX-512.

use super::Dim;
use super::lanes::{self, Fold, Plan};
use crate::elementwise::avx512::F32x16;
use std::ops::Range;

/// Reduces; the contract of [`Reduce`](super::Reduce).
pub unsafe fn reduce<F: Fold>(dims: &[Dim], x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { lanes::reduce::<F32x16>(dims, x, out, run_units::<F>) };
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn run_units<F: Fold>(plan: &Plan, units: Range<usize>, x: *const f32, out: *mut f32) {
    // SAFETY: the caller's promise; this function has the instruction set.
    unsafe { lanes::run_units::<F32x16, F>(plan, units, x, out) };
}
