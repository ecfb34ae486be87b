//! A stretch of training that survives being killed.
//!
//! A stage trains a learner in chunks and measures between them. After a
//! chunk it may write a checkpoint: the learner's whole state and the curves
//! so far. Chunks end at fixed steps and a batch depends on its step only, so
//! a stage that goes on from a checkpoint ends with the same bits as one
//! that was never stopped, wherever it was cut.
//!
//! A stage with patience ends with its best weights: the learner's whole state at the
//! first measurement with the highest value is kept, stands in checkpoints beside the
//! state of the moment, and is put back when training is over, whether it was
//! stopped early or went to its last step. What instruments note is of the training
//! as it went, its end included.

use super::evaluate::Probe;
use crate::RunError;
use crate::checkpoint::{Checkpoint, NamedTensor, ReadOutcome, TensorType};
use crate::diagnostics::{Instrument, Readings};
use crate::store::CurvePoint;
use serde::{Deserialize, Serialize};
use speck_engine::{DType, Tensor};
use speck_learners::{Batches, Learner};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is measured between chunks.
pub struct Watch {
    /// The name of the curve.
    pub series: &'static str,
    /// The metric.
    pub metric: &'static str,
    /// On what.
    pub probe: Probe,
}

/// A diagnostic's instrument on a stage.
pub struct Mounted {
    /// The name of its notes in the record.
    pub slug: String,
    /// It looks at the first, the last and every so manieth point.
    pub every: u64,
    /// What looks.
    pub instrument: Box<dyn Instrument>,
}

/// What instruments remember stands in checkpoints under names that start so.
const MEMORY: &str = "diagnostic/";
/// The best state so far stands there under names that start so.
const BEST: &str = "best/";

type Slots = Vec<(String, Tensor)>;

/// A stretch of training.
pub struct Stage<'a> {
    /// Where checkpoints go.
    pub checkpoint: &'a Path,
    /// How often at most.
    pub interval: Duration,
    /// The data.
    pub data: &'a dyn Batches,
    /// Steps in all.
    pub steps: u64,
    /// Steps of a chunk.
    pub every: u64,
    /// Measurements in a row without improvement of the first watch after which
    /// training stops; 0 for never. Unless it is 0, training ends with the best
    /// weights, not the last ones.
    pub patience: u64,
    /// What is measured, before the first chunk and after each.
    pub watches: &'a [Watch],
    /// Told of progress: steps done in this call.
    pub progress: &'a dyn Fn(u64),
    /// Told of what went wrong but does not matter, such as a torn checkpoint.
    pub warn: &'a dyn Fn(&str),
}

/// What a stage has recorded, kept in its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// (series, step, value); a value that is not finite is absent.
    pub curves: Vec<(String, u64, Option<f64>)>,
    /// Steps trained, fewer than asked for if training stopped early.
    pub steps: u64,
    /// Steps after which the first watch was best: with patience, those of the
    /// weights that training ended with.
    #[serde(default)]
    pub best_step: u64,
    /// Seconds spent in steps.
    pub seconds: f64,
    /// What instruments have noted, by their slugs: of those that looked from the
    /// first point on.
    #[serde(default)]
    pub readings: BTreeMap<String, Readings>,
    best: Option<f64>,
    stale: u64,
    done: bool,
}

impl Record {
    /// The curves as rows of the store.
    pub fn points(&self) -> Vec<CurvePoint> {
        let point = |(series, step, value): &(String, u64, Option<f64>)| {
            let value = (*value)?;
            Some(CurvePoint { series: series.clone(), step: *step, value })
        };
        self.curves.iter().filter_map(point).collect()
    }

    /// The points of one curve.
    pub fn series(&self, name: &str) -> Vec<(u64, f64)> {
        let own = self.curves.iter().filter(|(series, ..)| series == name);
        own.filter_map(|(_, step, value)| Some((*step, (*value)?))).collect()
    }

    fn push(&mut self, series: &str, value: Option<f64>) {
        self.curves.push((series.to_owned(), self.steps, value.filter(|v| v.is_finite())));
    }
}

