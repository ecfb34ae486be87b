//! The specification: three loops, sums in `f64`.

use super::{MatmulShape, Routine, never, no_scratch};
use crate::real::Real;

/// The routine for `T`.
pub(super) const fn routine<T: Real>() -> Routine<T> {
    Routine { run: run::<T>, scratch: no_scratch, report: None, passes: never }
}

/// Columns summed side by side.
const COLUMNS: usize = 64;

/// `out[i, j] = Σ_p a[i, p] · b[p, j]`, `p` ascending. Rows of `b` are the
/// inner loop, so that where `b` is not transposed it runs along memory.
fn run<T: Real>(shape: &MatmulShape, a: &[T], b: &[T], out: &mut [T], _: &mut [T]) {
    shape.check(a, b, out);
    let [a_row, a_column] = shape.a_steps();
    let [b_row, b_column] = shape.b_steps();
    for batch in 0..shape.batch {
        for i in 0..shape.m {
            let start = (batch * shape.m + i) * shape.n;
            for (block, out) in out[start..start + shape.n].chunks_mut(COLUMNS).enumerate() {
                let mut sums = [0.0; COLUMNS];
                for p in 0..shape.k {
                    let factor = a[batch * shape.a_stride + i * a_row + p * a_column].wide();
                    let start = batch * shape.b_stride + p * b_row + block * COLUMNS * b_column;
                    for (j, sum) in sums[..out.len()].iter_mut().enumerate() {
                        *sum += factor * b[start + j * b_column].wide();
                    }
                }
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out = T::of(sum));
            }
        }
    }
}
