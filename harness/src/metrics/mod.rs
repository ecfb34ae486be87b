//! Metrics: what a model's outputs are worth.
//!
//! An output of a sample is 128 brightness values: 64 rows, then 64 columns.
//! [`Metrics`] takes batches of them and gives every metric of [`LIST`] with the
//! number of its cases. Sums are made in f64, in the order of the samples.
//!
//! Rules that keep a bad output from scoring:
//! - An axis with a value that is not finite gives no answer: no hit, no set,
//!   rank or confidence, brightness 0, and the largest distance.
//! - The answer of an axis is the index of its maximum. Where the maximum is
//!   shared the lowest index is taken for the distance, but it never counts as a
//!   hit: a constant output hits nothing.
//! - In a ranking, specks come after everything that is as bright as they are;
//!   in a constant output they come last.

mod axis;
mod error_map;
mod interval;

use serde::Serialize;
use speck_learners::{SCREEN, SpeckBatch, TARGETS};

use axis::{Axis, SetScore};
pub use error_map::ErrorMap;
pub use interval::{Interval, interval};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MetricInfo {
    /// Its name.
    pub name: &'static str,
    /// What it measures, in one line.
    pub summary: &'static str,
    /// Whether larger is better.
    pub higher_is_better: bool,
}

/// A metric's value on some cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// The name, see [`LIST`].
    pub name: &'static str,
    /// The value; `None` without cases.
    pub value: Option<f64>,
    /// How many samples (for calibration and the Brier score: axes) it is the
    /// mean of.
    pub cases: u64,
}

const fn higher(name: &'static str, summary: &'static str) -> MetricInfo {
    MetricInfo { name, summary, higher_is_better: true }
}

const fn lower(name: &'static str, summary: &'static str) -> MetricInfo {
    MetricInfo { name, summary, higher_is_better: false }
}

/// Every metric, in the order of [`Metrics::finish`].
pub const LIST: &[MetricInfo] = &[
    higher("exact hit", "one speck: row and column are both right"),
    higher("row hit", "one speck: the brightest row is right"),
    higher("column hit", "one speck: the brightest column is right"),
    higher("axis hit", "one speck: mean of row hit and column hit"),
    lower(
        "pixel distance",
        "one speck: distance from the brightest row and column to the speck, in pixels",
    ),
    lower(
        "calibration",
        "one speck: expected calibration error of the brightest value's share, ten bins",
    ),
    lower("brier", "one speck: squared error of an axis's values as shares, summed over the axis"),
    higher("brightness", "mean value at the specks' rows and columns"),
    higher("exact set", "both sets are right, no value more or less"),
    higher("exact rows", "the set of bright rows is right"),
    higher("exact columns", "the set of bright columns is right"),
    higher("precision", "share of the bright rows and columns that are right"),
    higher("precision rows", "share of the bright rows that are right"),
    higher("precision columns", "share of the bright columns that are right"),
    higher("recall", "share of the specks' rows and columns that are bright"),
    higher("recall rows", "share of the specks' rows that are bright"),
    higher("recall columns", "share of the specks' columns that are bright"),
    higher("f1", "harmonic mean of precision and recall"),
    higher("f1 rows", "harmonic mean of precision and recall of the rows"),
    higher("f1 columns", "harmonic mean of precision and recall of the columns"),
    higher("map", "average precision of the rankings, mean of rows and columns"),
    higher("map rows", "average precision of the ranking of the rows"),
    higher("map columns", "average precision of the ranking of the columns"),
    higher("recall at k", "specks' rows and columns among as many brightest ones as there are"),
    higher("recall at k rows", "specks' rows among as many brightest ones as there are"),
    higher("recall at k columns", "specks' columns among as many brightest ones as there are"),
    higher("finite", "samples whose 128 values are all finite"),
];

/// The description of a metric.
pub fn info(name: &str) -> Option<&'static MetricInfo> {
    LIST.iter().find(|metric| metric.name == name)
}

/// Bins of the calibration error.
const BINS: usize = 10;

/// One bin of the calibration error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    cases: u64,
    confidence: f64,
    hits: f64,
}

/// Sums over the samples seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Samples with at least one speck.
    samples: u64,
    /// Samples with exactly one.
    singles: u64,
    row_hits: f64,
    column_hits: f64,
    exact_hits: f64,
    distance: f64,
    brier: f64,
    bins: [Bin; BINS],
    brightness: f64,
    rows: SetScore,
    columns: SetScore,
    joint: SetScore,
    finite: f64,
}

