//! Measuring a learner on data.

use crate::data::{DataSettings, Source};
use crate::metrics::{ErrorMap, Metric, Metrics};
use crate::store::Score;
use speck_learners::{Batches, Learner, LearnerError, SpeckBatch, TARGETS};

/// Samples drawn at a time.
const CHUNK: usize = 256;

/// Fixed samples to measure on.
pub struct Probe {
    batches: Vec<SpeckBatch>,
}

impl Probe {
    /// `samples` random samples of `data`; the same for the same seed.
    pub fn random(data: &DataSettings, samples: usize, seed: u64) -> Self {
        let mut batches = Vec::new();
        let whole = Source::new(data, CHUNK.min(samples), seed);
        let mut left = samples;
        while left > 0 {
            let part = left.min(CHUNK);
            // The last part is a source of its own shape with the same draws.
            let source = if part == CHUNK { whole.clone() } else { Source::new(data, part, seed) };
            batches.push(filled(&source, batches.len() as u64));
            left -= part;
        }
        Probe { batches }
    }

    /// Every position of the data's split once.
    pub fn all_positions(data: &DataSettings, seed: u64) -> Self {
        let source = Source::all_positions(data, CHUNK, seed);
        let batches = (0..source.passes()).map(|step| filled(&source, step));
        // A learner may need less work for many samples at once.
        let joined = batches.fold(Vec::new(), |mut joined: Vec<SpeckBatch>, next| {
            match joined.last_mut().map(|last| last.join(&next)) {
                Some(true) => {}
                _ => joined.push(next),
            }
            joined
        });
        Probe { batches: joined }
    }

    /// The samples.
    pub fn batches(&self) -> &[SpeckBatch] {
        &self.batches
    }

    /// Feeds predictions and batches to `visit`, in order.
    ///
    /// # Errors
    /// The learner cannot predict.
    pub fn visit(
        &self,
        learner: &mut dyn Learner,
        mut visit: impl FnMut(&[f32], &SpeckBatch),
    ) -> Result<(), LearnerError> {
        let mut brightness = Vec::new();
        for batch in &self.batches {
            brightness.resize(batch.shape.samples * TARGETS, 0.0);
            learner.predict(batch, &mut brightness)?;
            visit(&brightness, batch);
        }
        Ok(())
    }

    /// All metrics.
    ///
    /// # Errors
    /// The learner cannot predict.
    pub fn measure(&self, learner: &mut dyn Learner) -> Result<Metrics, LearnerError> {
        let mut metrics = Metrics::new();
        self.visit(learner, |brightness, batch| metrics.add(brightness, batch))?;
        Ok(metrics)
    }

    /// All metrics, and the map of errors by position.
    ///
    /// # Errors
    /// The learner cannot predict.
    pub fn map(&self, learner: &mut dyn Learner) -> Result<(Metrics, ErrorMap), LearnerError> {
        let (mut metrics, mut map) = (Metrics::new(), ErrorMap::new());
        self.visit(learner, |brightness, batch| {
            metrics.add(brightness, batch);
            map.add(brightness, batch);
        })?;
        Ok((metrics, map))
    }
}

fn filled(source: &Source, step: u64) -> SpeckBatch {
    let mut batch = SpeckBatch::new(source.shape());
    source.fill(step, &mut batch);
    batch
}

/// Metrics as rows of the store; those without cases are left out.
pub fn scores(battery: &str, cell: &str, metrics: &[Metric]) -> Vec<Score> {
    let counted = metrics.iter().filter(|metric| metric.cases > 0);
    counted
        .map(|metric| Score {
            battery: battery.to_owned(),
            cell: cell.to_owned(),
            metric: metric.name.to_owned(),
            value: metric.value,
            cases: metric.cases,
        })
        .collect()
}

/// The metric by which a cell is judged at a glance: exact hits of one speck,
/// F1 of several.
pub fn headline(data: &DataSettings) -> &'static str {
    if data.count == 1 { "exact hit" } else { "f1" }
}

/// A seed for one purpose of a run, unrelated to that of every other purpose.
pub fn seed_for(seed: u64, purpose: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    let hash = hasher.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}