impl Stage<'_> {
    /// Trains `learner`, from its checkpoint if there is one. Instruments that did not
    /// look before the checkpoint do not look after it.
    ///
    /// # Errors
    /// The learner fails, or a checkpoint cannot be written.
    pub fn run(
        &self,
        learner: &mut dyn Learner,
        instruments: &mut [Mounted],
    ) -> Result<Record, RunError> {
        let (mut record, mut best) = match self.resume(learner, instruments)? {
            Some(resumed) => resumed,
            None => {
                let mut record = Record::default();
                let none = |mounted: &Mounted| (mounted.slug.clone(), Readings::default());
                record.readings = instruments.iter().map(none).collect();
                learner.begin(self.data)?;
                self.measure(learner, &mut record)?;
                self.look(learner, &mut record, instruments)?;
                let best = self.kept(learner, &record)?;
                (record, best.unwrap_or_default())
            }
        };
        (self.progress)(record.steps);
        let mut written = Instant::now();
        while !record.done {
            let chunk = self.every.min(self.steps - record.steps);
            let start = Instant::now();
            let loss = learner.learn(self.data, chunk)?;
            record.seconds += start.elapsed().as_secs_f64();
            record.steps += chunk;
            // Where and when a checkpoint is written must not matter for what follows.
            learner.settle()?;
            record.push("loss", Some(loss));
            record.push("rate", Some(learner.rate()));
            self.measure(learner, &mut record)?;
            record.done = record.steps >= self.steps
                || (self.patience > 0 && record.stale >= self.patience)
                // Weights that are no numbers any more do not recover.
                || !loss.is_finite();
            self.look(learner, &mut record, instruments)?;
            if let Some(state) = self.kept(learner, &record)? {
                best = state;
            }
            (self.progress)(chunk);
            if record.done && record.best_step < record.steps && !best.is_empty() {
                learner.restore(std::mem::take(&mut best))?;
            }
            if record.done || written.elapsed() >= self.interval {
                self.save(learner, &record, &best, instruments)?;
                written = Instant::now();
            }
        }
        Ok(record)
    }

    /// The learner's state, where patience wants the best one and this is it.
    fn kept(&self, learner: &mut dyn Learner, record: &Record) -> Result<Option<Slots>, RunError> {
        if self.patience == 0 || record.best.is_none() || record.best_step != record.steps {
            return Ok(None);
        }
        let state = learner.state()?.iter();
        Ok(Some(state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()))
    }

    fn measure(&self, learner: &mut dyn Learner, record: &mut Record) -> Result<(), RunError> {
        for (i, watch) in self.watches.iter().enumerate() {
            let value = watch.probe.measure(learner)?.value(watch.metric);
            record.push(watch.series, value);
            if i == 0 {
                let value = value.filter(|value| value.is_finite());
                let better = match (value, record.best) {
                    (Some(value), Some(best)) => value > best,
                    (value, _) => value.is_some(),
                };
                record.stale = if better { 0 } else { record.stale + 1 };
                if better {
                    (record.best, record.best_step) = (value, record.steps);
                }
            }
        }
        Ok(())
    }

    /// Has the instruments look that are to look at this point.
    fn look(
        &self,
        learner: &mut dyn Learner,
        record: &mut Record,
        instruments: &mut [Mounted],
    ) -> Result<(), RunError> {
        let point = record.steps.div_ceil(self.every.max(1));
        for Mounted { slug, every, instrument } in instruments {
            let due = record.done || point.is_multiple_of(*every);
            if let Some(readings) = record.readings.get_mut(slug).filter(|_| due) {
                readings.step = record.steps;
                instrument.read(learner, readings)?;
            }
        }
        Ok(())
    }

    /// The last checkpoint is the trained network, and has no instrument's memory.
    fn save(
        &self,
        learner: &mut dyn Learner,
        record: &Record,
        best: &Slots,
        instruments: &[Mounted],
    ) -> Result<(), RunError> {
        let state = learner.state()?.iter();
        let mut tensors: Vec<_> = state.map(|(name, tensor)| named(name, tensor)).collect();
        for (name, tensor) in best.iter().filter(|_| !record.done) {
            tensors.push(named(&format!("{BEST}{name}"), tensor));
        }
        for Mounted { slug, instrument, .. } in instruments.iter().filter(|_| !record.done) {
            for (name, tensor) in instrument.memory() {
                tensors.push(named(&format!("{MEMORY}{slug}/{name}"), &tensor));
            }
        }
        let notes = serde_json::to_value(record).map_err(RunError::Notes)?;
        Ok(Checkpoint { tensors, notes }.write(self.checkpoint)?)
    }

    fn resume(
        &self,
        learner: &mut dyn Learner,
        instruments: &mut [Mounted],
    ) -> Result<Option<(Record, Slots)>, RunError> {
        match load(self.checkpoint, self.warn)? {
            Some((mut tensors, mut record)) => {
                let best = tensors.extract_if(.., |(name, _)| name.starts_with(BEST));
                let best: Slots =
                    best.map(|(name, tensor)| (name[BEST.len()..].to_owned(), tensor)).collect();
                let memory: Vec<_> =
                    tensors.extract_if(.., |(name, _)| name.starts_with(MEMORY)).collect();
                if let Err(error) = learner.restore(tensors) {
                    (self.warn)(&format!("{}: {error}; starting anew", self.checkpoint.display()));
                    return Ok(None);
                }
                for Mounted { slug, instrument, .. } in &mut *instruments {
                    let prefix = format!("{MEMORY}{slug}/");
                    let own = memory.iter().filter_map(|(name, tensor)| {
                        Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()))
                    });
                    instrument.recall(own.collect());
                }
                // Notes with a gap would be taken for whole ones later.
                let done = record.done;
                let looks = |slug: &String| instruments.iter().any(|own| own.slug == *slug);
                record.readings.retain(|slug, _| done || looks(slug));
                Ok(Some((record, best)))
            }
            None => Ok(None),
        }
    }
}

