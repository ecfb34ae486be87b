//! Lanczos' method: a symmetric matrix seen through its products with vectors.
//!
//! From a start v₁ of length 1: w = A vₖ - βₖ vₖ₋₁, αₖ = ⟨w, vₖ⟩, w -= αₖ vₖ,
//! βₖ₊₁ = ‖w‖, vₖ₊₁ = w / βₖ₊₁. The tridiagonal matrix T of the α and β has
//! eigenvalues θ near the outermost of A: with s the last component of θ's
//! eigenvector in T, A has an eigenvalue within |β s| of θ. The squares of first
//! components are weights of a Gauss quadrature: v₁ᵀ f(A) v₁ ≈ Σ τ² f(θ) (Golub and
//! Welsch, "Calculation of Gauss Quadrature Rules", 1969).
//!
//! In exact arithmetic the v are orthogonal; rounding makes found eigenvalues come
//! back as ghosts, which takes their weight apart. So every w is made orthogonal to
//! the last two v, and then to all. The v are kept in f32, in which the products are
//! computed anyway: what is rounded is the vector itself, not the product with it.

use speck_engine::kernels::eigen;

/// An eigenvalue of the tridiagonal matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ritz {
    /// θ.
    pub value: f64,
    /// τ²; the weights of all sum to 1.
    pub weight: f64,
    /// How far from θ the nearest eigenvalue can be.
    pub bound: f64,
}

/// The eigenvalues of T, the smallest first, after `iterations` products at most, or
/// as soon as there are `enough` of them.
///
/// # Errors
/// Those of `product`. Products that are no numbers end it: then the values are none
/// either.
pub fn lanczos<E>(
    start: Vec<f32>,
    iterations: usize,
    mut product: impl FnMut(&[f32]) -> Result<Vec<f64>, E>,
    enough: impl Fn(&[Ritz]) -> bool,
) -> Result<Vec<Ritz>, E> {
    let most = iterations.min(start.len()).max(1);
    let mut basis = vec![start];
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = Default::default();
    let mut found = Vec::new();
    while diagonal.len() < most {
        let last = &basis[basis.len() - 1];
        let mut w = product(last)?;
        let alpha = dot(&w, last);
        diagonal.push(alpha);
        for v in basis.iter().rev().take(2).chain(&basis) {
            let along = dot(&w, v);
            w.iter_mut().zip(v).for_each(|(w, v)| *w -= along * f64::from(*v));
        }
        let beta = w.iter().map(|w| w * w).sum::<f64>().sqrt();
        let count = diagonal.len();
        // Large matrices are looked at now and then only, and at the end.
        let ends = count == most || !(beta > f64::MIN_POSITIVE);
        if count > 32 && !count.is_multiple_of(8) && !ends {
            beside.push(beta);
            basis.push(w.iter().map(|w| (w / beta) as f32).collect());
            continue;
        }
        found = ritz(&diagonal, &beside, beta);
        let scale = found.iter().map(|r| r.value.abs()).fold(0.0, f64::max);
        // A space that A does not lead out of: all that the start can show is found.
        if !(beta > 1e-6 * scale) || enough(&found) {
            break;
        }
        beside.push(beta);
        basis.push(w.iter().map(|w| (w / beta) as f32).collect());
    }
    Ok(found)
}

/// In eight sums, which the processor adds side by side: for 1.6 million weights the
/// orthogonalization takes longer than the products with the Hessian.
fn dot(w: &[f64], v: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (parts, rest) = w.as_chunks::<8>();
    let (others, last) = v.as_chunks::<8>();
    for (w, v) in parts.iter().zip(others) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            *sum += w * f64::from(*v);
        }
    }
    let tail: f64 = rest.iter().zip(last).map(|(w, v)| w * f64::from(*v)).sum();
    sums.iter().sum::<f64>() + tail
}

