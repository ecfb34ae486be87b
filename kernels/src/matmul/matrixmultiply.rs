//! The `matrixmultiply` crate: a baseline to compare with, and the fast
//! variant of processors that have no file of their own here.
//!
//! Unlike every other variant it allocates (its packing buffers, on each
//! call), so a program that runs it does not keep the promise of steps without
//! allocation. It stays on the calling thread.

use super::{MatmulShape, Routine, never, no_scratch};

/// The routine for `f32`.
pub(super) const F32: Routine<f32> =
    Routine { run: run_f32, scratch: no_scratch, report: None, passes: never };
/// The routine for `f64`.
pub(super) const F64: Routine<f64> =
    Routine { run: run_f64, scratch: no_scratch, report: None, passes: never };

fn run_f32(shape: &MatmulShape, a: &[f32], b: &[f32], out: &mut [f32], _: &mut [f32]) {
    let [[ra, ca], [rb, cb], [ro, co]] = strides(shape);
    let MatmulShape { m, n, k, .. } = *shape;
    each(shape, a, b, out, |a, b, out| {
        // SAFETY: `each` hands out pointers to whole matrices of the shape,
        // the strides are those of these matrices, and `out` overlaps neither
        // operand. With beta = 0 the result is written without being read.
        unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, 0.0, out, ro, co) }
    });
}

fn run_f64(shape: &MatmulShape, a: &[f64], b: &[f64], out: &mut [f64], _: &mut [f64]) {
    let [[ra, ca], [rb, cb], [ro, co]] = strides(shape);
    let MatmulShape { m, n, k, .. } = *shape;
    each(shape, a, b, out, |a, b, out| {
        // SAFETY: as in `run_f32`.
        unsafe { matrixmultiply::dgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, 0.0, out, ro, co) }
    });
}

/// Row and column strides of `A`, `B` and the product.
fn strides(shape: &MatmulShape) -> [[isize; 2]; 3] {
    [shape.a_steps(), shape.b_steps(), [shape.n, 1]].map(|pair| pair.map(|step| step as isize))
}

/// Calls `product` with the three matrices of each product of the batch.
fn each<T>(
    shape: &MatmulShape,
    a: &[T],
    b: &[T],
    out: &mut [T],
    product: impl Fn(*const T, *const T, *mut T),
) {
    shape.check(a, b, out);
    if out.is_empty() {
        return;
    }
    for (batch, out) in out.chunks_exact_mut(shape.m * shape.n).enumerate() {
        let a = a[batch * shape.a_stride..].as_ptr();
        let b = b[batch * shape.b_stride..].as_ptr();
        product(a, b, out.as_mut_ptr());
    }
}