/// What a finished stage left behind: the learner's tensors and its record.
/// `None` if there is no such file, or it is torn, or the stage did not end.
///
/// # Errors
/// The file is there but cannot be read.
pub fn finished(path: &Path, warn: &dyn Fn(&str)) -> Result<Option<(Slots, Record)>, RunError> {
    Ok(load(path, warn)?.filter(|(_, record)| record.done))
}

fn load(path: &Path, warn: &dyn Fn(&str)) -> Result<Option<(Slots, Record)>, RunError> {
    match Checkpoint::read(path)? {
        ReadOutcome::Missing => Ok(None),
        ReadOutcome::Torn(why) => {
            warn(&why);
            Ok(None)
        }
        ReadOutcome::Loaded(checkpoint) => {
            let tensors = checkpoint.tensors.iter().map(tensor).collect();
            match serde_json::from_value(checkpoint.notes) {
                Ok(record) => Ok(Some((tensors, record))),
                Err(error) => {
                    warn(&format!("{}: its notes cannot be read: {error}", path.display()));
                    Ok(None)
                }
            }
        }
    }
}

fn named(name: &str, tensor: &Tensor) -> NamedTensor {
    let (dtype, bytes) = match tensor.ty().dtype {
        DType::F32 => (TensorType::F32, little_endian(tensor.bytes(), 4)),
        DType::F64 => (TensorType::F64, little_endian(tensor.bytes(), 8)),
        DType::I32 => (TensorType::I32, little_endian(tensor.bytes(), 4)),
        DType::F16 => (TensorType::F16, little_endian(tensor.bytes(), 2)),
        DType::Bf16 => (TensorType::Bf16, little_endian(tensor.bytes(), 2)),
    };
    NamedTensor { name: name.to_owned(), shape: tensor.shape().to_vec(), dtype, bytes }
}

fn tensor(named: &NamedTensor) -> (String, Tensor) {
    let dtype = match named.dtype {
        TensorType::F32 => DType::F32,
        TensorType::F64 => DType::F64,
        TensorType::I32 => DType::I32,
        TensorType::F16 => DType::F16,
        TensorType::Bf16 => DType::Bf16,
    };
    let mut tensor = Tensor::zeros(&speck_engine::TensorType::new(dtype, &named.shape));
    let bytes = little_endian(&named.bytes, dtype.bytes());
    tensor.bytes_mut().copy_from_slice(&bytes);
    (named.name.clone(), tensor)
}

/// Elements of `size` bytes from the machine's order to little-endian, or back.
fn little_endian(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    bytes
}
