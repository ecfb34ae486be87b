//! Confidence intervals over seeds.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Lower end; the mean itself where only one value is known.
    pub low: f64,
    /// Upper end; the mean itself where only one value is known.
    pub high: f64,
    /// Number of values. One value says nothing about the spread: with a count
    /// of 1 no interval may be shown.
    pub count: usize,
}

/// The mean of one value a seed, with Student's 95 % interval
/// mean ± t₀.₉₇₅(n − 1) · s / √n. It takes the values as normal, so for a share
/// it can reach below 0 or above 1. `None` without values, or where one is not
/// finite.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let count = values.len();
    if count == 0 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let freedom = (count - 1) as f64;
    let half = match count {
        1 => 0.0,
        _ => {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
            student.inverse_cdf(0.975) * (squares / freedom / count as f64).sqrt()
        }
    };
    Some(Interval { mean, low: mean - half, high: mean + half, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_have_a_wide_interval() {
        // t(0.975, 1) = 12.7062; s = √2 / 2 · 0.2, s / √2 = 0.1.
        let found = interval(&[0.5, 0.7]).unwrap();
        assert!((found.mean - 0.6).abs() < 1e-12);
        assert!((found.high - (0.6 + 12.706_204_736 * 0.1)).abs() < 1e-6);
        assert!((found.low - (0.6 - 12.706_204_736 * 0.1)).abs() < 1e-6);
        assert_eq!(found.count, 2);
    }

    #[test]
    fn five_values_match_the_table() {
        // t(0.975, 4) = 2.776445; s² = 2.5, s / √5 = √0.5.
        let found = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((found.high - (3.0 + 2.776_445_105 * 0.5f64.sqrt())).abs() < 1e-6);
    }

    #[test]
    fn degenerate_cases() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[1.0, f64::NAN]), None);
        let single = interval(&[0.25]).unwrap();
        assert_eq!((single.low, single.mean, single.high, single.count), (0.25, 0.25, 0.25, 1));
        let equal = interval(&[1.0, 1.0, 1.0]).unwrap();
        assert_eq!((equal.low, equal.high), (1.0, 1.0));
    }
}
