//! The reductions compiled for AVX-512.

use super::Dim;
use super::argmax::{self, Sizes};
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

/// The place of the largest; the contract of [`ArgReduce`](super::ArgReduce).
pub unsafe fn argmax(outer: usize, len: usize, inner: usize, x: &[f32], out: &mut [i32]) {
    // SAFETY: the caller's promise.
    unsafe { argmax::argmax::<F32x16>([outer, len, inner], x, out, places) };
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
unsafe fn places(sizes: Sizes, units: Range<usize>, x: *const f32, out: *mut i32) {
    // SAFETY: the caller's promise; this function has the instruction set.
    unsafe { argmax::units::<F32x16>(sizes, units, x, out) };
}
