//! The specification: three loops, sums in `f64`.

use super::{MatmulShape, Routine, Storage};
use crate::real::Real;

/// The routine for `T`.
pub(super) const fn routine<T: Real>() -> Routine<T> {
    Routine { run: run::<T>, scratch: |_| 0, report: None }
}

/// `out[i, j] = Σ_p a[i, p] · b[p, j]`, `p` ascending.
fn run<T: Real>(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: &mut [T],
    _: &mut [T],
) {
    assert_eq!(out.len(), shape.elements(), "length of the product");
    shape.check_operands(a, b);
    let [a_row, a_column] = shape.a_steps();
    let [b_row, b_column] = shape.b_steps();
    let value = |bits: u16| f64::from(storage.load(bits));
    for (at, out) in out.iter_mut().enumerate() {
        let (batch, i, j) = (at / shape.n / shape.m, at / shape.n % shape.m, at % shape.n);
        let a_start = batch * shape.a_stride + i * a_row;
        let b_start = batch * shape.b_stride + j * b_column;
        let product = |p| value(a[a_start + p * a_column]) * value(b[b_start + p * b_row]);
        let sum: f64 = (0..shape.k).map(product).sum();
        *out = T::of(sum);
    }
}
