//! Errors by position of the speck.

use serde::Serialize;
use speck_learners::{SCREEN, SpeckBatch, TARGETS};

use super::axis::{Axis, pixel_distance};

/// Exact hits, pixel distance and brightness by position, for samples with one
/// speck. Every list holds 64 × 64 sums, row by row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorMap {
    /// Samples seen at each position.
    pub cases: Vec<u64>,
    exact_hits: Vec<f64>,
    distance: Vec<f64>,
    brightness: Vec<f64>,
}

impl Default for ErrorMap {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorMap {
    /// Nothing seen yet.
    pub fn new() -> Self {
        let zeros = vec![0.0; SCREEN * SCREEN];
        ErrorMap {
            cases: vec![0; SCREEN * SCREEN],
            exact_hits: zeros.clone(),
            distance: zeros.clone(),
            brightness: zeros,
        }
    }

    /// Adds a batch: `[samples, 128]` brightness values. Samples with no speck
    /// or several are passed over.
    ///
    /// # Panics
    /// If there are fewer outputs than samples.
    pub fn add(&mut self, outputs: &[f32], batch: &SpeckBatch) {
        for sample in 0..batch.shape.samples {
            let mut specks = batch.targets(sample);
            let (Some(speck), None) = (specks.next(), specks.next()) else {
                continue;
            };
            let values = &outputs[sample * TARGETS..(sample + 1) * TARGETS];
            let (rows, columns) = values.split_at(SCREEN);
            let row = Axis::new(rows, std::iter::once(speck.0));
            let column = Axis::new(columns, std::iter::once(speck.1));
            let hit = row.hits(speck.0) && column.hits(speck.1);
            let place = speck.0 * SCREEN + speck.1;
            self.cases[place] += 1;
            self.exact_hits[place] += f64::from(u8::from(hit));
            self.distance[place] += pixel_distance(&row, &column, speck);
            self.brightness[place] += (row.brightness() + column.brightness()) / 2.0;
        }
    }

    /// Share of exact hits by position; `None` where no sample was seen.
    pub fn exact_hit(&self) -> Vec<Option<f64>> {
        self.means(&self.exact_hits)
    }

    /// Mean pixel distance by position.
    pub fn pixel_distance(&self) -> Vec<Option<f64>> {
        self.means(&self.distance)
    }

    /// Mean brightness at the target by position.
    pub fn brightness(&self) -> Vec<Option<f64>> {
        self.means(&self.brightness)
    }

    fn means(&self, sums: &[f64]) -> Vec<Option<f64>> {
        let mean = |(sum, cases): (&f64, &u64)| (*cases > 0).then(|| sum / *cases as f64);
        sums.iter().zip(&self.cases).map(mean).collect()
    }
}
