//! Means over seeds and how well they are known.

use crate::metrics::{Interval, interval};

/// One run's value of something measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observation {
    /// The run's id.
    pub run: String,
    /// The value; `None` where the run measured it and there is none.
    pub value: Option<f64>,
    /// The number of cases the value is an average over.
    pub cases: u64,
}

/// What a group of runs that differ only in their seeds says about a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    /// One for every run that measured it.
    pub observations: Vec<Observation>,
}

impl Estimate {
    /// The values there are.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.observations.iter().filter_map(|observation| observation.value)
    }

    /// The mean of the values there are; `None` without any, or if one is
    /// infinite.
    pub fn mean(&self) -> Option<f64> {
        Some(self.interval()?.mean)
    }

    /// Half of the 95 % confidence interval of the mean over seeds; `None`
    /// with fewer than two values.
    pub fn half_width(&self) -> Option<f64> {
        let interval = self.interval().filter(|interval| interval.count > 1)?;
        Some(interval.high - interval.mean)
    }

    /// Whether the interval lies on one side of 0. One without any width does
    /// not: that a few seeds agree to the last case is chance, not certainty.
    pub fn excludes_zero(&self) -> bool {
        let interval = self.interval().filter(|interval| interval.high > interval.low);
        interval.is_some_and(|interval| interval.low > 0.0 || interval.high < 0.0)
    }

    fn interval(&self) -> Option<Interval> {
        interval(&self.values().collect::<Vec<f64>>())
    }

    /// The number of cases behind a run's value: the least and the most.
    pub fn cases(&self) -> Option<(u64, u64)> {
        let cases = || self.observations.iter().map(|observation| observation.cases);
        Some((cases().min()?, cases().max()?))
    }
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(values: &[Option<f64>]) -> Estimate {
        Estimate {
            observations: values
                .iter()
                .map(|&value| Observation { run: String::new(), value, cases: 10 })
                .collect(),
        }
    }

    #[test]
    fn values_that_are_not_there_do_not_count() {
        let some = estimate(&[Some(1.0), None]);
        assert_eq!(some.mean(), Some(1.0));
        assert_eq!(some.half_width(), None);
        assert_eq!(estimate(&[None]).mean(), None);
        assert_eq!(Estimate::default().cases(), None);
        assert_eq!(estimate(&[Some(2.0); 3]).half_width(), Some(0.0));
    }

    #[test]
    fn one_value_excludes_nothing() {
        assert!(!estimate(&[Some(1.0)]).excludes_zero());
        assert!(!estimate(&[Some(1.0), Some(1.0)]).excludes_zero());
        assert!(!estimate(&[Some(1.0), Some(2.0)]).excludes_zero());
        assert!(estimate(&[Some(1.0), Some(1.01)]).excludes_zero());
        assert!(estimate(&[Some(-1.0), Some(-1.01)]).excludes_zero());
    }
}