/// The eigenvalues of a tridiagonal matrix; `beta` stands behind it.
fn ritz(diagonal: &[f64], beside: &[f64], beta: f64) -> Vec<Ritz> {
    let n = diagonal.len();
    let mut matrix = vec![0.0; n * n];
    for (i, value) in diagonal.iter().enumerate() {
        matrix[i * n + i] = *value;
    }
    for (i, value) in beside.iter().enumerate().take(n - 1) {
        matrix[i * n + i + 1] = *value;
        matrix[(i + 1) * n + i] = *value;
    }
    let (values, vectors) = symmetric(&matrix, n);
    let one = |(i, value): (usize, &f64)| {
        let vector = &vectors[i * n..(i + 1) * n];
        Ritz { value: *value, weight: vector[0].powi(2), bound: (beta * vector[n - 1]).abs() }
    };
    values.iter().enumerate().map(one).collect()
}

/// Eigenvalues of a symmetric matrix `[n, n]`, the smallest first, and eigenvectors
/// as rows; all NaN where an element is none.
pub fn symmetric(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    if matrix.iter().any(|value| !value.is_finite()) {
        return (vec![f64::NAN; n], vec![f64::NAN; n * n]);
    }
    let mut out = vec![0.0; (n + 1) * n];
    let mut scratch = vec![0.0; eigen::scratch(n)];
    let variants = eigen::SYMMETRIC.f64;
    (variants[variants.len() - 1].run)(n, matrix, &mut out, &mut scratch);
    let vectors = out.split_off(n);
    (out, vectors)
}

/// A vector of ±1/√n, the signs random.
pub fn signs(n: usize, seed: u64) -> Vec<f32> {
    let size = 1.0 / (n.max(1) as f64).sqrt();
    let sign = |i: usize| {
        // SplitMix64.
        let mut z = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if (z ^ (z >> 31)) >> 63 == 0 { size as f32 } else { -size as f32 }
    };
    (0..n).map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A symmetric matrix with known eigenvalues: a reflection around diag(values).
    fn matrix(values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let mut u: Vec<f64> = (0..n).map(|i| ((i * i) as f64 * 0.7 + 0.3).sin()).collect();
        let norm = u.iter().map(|u| u * u).sum::<f64>().sqrt();
        u.iter_mut().for_each(|u| *u /= norm);
        let h = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * u[i] * u[j];
        let mut all = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                all[i * n + j] = (0..n).map(|k| h(i, k) * values[k] * h(k, j)).sum();
            }
        }
        all
    }

    fn run(values: &[f64], iterations: usize, tolerance: f64) -> Vec<Ritz> {
        let (n, a) = (values.len(), matrix(values));
        let product = |v: &[f32]| -> Result<Vec<f64>, Infallible> {
            let row = |i: usize| (0..n).map(|j| a[i * n + j] * f64::from(v[j])).sum();
            Ok((0..n).map(row).collect())
        };
        let enough = |found: &[Ritz]| {
            found.last().is_some_and(|top| top.bound <= tolerance * top.value.abs())
        };
        match lanczos(signs(n, 5), iterations, product, enough) {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    #[test]
    fn all_products_find_all_eigenvalues() {
        let values = [-3.0, -0.5, 0.0, 0.1, 2.0, 7.0, 7.5, 40.0];
        let found = run(&values, 8, 0.0);
        assert_eq!(found.len(), 8);
        for (found, wanted) in found.iter().zip(values) {
            assert!((found.value - wanted).abs() < 1e-4, "{found:?}, not {wanted}");
        }
        assert!((found.iter().map(|r| r.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_bound_holds_and_ends_the_search() {
        let values: Vec<f64> = (0..200).map(|i| (f64::from(i) / 199.0).powi(6) * 50.0).collect();
        for iterations in [2, 5, 10, 20] {
            let found = run(&values, iterations, 0.0);
            let top = found[found.len() - 1];
            let near = values.iter().map(|v| (v - top.value).abs()).fold(f64::INFINITY, f64::min);
            assert!(near <= top.bound + 1e-4, "{iterations}: {top:?}, {near}");
        }
        let found = run(&values, 100, 1e-3);
        assert!(found.len() < 40, "{}", found.len());
        assert!((found[found.len() - 1].value - 50.0).abs() < 0.05);
    }

    #[test]
    fn products_that_are_no_numbers_end_it() {
        let product = |v: &[f32]| Ok::<_, Infallible>(vec![f64::NAN; v.len()]);
        let found = lanczos(signs(9, 1), 9, product, |_| false).unwrap_or_default();
        assert!(found.len() == 1 && found[0].value.is_nan());
    }
}
