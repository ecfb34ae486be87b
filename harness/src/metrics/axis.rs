//! Scores of one axis (the rows or the columns) of one sample.

use speck_learners::SCREEN;

/// The values of one axis and what they say.
pub(super) struct Axis<'a> {
    values: &'a [f32],
    /// Rows (or columns) of the specks, sorted, each once.
    targets: Vec<usize>,
    /// The lowest index of the maximum; `None` where a value is not finite.
    brightest: Option<usize>,
    /// Whether the maximum is not shared.
    unique: bool,
}

/// The predicted set compared with the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    predicted: usize,
    right: usize,
    targets: usize,
}

/// The ranking of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranks {
    average_precision: f64,
    /// Targets among the first k, k being their number.
    among_first: usize,
    targets: usize,
}

impl<'a> Axis<'a> {
    /// An axis with its 64 values and the specks' rows (or columns), at least one.
    pub fn new(values: &'a [f32], targets: impl Iterator<Item = usize>) -> Self {
        let mut targets: Vec<usize> = targets.collect();
        targets.sort_unstable();
        targets.dedup();
        let finite = values.iter().all(|value| value.is_finite());
        let mut brightest = 0;
        for (index, value) in values.iter().enumerate() {
            if *value > values[brightest] {
                brightest = index;
            }
        }
        let maximum = values[brightest];
        let unique = values.iter().filter(|value| **value == maximum).count() == 1;
        Axis { values, targets, brightest: finite.then_some(brightest), unique }
    }

    /// Whether all values are finite.
    pub fn finite(&self) -> bool {
        self.brightest.is_some()
    }

    /// Whether the answer is `target`: the one and only maximum is there.
    pub fn hits(&self, target: usize) -> bool {
        self.unique && self.brightest == Some(target)
    }

    /// Mean value at the targets; 0 for an axis that is not finite.
    pub fn brightness(&self) -> f64 {
        if !self.finite() {
            return 0.0;
        }
        let at = |target: &usize| f64::from(self.values[*target]);
        self.targets.iter().map(at).sum::<f64>() / self.targets.len() as f64
    }

    /// Sum of the positive values.
    fn total(&self) -> f64 {
        self.values.iter().map(|value| f64::from(value.max(0.0))).sum()
    }

    /// A value as a share of the axis: 0 where nothing is bright.
    fn share(&self, index: usize, total: f64) -> f64 {
        match total > 0.0 {
            true => f64::from(self.values[index].max(0.0)) / total,
            false => 0.0,
        }
    }

    /// The share of the brightest value; 0 for an axis that is not finite.
    pub fn confidence(&self) -> f64 {
        match self.brightest {
            Some(index) => self.share(index, self.total()),
            None => 0.0,
        }
    }

    /// Σ (share − truth)² over the axis, from 0 to 2. An axis that is not
    /// finite scores as one without light: 1.
    pub fn brier(&self, target: usize) -> f64 {
        if !self.finite() {
            return 1.0;
        }
        let total = self.total();
        let square = |index: usize| {
            let truth = if index == target { 1.0 } else { 0.0 };
            (self.share(index, total) - truth).powi(2)
        };
        (0..self.values.len()).map(square).sum()
    }

    /// The predicted set: values of at least half the maximum, and positive.
    pub fn sets(&self) -> Sets {
        let threshold = self.brightest.map(|index| self.values[index] / 2.0);
        let bright = |index: &usize| {
            let value = self.values[*index];
            value > 0.0 && threshold.is_some_and(|threshold| value >= threshold)
        };
        Sets {
            predicted: (0..self.values.len()).filter(bright).count(),
            right: self.targets.iter().copied().filter(bright).count(),
            targets: self.targets.len(),
        }
    }

    /// The ranking by brightness, brightest first, targets after their equals.
    ///
    /// With the targets' ranks r₁ < r₂ < …, the average precision is the mean of
    /// i / rᵢ: the precision at the place where each target is found.
    pub fn ranks(&self) -> Ranks {
        let targets = self.targets.len();
        let mut ranks = Vec::with_capacity(targets);
        if self.finite() {
            for (index, target) in self.targets.iter().enumerate() {
                let value = self.values[*target];
                let not_darker = self.values.iter().filter(|other| **other >= value).count();
                // Equal targets share the places at the end of their equals.
                let equal_after = self.targets[index + 1..].iter();
                let after = equal_after.filter(|other| self.values[**other] == value);
                ranks.push(not_darker - after.count());
            }
            ranks.sort_unstable();
        }
        let precision = |(found, rank): (usize, &usize)| (found + 1) as f64 / *rank as f64;
        let sum: f64 = ranks.iter().enumerate().map(precision).sum();
        Ranks {
            average_precision: sum / targets as f64,
            among_first: ranks.iter().filter(|rank| **rank <= targets).count(),
            targets,
        }
    }
}

/// Distance in pixels from the brightest row and column to a speck; the
/// screen's diagonal where an axis gives no answer.
pub(super) fn pixel_distance(row: &Axis, column: &Axis, speck: (usize, usize)) -> f64 {
    let last = (SCREEN - 1) as f64;
    match (row.brightest, column.brightest) {
        (Some(row), Some(column)) => {
            let (down, right) = (row.abs_diff(speck.0), column.abs_diff(speck.1));
            ((down * down + right * right) as f64).sqrt()
        }
        _ => last.hypot(last),
    }
}

/// Sums of the scores of sets and rankings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SetScore {
    pub exact: f64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    pub average_precision: f64,
    pub recall_at_k: f64,
}

impl SetScore {
    /// Adds one axis.
    pub fn add(&mut self, sets: &Sets, ranks: &Ranks) {
        self.exact += f64::from(u8::from(sets.exact()));
        self.add_counts(sets);
        self.average_precision += ranks.average_precision;
        self.recall_at_k += ranks.among_first as f64 / ranks.targets as f64;
    }

    /// Adds rows and columns together: rows and columns are counted as members
    /// of one set of up to 128.
    pub fn add_joint(&mut self, sets: (&Sets, &Sets), ranks: (&Ranks, &Ranks)) {
        self.exact += f64::from(u8::from(sets.0.exact() && sets.1.exact()));
        self.add_counts(&Sets {
            predicted: sets.0.predicted + sets.1.predicted,
            right: sets.0.right + sets.1.right,
            targets: sets.0.targets + sets.1.targets,
        });
        self.average_precision += (ranks.0.average_precision + ranks.1.average_precision) / 2.0;
        let among_first = ranks.0.among_first + ranks.1.among_first;
        self.recall_at_k += among_first as f64 / (ranks.0.targets + ranks.1.targets) as f64;
    }

    /// Precision (0 for an empty prediction), recall and F1.
    fn add_counts(&mut self, sets: &Sets) {
        let right = sets.right as f64;
        self.precision += right / (sets.predicted.max(1)) as f64;
        self.recall += right / sets.targets as f64;
        self.f1 += 2.0 * right / (sets.predicted + sets.targets) as f64;
    }
}

impl Sets {
    fn exact(&self) -> bool {
        self.predicted == self.targets && self.right == self.targets
    }
}
