//! Scans side by side: the totals of neighbouring columns are independent, so
//! where each total waits for its last addition, its neighbours' fill the time
//! and the registers. A row is walked in the order of memory.

use super::Scanning;
use crate::Real;
use crate::parallel::{GRAIN, Shared, for_parts};

/// Columns whose totals are kept at once: eight cache lines of `f64`.
const WIDTH: usize = 64;

pub(super) fn cumulative_sum<T: Real>(shape: &Scanning, x: &[T], out: &mut [T]) {
    shape.check(x.len(), out.len());
    let Scanning { outer, length, inner, reverse } = *shape;
    if out.is_empty() {
        return;
    }
    let pieces = inner.div_ceil(WIDTH);
    let target = Shared::new(out);
    for_parts(outer * pieces, GRAIN / (length * inner.min(WIDTH)), |units| {
        for unit in units {
            let (o, first) = (unit / pieces, unit % pieces * WIDTH);
            let width = WIDTH.min(inner - first);
            let mut totals = [0.0; WIDTH];
            for step in 0..length {
                let l = if reverse { length - 1 - step } else { step };
                let start = (o * length + l) * inner + first;
                // SAFETY: pieces of rows of different units do not overlap, and
                // lie in `out` as `x[start..start + width]` lies in `x`.
                let row = unsafe { target.part(start..start + width) };
                let columns = totals.iter_mut().zip(&x[start..start + width]).zip(row);
                for ((total, &value), sum) in columns {
                    *total += value.wide();
                    *sum = T::of(*total);
                }
            }
        }
    });
}
