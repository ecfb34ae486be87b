//! Evaluation of every position of a model, dense against structured.
//!
//! Both programs predict the same 4096 screens with the same weights and take all
//! metrics and the map of errors, as a run does between its steps. They are timed
//! in turn, each time after one more step of training, so that what a run does
//! only in the first evaluation after a step is in every one.

use super::steps::{Work, WorkError};
use super::{median, time};
use crate::data::{Background, Source};
use crate::metrics::{ErrorMap, Metrics};
use crate::run::evaluate::Probe;
use serde::Serialize;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_learners::Learner;

/// What a work's evaluation takes.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The work.
    pub work: &'static str,
    /// Threads.
    pub threads: usize,
    /// Screens.
    pub positions: u64,
    /// Median milliseconds where every pixel is computed.
    pub dense_ms: f64,
    /// Median milliseconds where what differs is computed.
    pub structured_ms: f64,
    /// Dense over structured.
    pub ratio: f64,
    /// Evaluations of each.
    pub n: usize,
    /// The largest difference of two predictions; they are shares of an axis.
    pub difference: f64,
}

/// The two learners of a work.
pub struct Pair {
    work: &'static Work,
    dense: Box<dyn Learner>,
    structured: Box<dyn Learner>,
    source: Source,
    probe: Probe,
    times: [Vec<f64>; 2],
    positions: u64,
    difference: f64,
}

impl Pair {
    /// Builds both and trains for `steps` steps.
    ///
    /// # Errors
    /// They cannot be built.
    pub fn new(
        work: &'static Work,
        kernels: &Choice,
        background: Background,
        steps: u64,
    ) -> Result<Self, WorkError> {
        let (dense, _) = work.learner(kernels.clone(), Mode::Dense, background, "f32")?;
        let (mut structured, source) =
            work.learner(kernels.clone(), Mode::Structured, background, "f32")?;
        structured.learn(&source, steps)?;
        let probe = Probe::all_positions(&work.data(background), 0);
        let (times, positions, difference) = (Default::default(), 0, 0.0);
        let mut pair =
            Pair { work, dense, structured, source, probe, times, positions, difference };
        // The first one compiles.
        pair.round()?;
        pair.times = Default::default();
        Ok(pair)
    }

    /// Makes a step and times both evaluations after it.
    ///
    /// # Errors
    /// A program fails.
    pub fn round(&mut self) -> Result<(), WorkError> {
        self.structured.learn(&self.source, 1)?;
        let mut found = [Vec::new(), Vec::new()];
        for (i, values) in found.iter_mut().enumerate() {
            let learner = if i == 0 {
                &mut self.structured
            } else {
                let state = self.structured.state()?.iter();
                let saved = state.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
                let saved = saved.collect();
                self.dense.restore(saved)?;
                &mut self.dense
            };
            let (mut metrics, mut map) = (Metrics::new(), ErrorMap::new());
            let seconds = time(|| {
                self.probe.visit(&mut **learner, |brightness, batch| {
                    metrics.add(brightness, batch);
                    map.add(brightness, batch);
                    values.extend_from_slice(brightness);
                })
            });
            self.times[i].push(seconds.map_err(WorkError::Learner)?);
            self.positions = map.cases.iter().sum();
        }
        let [structured, dense] = &found;
        let apart = structured.iter().zip(dense).map(|(a, b)| f64::from((a - b).abs()));
        // What is no number differs from everything.
        let largest = apart.fold(0.0, |most: f64, d| if d <= most { most } else { d });
        self.difference = if largest <= self.difference { self.difference } else { largest };
        Ok(())
    }

    /// Seconds timed so far, and rounds.
    pub fn timed(&self) -> (f64, usize) {
        (self.times.iter().flatten().sum(), self.times[0].len())
    }

    /// The result.
    pub fn result(&self, threads: usize) -> Evaluation {
        let [structured, dense] = self.times.clone().map(|mut times| median(&mut times));
        Evaluation {
            work: self.work.name,
            threads,
            positions: self.positions,
            dense_ms: dense * 1e3,
            structured_ms: structured * 1e3,
            ratio: dense / structured,
            n: self.times[0].len(),
            difference: self.difference,
        }
    }
}
