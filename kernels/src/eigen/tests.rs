use super::*;
use crate::testing::{assert_close, poisoned, random};

/// x = Σ λ v vᵀ, vᵀ v = 1 and the order, for each matrix.
fn holds<T: Real>(n: usize, x: &[T], tolerance: f64, what: &str) {
    for variant in T::variants(&SYMMETRIC) {
        let mut out = poisoned::<T>(x.len() / n.max(1) * (n + 1));
        let mut memory = vec![f64::NAN; scratch(n)];
        (variant.run)(n, x, &mut out, &mut memory);
        if n == 0 {
            continue;
        }
        for (x, out) in x.chunks(n * n).zip(out.chunks(n * (n + 1))) {
            let (values, vectors) = out.split_at(n);
            assert!(values.is_sorted_by(|a, b| a <= b), "{what} {}: order", variant.name);
            let largest = x.iter().fold(1e-30, |most: f64, v| most.max(v.wide().abs()));
            let part = |i: usize, j: usize, weight: &dyn Fn(usize) -> f64| -> f64 {
                let term = |k: usize| vectors[k * n + i].wide() * vectors[k * n + j].wide();
                (0..n).map(|k| weight(k) * term(k)).sum()
            };
            for i in 0..n {
                for j in 0..n {
                    let (one, again) = (part(i, j, &|_| 1.0), part(i, j, &|k| values[k].wide()));
                    let unit = f64::from(u8::from(i == j));
                    assert!((one - unit).abs() <= tolerance, "{what} {n} {i} {j}: {one}");
                    let want = x[i.min(j) * n + i.max(j)].wide();
                    let error = (again - want).abs();
                    assert!(error <= tolerance * largest, "{what} {n}: {again}, not {want}");
                }
            }
        }
    }
}

fn matrices<T: Real>(tolerance: f64) {
    for n in [0, 1, 2, 3, 5, 16, 33] {
        for count in [0, 1, 3] {
            let random = random::<T>(n as u64, count * n * n, -1.0, 1.0);
            holds(n, &random, tolerance * (n + 1) as f64, "random");
            holds(n, &vec![T::zero(); count * n * n], tolerance, "zeros");
        }
        let mut unit = vec![T::zero(); n * n];
        (0..n).for_each(|i| unit[i * n + i] = T::of(3.0));
        holds(n, &unit, tolerance, "equal eigenvalues");
    }
}

#[test]
fn a_matrix_is_the_sum_of_its_parts() {
    matrices::<f64>(1e-14);
    matrices::<f32>(4e-7);
}

#[test]
fn known_eigenvalues_and_the_sign_of_vectors() {
    // [[2, -1], [-1, 2]]: 1 with (1, 1) / √2, 3 with (1, -1) / √2; the number
    // below the diagonal is not read.
    let (x, mut memory) = ([2.0, -1.0, f64::NAN, 2.0], [0.0; 10]);
    let mut out = poisoned::<f64>(6);
    scalar::symmetric(2, &x, &mut out, &mut memory);
    let r = 0.5f64.sqrt();
    assert_close(&out[..4], &[1.0, 3.0, r, r], 1e-15, 0.0, "values and first vector");
    assert_close(&[out[4] * out[5]], &[-0.5], 1e-15, 0.0, "second vector");
    assert!(out[4].max(out[5]) > 0.0 && (out[4].abs() >= out[5].abs()) == (out[4] > 0.0));
}

#[test]
fn small_eigenvalues_have_digits_of_their_own() {
    // D R D of a well-conditioned R with a steep D: the smallest eigenvalue is
    // 1 / (the last element of the inverse) to first order, here exactly known.
    let d = [1.0f64, 1e-4, 1e-9];
    let r = [1.0, 0.5, 0.25, 0.5, 1.0, 0.5, 0.25, 0.5, 1.0];
    let x: Vec<f64> = (0..9).map(|at| r[at] * d[at / 3] * d[at % 3]).collect();
    let (mut out, mut memory) = (poisoned::<f64>(12), [0.0; 21]);
    scalar::symmetric(3, &x, &mut out, &mut memory);
    // The Schur complements of R: 1, 3/4, 3/4, up to corrections of relative 1e-8.
    assert_close(&[out[0], out[1], out[2]], &[0.75e-18, 0.75e-8, 1.0], 1e-7, 0.0, "values");
}

#[test]
fn a_matrix_with_nan_ends() {
    let (mut out, mut memory) = (poisoned::<f32>(12), [0.0; 21]);
    scalar::symmetric(3, &[f32::NAN; 9], &mut out, &mut memory);
    assert!(out.iter().any(|v| v.is_nan()));
}
