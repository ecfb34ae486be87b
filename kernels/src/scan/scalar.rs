//! The specification.

use super::Scanning;
use crate::Real;

pub(super) fn cumulative_sum<T: Real>(shape: &Scanning, x: &[T], out: &mut [T]) {
    shape.check(x.len(), out.len());
    let Scanning { outer, length, inner, reverse } = *shape;
    for o in 0..outer {
        for i in 0..inner {
            let mut total = 0.0;
            for step in 0..length {
                let l = if reverse { length - 1 - step } else { step };
                let at = (o * length + l) * inner + i;
                total += x[at].wide();
                out[at] = T::of(total);
            }
        }
    }
}
