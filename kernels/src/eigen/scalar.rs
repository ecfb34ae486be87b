//! Jacobi's method (1846), in cyclic order.
//!
//! A rotation in the plane of p and q makes a[p, q] zero and takes 2 a[p, q]² off
//! the sum of squares beside the diagonal; going through all pairs again and
//! again, that sum falls quadratically in the end: 6 to 10 sweeps of n² / 2
//! rotations of 4n products each. A tridiagonal method would need a fifth of
//! that, but Jacobi's finds the small eigenvalues of a positive definite matrix
//! to their own precision (Demmel and Veselić, "Jacobi's method is more accurate
//! than QR", 1992), given that a rotation is left out only where a[p, q] is small
//! beside the root of a[p, p] a[q, q]; and an inverse root is made of the small
//! ones. All is computed in f64.

use super::scratch;
use crate::Real;

/// Far more sweeps than any matrix needs.
const SWEEPS: usize = 50;

pub(super) fn symmetric<T: Real>(n: usize, x: &[T], out: &mut [T], memory: &mut [f64]) {
    if n == 0 {
        return;
    }
    assert_eq!(x.len() % (n * n), 0, "length of the input");
    assert_eq!(out.len(), x.len() / n * (n + 1), "length of the output");
    let (a, rest) = memory[..scratch(n)].split_at_mut(n * n);
    let (vectors, written) = rest.split_at_mut(n * n);
    for (x, out) in x.chunks_exact(n * n).zip(out.chunks_exact_mut(n * (n + 1))) {
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = x[i.min(j) * n + i.max(j)].wide();
                vectors[i * n + j] = if i == j { 1.0 } else { 0.0 };
            }
        }
        for _ in 0..SWEEPS {
            let mut turned = false;
            for p in 0..n {
                for q in p + 1..n {
                    turned |= rotate(n, a, vectors, p, q);
                }
            }
            if !turned {
                break;
            }
        }
        write(n, a, vectors, written, out);
    }
}

/// Makes a[p, q] zero; whether there was something to do.
fn rotate(n: usize, a: &mut [f64], vectors: &mut [f64], p: usize, q: usize) -> bool {
    let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
    if apq == 0.0 || apq.abs() <= f64::EPSILON * (app * aqq).abs().sqrt() {
        return false;
    }
    // The smaller of the two angles, from tan φ.
    let theta = (aqq - app) / (2.0 * apq);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    let sine = tangent * cosine;
    let turn = |x: &mut f64, y: &mut f64| {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    };
    let (head, tail) = a.split_at_mut(q * n);
    for (x, y) in head[p * n..(p + 1) * n].iter_mut().zip(&mut tail[..n]) {
        turn(x, y);
    }
    for row in a.chunks_exact_mut(n) {
        let (head, tail) = row.split_at_mut(q);
        turn(&mut head[p], &mut tail[0]);
    }
    a[p * n + p] = app - tangent * apq;
    a[q * n + q] = aqq + tangent * apq;
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
    let (head, tail) = vectors.split_at_mut(q * n);
    for (x, y) in head[p * n..(p + 1) * n].iter_mut().zip(&mut tail[..n]) {
        turn(x, y);
    }
    true
}

/// Selects the smallest of what is left, row by row: no memory is needed, and n²
/// comparisons are nothing beside the rotations.
fn write<T: Real>(n: usize, a: &[f64], vectors: &[f64], written: &mut [f64], out: &mut [T]) {
    written.fill(0.0);
    for row in 0..n {
        let left = (0..n).filter(|i| written[*i] == 0.0);
        let next = left.min_by(|i, j| a[i * n + i].total_cmp(&a[j * n + j]));
        let i = next.unwrap_or(row);
        written[i] = 1.0;
        out[row] = T::of(a[i * n + i]);
        let vector = &vectors[i * n..(i + 1) * n];
        let larger = |most: f64, v: &f64| if v.abs() > most.abs() { *v } else { most };
        let sign = if vector.iter().fold(0.0, larger) < 0.0 { -1.0 } else { 1.0 };
        for (out, v) in out[(row + 1) * n..(row + 2) * n].iter_mut().zip(vector) {
            *out = T::of(sign * v);
        }
    }
}
