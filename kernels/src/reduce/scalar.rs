//! The specification of the reductions.

use super::Dim;
use super::layout::Layout;
use crate::Real;
use crate::elementwise::scalar::{BinaryRule, Maximum};
use crate::parallel::{self, GRAIN, Shared};

/// What a reduction does with one more value. The running total is `f64` for
/// either type.
pub trait FoldRule: 'static {
    /// The total of no values.
    const START: f64;
    /// The total with one more value.
    fn next(total: f64, value: f64) -> f64;
}

/// The sum.
pub struct Sum;
impl FoldRule for Sum {
    const START: f64 = 0.0;
    fn next(total: f64, value: f64) -> f64 {
        total + value
    }
}

/// The maximum; NaN once there is one.
pub struct Max;
impl FoldRule for Max {
    const START: f64 = f64::NEG_INFINITY;
    fn next(total: f64, value: f64) -> f64 {
        Maximum::value(total, value)
    }
}

/// Folds the reduced dimensions in row-major order.
pub fn reduce<F: FoldRule, T: Real>(dims: &[Dim], x: &[T], out: &mut [T]) {
    let Layout { kept, mut reduced, .. } = Layout::new(dims);
    debug_assert_eq!(x.len(), kept.count() * reduced.count());
    debug_assert_eq!(out.len(), kept.count());
    let outputs = out.len();
    let work = reduced.count();
    let (inner, stride) = reduced.pop();
    let out = Shared::new(out);
    parallel::for_parts(outputs, GRAIN / work.max(1), |range| {
        // SAFETY: parts are disjoint ranges of the outputs.
        let part = unsafe { out.part(range.clone()) };
        for (o, result) in range.zip(part) {
            let mut total = F::START;
            for run in 0..reduced.count() {
                let first = kept.offset(o) + reduced.offset(run);
                for i in 0..inner {
                    total = F::next(total, x[first + i * stride].wide());
                }
            }
            *result = T::of(total);
        }
    });
}

/// See [`ArgReduce`](super::ArgReduce).
pub fn argmax<T: Real>(outer: usize, len: usize, inner: usize, x: &[T], out: &mut [i32]) {
    debug_assert_eq!(x.len(), outer * len * inner);
    debug_assert_eq!(out.len(), outer * inner);
    let outputs = out.len();
    let out = Shared::new(out);
    parallel::for_parts(outputs, GRAIN / len.max(1), |range| {
        // SAFETY: parts are disjoint ranges of the outputs.
        let part = unsafe { out.part(range.clone()) };
        for (o, result) in range.zip(part) {
            let first = o / inner * len * inner + o % inner;
            let (mut best, mut best_value) = (0, T::neg_infinity());
            for i in 0..len {
                let value = x[first + i * inner];
                if value > best_value || (value.is_nan() && !best_value.is_nan()) {
                    (best, best_value) = (i, value);
                }
            }
            *result = best as i32;
        }
    });
}
