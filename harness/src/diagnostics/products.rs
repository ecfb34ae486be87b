//! Inner products of many long vectors: what neighbours, ranks and similarities of
//! representations are made of. In f64: the smallest singular values come from
//! differences of large products.

use crate::RunError;
use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, Options, Program, State};
use speck_learners::LearnerError;

/// Values of a vector in one run of the program; the last ones are filled up with
/// zeros.
const PART: usize = 1024;

/// A program that multiplies `[n, PART]` with the transpose of `[m, PART]`.
pub struct Products {
    program: Program,
    state: State,
    sizes: [usize; 2],
}

impl Products {
    /// For `n` vectors and `m` others.
    ///
    /// # Errors
    /// The program cannot be compiled.
    pub fn new(n: usize, m: usize, kernels: &Choice) -> Result<Self, RunError> {
        let graph = Graph::new(DType::F64);
        let build = || {
            let a = graph.input("a", DType::F64, &[n, PART])?;
            let b = graph.input("b", DType::F64, &[m, PART])?;
            graph.output("products", graph.matmul_with(a, b, false, true)?)
        };
        build().map_err(LearnerError::from)?;
        let options = Options { kernels: kernels.clone(), ..Options::default() };
        let program = Program::compile(&graph, &options).map_err(LearnerError::from)?;
        Ok(Products { program, state: State::initialise(&graph, 0), sizes: [n, m] })
    }

    /// `[n, m]`: Σₖ a\[i, k\] b\[j, k\] of `a` `[n, width]` and `b` `[m, width]`.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn of(&mut self, a: &[f32], b: &[f32], width: usize) -> Result<Vec<f64>, RunError> {
        let [n, m] = self.sizes;
        let mut sum = vec![0.0; n * m];
        for from in (0..width).step_by(PART) {
            let part = PART.min(width - from);
            for (name, values) in [("a", a), ("b", b)] {
                let input = self.program.input_mut::<f64>(name).map_err(LearnerError::from)?;
                for (to, row) in input.chunks_exact_mut(PART).zip(values.chunks_exact(width)) {
                    let own = to.iter_mut().zip(&row[from..from + part]);
                    own.for_each(|(to, value)| *to = f64::from(*value));
                    to[part..].fill(0.0);
                }
            }
            self.program.run(&mut self.state).map_err(LearnerError::from)?;
            let products = self.program.values::<f64>("products").map_err(LearnerError::from)?;
            sum.iter_mut().zip(products).for_each(|(sum, value)| *sum += value);
        }
        Ok(sum)
    }
}

/// Takes the mean of the first `count` rows `[_, width]` away from all of them:
/// products of what is left have more of their digits.
pub fn centre(values: &mut [f32], width: usize, count: usize) {
    let mut mean = vec![0.0; width];
    for row in values.chunks_exact(width).take(count) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    mean.iter_mut().for_each(|mean: &mut f64| *mean /= count.max(1) as f64);
    for row in values.chunks_exact_mut(width) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| {
            *value = (f64::from(*value) - mean) as f32;
        });
    }
}

/// Solves A X = B for a symmetric positive definite A `[n, n]` and B `[n, columns]`,
/// in place of B, by Cholesky's decomposition; `None` if A is not positive definite.
pub fn solve(mut a: Vec<f64>, n: usize, mut b: Vec<f64>, columns: usize) -> Option<Vec<f64>> {
    for j in 0..n {
        let (above, rest) = a.split_at_mut(j * n);
        let _ = above;
        let (row, below) = rest.split_at_mut(n);
        let pivot = row[j] - row[..j].iter().map(|l| l * l).sum::<f64>();
        if !(pivot > 0.0) {
            return None;
        }
        row[j] = pivot.sqrt();
        for other in below.chunks_exact_mut(n) {
            let along: f64 = other[..j].iter().zip(&row[..j]).map(|(a, b)| a * b).sum();
            other[j] = (other[j] - along) / row[j];
        }
    }
    // L Y = B, then Lᵀ X = Y, all columns at once.
    for i in 0..n {
        let (before, own) = b.split_at_mut(i * columns);
        let own = &mut own[..columns];
        for (k, y) in before.chunks_exact(columns).enumerate() {
            let l = a[i * n + k];
            own.iter_mut().zip(y).for_each(|(own, y)| *own -= l * y);
        }
        own.iter_mut().for_each(|own| *own /= a[i * n + i]);
    }
    for i in (0..n).rev() {
        let (before, after) = b.split_at_mut((i + 1) * columns);
        let own = &mut before[i * columns..];
        for (k, x) in after.chunks_exact(columns).enumerate() {
            let l = a[(i + 1 + k) * n + i];
            own.iter_mut().zip(x).for_each(|(own, x)| *own -= l * x);
        }
        own.iter_mut().for_each(|own| *own /= a[i * n + i]);
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_width_are_those_of_the_formula() {
        for width in [1, 7, PART - 1, PART, PART + 1, 2 * PART + 3] {
            let (n, m) = (3, 5);
            let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
            let a: Vec<f32> = (0..n * width).map(value).collect();
            let b: Vec<f32> = (0..m * width).map(|i| value(i + 17)).collect();
            let mut products = Products::new(n, m, &Choice::default()).unwrap();
            // Twice: what the first run left behind must not show.
            for _ in 0..2 {
                let found = products.of(&a, &b, width).unwrap();
                for i in 0..n {
                    for j in 0..m {
                        let wanted: f64 = (0..width)
                            .map(|k| f64::from(a[i * width + k]) * f64::from(b[j * width + k]))
                            .sum();
                        let error = (found[i * m + j] - wanted).abs();
                        assert!(error <= 1e-9, "{width}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_solved_fits() {
        let n = 7;
        let entry = |i: usize, j: usize| 1.0 / (1.0 + i as f64 + j as f64);
        let a: Vec<f64> = (0..n * n)
            .map(|at| entry(at / n, at % n) + if at / n == at % n { 0.5 } else { 0.0 })
            .collect();
        let b: Vec<f64> = (0..n * 2).map(|i| (i as f64).sin()).collect();
        let x = solve(a.clone(), n, b.clone(), 2).unwrap();
        for i in 0..n {
            for c in 0..2 {
                let sum: f64 = (0..n).map(|k| a[i * n + k] * x[k * 2 + c]).sum();
                assert!((sum - b[i * 2 + c]).abs() < 1e-12);
            }
        }
        assert_eq!(solve(vec![1.0, 2.0, 2.0, 1.0], 2, vec![1.0; 2], 1), None);
    }

    #[test]
    fn centred_rows_have_no_mean() {
        let mut values = vec![1.0, 5.0, 3.0, 7.0, 100.0, 100.0];
        centre(&mut values, 2, 2);
        assert_eq!(values, [-1.0, -1.0, 1.0, 1.0, 98.0, 94.0]);
    }
}
