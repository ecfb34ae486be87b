//! The specification.

use super::Sorting;
use crate::Real;
use std::cmp::Ordering;

/// The order of two elements, NaN being the largest.
pub fn order<T: Real>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

pub(super) fn argsort<T: Real>(shape: &Sorting, x: &[T], out: &mut [i32], scratch: &mut [u64]) {
    shape.check(x.len(), out.len(), scratch.len());
    let Sorting { outer, length, inner, count, descending } = *shape;
    for o in 0..outer {
        for i in 0..inner {
            let value = |index: u64| x[(o * length + index as usize) * inner + i];
            let line = &mut scratch[..length];
            line.iter_mut().zip(0..).for_each(|(place, index)| *place = index);
            line.sort_unstable_by(|&a, &b| {
                let order = order(value(a), value(b));
                let order = if descending { order.reverse() } else { order };
                order.then(a.cmp(&b))
            });
            for (rank, &index) in line[..count].iter().enumerate() {
                out[(o * count + rank) * inner + i] = index as i32;
            }
        }
    }
}
