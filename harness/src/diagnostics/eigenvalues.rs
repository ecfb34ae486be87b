//! All eigenvalues of a symmetric matrix, without eigenvectors.
//!
//! Householder's reflections make it tridiagonal, and QL steps with implicit shifts
//! take the values off that (Bowdler, Martin, Reinsch and Wilkinson, "The QR and QL
//! Algorithms for Symmetric Matrices", 1968). About 4/3 n³ operations: of a matrix of
//! 256, rotations of all pairs until nothing is left take some twenty times as many.

/// The eigenvalues of `a` `[n, n]`, the smallest first; NaN where an element is none.
pub fn eigenvalues(a: Vec<f64>, n: usize) -> Vec<f64> {
    if a.iter().any(|value| !value.is_finite()) {
        return vec![f64::NAN; n];
    }
    let (mut diagonal, mut beside) = tridiagonal(a, n);
    values(&mut diagonal, &mut beside);
    diagonal.sort_by(f64::total_cmp);
    diagonal
}

/// The diagonal, and what stands beside it; of the second the last one is 0.
fn tridiagonal(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    for k in 0..n.saturating_sub(1) {
        let mut v: Vec<f64> = (k + 1..n).map(|i| a[i * n + k]).collect();
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        // The sign that loses no digits.
        let to = if v[0] > 0.0 { -length } else { length };
        beside[k] = if v.len() == 1 { v[0] } else { to };
        v[0] -= to;
        let square: f64 = v.iter().map(|v| v * v).sum();
        if v.len() == 1 || square == 0.0 {
            continue;
        }
        // A ← H A H with H = I - 2 v vᵀ / ‖v‖²: A - v wᵀ - w vᵀ.
        let rest = |i: usize| (i + 1 + k) * n + k + 1..(i + 2 + k) * n;
        let mut w: Vec<f64> = (0..v.len())
            .map(|i| {
                let row = &a[rest(i)];
                2.0 / square * row.iter().zip(&v).map(|(a, v)| a * v).sum::<f64>()
            })
            .collect();
        let along = w.iter().zip(&v).map(|(w, v)| w * v).sum::<f64>() / square;
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= along * v);
        for i in 0..v.len() {
            let (vi, wi) = (v[i], w[i]);
            let row = a[rest(i)].iter_mut().zip(v.iter().zip(&w));
            row.for_each(|(a, (v, w))| *a -= vi * w + wi * v);
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), beside)
}

/// QL steps until nothing stands beside the diagonal.
fn values(d: &mut [f64], e: &mut [f64]) {
    let n = d.len();
    for l in 0..n {
        // It takes two steps or three for a value; the bound is for safety.
        for _ in 0..100 {
            let small = |i: &usize| e[*i].abs() <= f64::EPSILON * (d[*i].abs() + d[*i + 1].abs());
            let m = (l..n - 1).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let ahead = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let root = ahead.hypot(1.0).copysign(ahead);
            let mut g = d[m] - d[l] + e[l] / (ahead + root);
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if whole {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanczos::symmetric;
    use super::*;

    #[test]
    fn values_are_those_that_rotations_find() {
        for n in [0, 1, 2, 3, 5, 17, 60] {
            for rank in [1, 2, n] {
                // Products of a few long vectors: zeros come several times.
                let value = |i: usize| ((i * 7919 + 31) % 1013) as f64 / 1013.0 - 0.5;
                let dot = |i: usize, j: usize| -> f64 {
                    (0..rank).map(|k| value(i * rank + k) * value(j * rank + k)).sum()
                };
                let sign = if rank == n { -1.0 } else { 1.0 };
                let a: Vec<f64> = (0..n * n)
                    .map(|at| dot(at / n, at % n) + sign * value(at / n + at % n) * 0.1)
                    .collect();
                let (wanted, _) = symmetric(&a, n);
                for (found, wanted) in eigenvalues(a, n).iter().zip(wanted) {
                    assert!((found - wanted).abs() < 1e-11, "{n}: {found}, not {wanted}");
                }
            }
        }
        assert_eq!(eigenvalues(vec![0.0; 9], 3), [0.0; 3]);
        assert_eq!(eigenvalues(vec![3.0, 0.0, 0.0, 1.0], 2), [1.0, 3.0]);
        assert!(eigenvalues(vec![f64::NAN], 1)[0].is_nan());
    }
}
