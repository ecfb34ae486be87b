//! The specification of the softmax family.

use super::EXP_WORK;
use crate::Real;
use crate::elementwise::scalar::{BinaryRule, Maximum};
use crate::parallel::{self, GRAIN, Shared};

/// See [`SOFTMAX`](super::SOFTMAX).
pub fn softmax<T: Real>(outer: usize, len: usize, inner: usize, x: &[T], out: &mut [T]) {
    each(outer, len, inner, x, out, |centred, sum| T::of(centred.exp().wide() / sum));
}

/// See [`LOG_SOFTMAX`](super::LOG_SOFTMAX).
pub fn log_softmax<T: Real>(outer: usize, len: usize, inner: usize, x: &[T], out: &mut [T]) {
    each(outer, len, inner, x, out, |centred, sum| T::of(centred.wide() - sum.ln()));
}

/// Computes each output from `x - m` and `Σ e^(x - m)`; the sum is in `f64`.
fn each<T: Real>(
    outer: usize,
    len: usize,
    inner: usize,
    x: &[T],
    out: &mut [T],
    value: impl Fn(T, f64) -> T + Sync,
) {
    debug_assert_eq!(x.len(), outer * len * inner);
    debug_assert_eq!(out.len(), x.len());
    let out = Shared::new(out);
    parallel::for_parts(outer * inner, GRAIN / (EXP_WORK * len).max(1), |range| {
        for slice in range {
            let first = slice / inner * len * inner + slice % inner;
            let at = |i: usize| first + i * inner;
            let max = (0..len).fold(T::neg_infinity(), |max, i| Maximum::value(max, x[at(i)]));
            let sum: f64 = (0..len).map(|i| (x[at(i)] - max).exp().wide()).sum();
            for i in 0..len {
                // SAFETY: at(i) is inside the slice, and no other slice of the
                // dimension, so no other part, writes it.
                unsafe { *out.get().add(at(i)) = value(x[at(i)] - max, sum) };
            }
        }
    });
}