impl Metrics {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Metrics::default()
    }

    /// Adds a batch. `outputs` are `[samples, 128]` brightness values; samples
    /// without a speck are passed over.
    ///
    /// Metrics of one speck take the samples with exactly one; all others take
    /// every sample.
    ///
    /// # Panics
    /// If there are fewer outputs than samples.
    pub fn add(&mut self, outputs: &[f32], batch: &SpeckBatch) {
        for sample in 0..batch.shape.samples {
            let specks: Vec<_> = batch.targets(sample).collect();
            let values = &outputs[sample * TARGETS..(sample + 1) * TARGETS];
            if !specks.is_empty() {
                self.add_sample(values, &specks);
            }
        }
    }

    /// Adds a sample: its 128 values, and row and column of its specks.
    fn add_sample(&mut self, values: &[f32], specks: &[(usize, usize)]) {
        let (rows, columns) = values.split_at(SCREEN);
        let row = Axis::new(rows, specks.iter().map(|speck| speck.0));
        let column = Axis::new(columns, specks.iter().map(|speck| speck.1));
        self.samples += 1;
        self.finite += f64::from(u8::from(row.finite() && column.finite()));
        self.brightness += (row.brightness() + column.brightness()) / 2.0;
        let sets = (row.sets(), column.sets());
        let ranks = (row.ranks(), column.ranks());
        self.rows.add(&sets.0, &ranks.0);
        self.columns.add(&sets.1, &ranks.1);
        self.joint.add_joint((&sets.0, &sets.1), (&ranks.0, &ranks.1));
        if let [speck] = *specks {
            self.add_single(&row, &column, speck);
        }
    }

    fn add_single(&mut self, row: &Axis, column: &Axis, speck: (usize, usize)) {
        let hits = (row.hits(speck.0), column.hits(speck.1));
        let number = |hit: bool| f64::from(u8::from(hit));
        self.singles += 1;
        self.row_hits += number(hits.0);
        self.column_hits += number(hits.1);
        self.exact_hits += number(hits.0 && hits.1);
        self.distance += axis::pixel_distance(row, column, speck);
        self.brier += row.brier(speck.0) + column.brier(speck.1);
        for (axis, hit) in [(row, hits.0), (column, hits.1)] {
            let confidence = axis.confidence();
            // A confidence of 1 belongs to the last bin.
            let index = ((confidence * BINS as f64) as usize).min(BINS - 1);
            let bin = &mut self.bins[index];
            bin.cases += 1;
            bin.confidence += confidence;
            bin.hits += number(hit);
        }
    }

    /// Every metric of [`LIST`], in its order.
    pub fn finish(&self) -> Vec<Metric> {
        let singles = self.singles as f64;
        let all = self.samples as f64;
        let gap = |bin: &Bin| (bin.hits - bin.confidence).abs();
        let calibration: f64 = self.bins.iter().map(gap).sum();
        let sums = [&self.joint, &self.rows, &self.columns];
        LIST.iter()
            .map(|metric| {
                // The metrics of sets come three times: joint, rows, columns.
                let set = |pick: fn(&SetScore) -> f64| {
                    let which = match metric.name.rsplit(' ').next() {
                        Some("rows") => 1,
                        Some("columns") => 2,
                        _ => 0,
                    };
                    (pick(sums[which]) / all, self.samples)
                };
                let (value, cases) = match metric.name {
                    "exact hit" => (self.exact_hits / singles, self.singles),
                    "row hit" => (self.row_hits / singles, self.singles),
                    "column hit" => (self.column_hits / singles, self.singles),
                    "axis hit" => {
                        ((self.row_hits + self.column_hits) / (2.0 * singles), self.singles)
                    }
                    "pixel distance" => (self.distance / singles, self.singles),
                    "calibration" => (calibration / (2.0 * singles), 2 * self.singles),
                    "brier" => (self.brier / (2.0 * singles), 2 * self.singles),
                    "brightness" => (self.brightness / all, self.samples),
                    "finite" => (self.finite / all, self.samples),
                    "exact set" | "exact rows" | "exact columns" => set(|score| score.exact),
                    "precision" | "precision rows" | "precision columns" => {
                        set(|score| score.precision)
                    }
                    "recall" | "recall rows" | "recall columns" => set(|score| score.recall),
                    "f1" | "f1 rows" | "f1 columns" => set(|score| score.f1),
                    "map" | "map rows" | "map columns" => set(|score| score.average_precision),
                    _ => set(|score| score.recall_at_k),
                };
                Metric { name: metric.name, value: (cases > 0).then_some(value), cases }
            })
            .collect()
    }

    /// One metric by name; `None` where there is no such metric or no case.
    pub fn value(&self, name: &str) -> Option<f64> {
        let metric = self.finish().into_iter().find(|metric| metric.name == name);
        metric.and_then(|metric| metric.value)
    }
}

#[cfg(test)]
mod tests;
