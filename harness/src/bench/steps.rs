//! Training steps of fixed works: the same definitions as `benches/peers`.
//!
//! One step draws a batch, copies it into the program and runs the program:
//! screens, model, loss, gradient, Adam at 0.001, one white pixel on a background
//! that is black unless another is asked for.

use super::{Peaks, median};
use crate::data::{Background, DataSettings, Source};
use serde::Serialize;
use speck_engine::DType;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_learners::{Batches, Learner, LearnerError, Setup};
use speck_models::settings::{SettingError, Value, resolve};
use std::time::Instant;
use thiserror::Error;

/// A model at a batch size.
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    model: &'static str,
    settings: fn() -> Vec<(&'static str, Value)>,
    /// Samples a step.
    pub batch: usize,
}

impl Work {
    /// Its learner, and the batches it learns from.
    ///
    /// # Errors
    /// They cannot be built.
    pub(super) fn learner(
        &self,
        kernels: Choice,
        mode: Mode,
        background: Background,
        storage: &str,
    ) -> Result<(Box<dyn Learner>, Source), WorkError> {
        let missing = |what: &str, name: &str| WorkError::Missing(format!("{what} `{name}`"));
        let given = |pairs: Vec<(&str, Value)>| -> Vec<(String, Value)> {
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        };
        let model = speck_models::find(self.model).ok_or_else(|| missing("model", self.model))?;
        let settings = resolve(model.dimensions, &given((self.settings)()))?;
        let model = (model.make)(&settings)?;
        let entry =
            speck_learners::find("gradient").ok_or_else(|| missing("learner", "gradient"))?;
        let batch = i64::try_from(self.batch).unwrap_or(i64::MAX);
        let storage = ("storage", Value::Text(storage.to_owned()));
        let settings = [("rate", Value::Float(0.001)), ("batch", Value::Int(batch)), storage];
        let settings = resolve(entry.dimensions, &given(settings.to_vec()))?;
        let source = Source::new(&self.data(background), self.batch, 0);
        let setup = Setup {
            model: model.into(),
            shape: source.shape(),
            seed: 0,
            float: DType::F32,
            kernels,
            mode,
        };
        Ok(((entry.make)(&settings, setup)?, source))
    }

    /// What is on its screens.
    pub(super) fn data(&self, background: Background) -> DataSettings {
        DataSettings { background, ..DataSettings::default() }
    }

    /// Whether it is the model of another one, at whatever batch.
    pub fn is_model_of(&self, other: &Work) -> bool {
        self.model == other.model && (self.settings)() == (other.settings)()
    }
}

fn list(values: &[i64]) -> Value {
    Value::List(values.iter().map(|value| Value::Int(*value)).collect())
}

fn mlp() -> Vec<(&'static str, Value)> {
    vec![("hidden", list(&[512, 256]))]
}

fn cnn() -> Vec<(&'static str, Value)> {
    vec![("channels", list(&[32, 64, 128]))]
}

/// The works.
pub const WORKS: &[Work] = &[
    Work {
        name: "mlp",
        summary: "12288 → 512 → 256 → 128, ReLU, batch 256",
        model: "mlp",
        settings: mlp,
        batch: 256,
    },
    Work { name: "mlp32", summary: "the same at batch 32", model: "mlp", settings: mlp, batch: 32 },
    Work {
        name: "cnn",
        summary: "three 3×3 convolutions to 32, 64, 128 channels, each pooled, batch 64",
        model: "cnn",
        settings: cnn,
        batch: 64,
    },
    Work {
        name: "cnn256",
        summary: "the same at batch 256",
        model: "cnn",
        settings: cnn,
        batch: 256,
    },
    Work {
        name: "flatcnn",
        summary: "three 3×3 convolutions to 32 channels and one 1×1 to 8, no pooling, batch 64",
        model: "cnn",
        settings: || {
            vec![
                ("channels", list(&[32, 32, 32])),
                ("pool", Value::Text("none".to_owned())),
                ("reduce", Value::Int(8)),
            ]
        },
        batch: 64,
    },
    Work {
        name: "resnet",
        summary: "three residual blocks of 32 channels with batch norm, each pooled, batch 64",
        model: "resnet",
        settings: || vec![("width", Value::Int(32))],
        batch: 64,
    },
    Work {
        name: "vit",
        summary: "four transformer blocks of 4 heads and 128 channels on 8×8 patches, batch 64",
        model: "vit",
        settings: || {
            let sizes = [("dim", 128), ("depth", 4), ("heads", 4), ("patch", 8)];
            sizes.map(|(name, value)| (name, Value::Int(value))).to_vec()
        },
        batch: 64,
    },
];

/// What a work takes.
#[derive(Clone, Debug, Serialize)]
pub struct Timing {
    /// The work.
    pub work: &'static str,
    /// `dense`: every pixel computed; `structured`: what differs; or `auto`.
    pub mode: &'static str,
    /// What products read: `f32`, `bf16` or `f16`.
    pub storage: &'static str,
    /// Threads.
    pub threads: usize,
    /// Samples a step.
    pub batch: usize,
    /// Median milliseconds of a step.
    pub ms_median: f64,
    /// The fastest step.
    pub ms_min: f64,
    /// Steps timed.
    pub n: usize,
    /// Samples a second at the median.
    pub samples_per_s: f64,
    /// Floating-point operations a second at the median.
    pub gflops: f64,
    /// Of the peak of multiply-adds measured in the same run.
    pub share_of_peak: f64,
    /// Of a GPU: median milliseconds of its dispatches by its own clock.
    pub device_ms: Option<f64>,
}

/// A work that cannot be timed.
#[derive(Debug, Error)]
pub enum WorkError {
    /// Its settings do not fit its model.
    #[error(transparent)]
    Settings(#[from] SettingError),
    /// Its learner cannot be made or run.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// Its registry has no such entry.
    #[error("there is no {0}")]
    Missing(String),
}

/// A work with its learner, ready to be timed in turn with others.
pub struct Subject {
    work: &'static Work,
    mode: Mode,
    storage: &'static str,
    learner: Box<dyn Learner>,
    source: Source,
    times: Vec<f64>,
    device: Vec<f64>,
}

impl Subject {
    /// Builds model and learner.
    ///
    /// # Errors
    /// They cannot be built.
    pub fn new(
        work: &'static Work,
        kernels: Choice,
        mode: Mode,
        background: Background,
        storage: &'static str,
    ) -> Result<Self, WorkError> {
        let (mut learner, source) = work.learner(kernels.clone(), mode, background, storage)?;
        // The first makes programs, pipelines and pages; the second shows what is left.
        let software = kernels.gpu().is_some_and(|gpu| gpu.is_software());
        learner.learn(&source, if software { 1 } else { 2 })?;
        let (times, device) = (Vec::new(), Vec::new());
        Ok(Subject { work, mode, storage, learner, source, times, device })
    }

    /// Times one step.
    ///
    /// # Errors
    /// The step fails.
    pub fn step(&mut self) -> Result<(), WorkError> {
        let start = Instant::now();
        self.learner.learn(&self.source, 1)?;
        self.times.push(start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Makes a step and takes the device's own times of it.
    ///
    /// # Errors
    /// The step fails.
    pub fn step_on_device(&mut self) -> Result<(), WorkError> {
        let steps = self.learner.profile(&self.source)?;
        self.device.push(steps.iter().map(|step| step.seconds).sum());
        Ok(())
    }

    /// Seconds timed so far, and how often.
    pub fn timed(&self) -> (f64, usize) {
        (self.times.iter().sum(), self.times.len())
    }

    /// The result.
    pub fn timing(&self, peaks: &Peaks) -> Timing {
        let mut times = self.times.clone();
        let middle = median(&mut times);
        let flops = self.learner.describe().step.flops as f64;
        Timing {
            work: self.work.name,
            mode: match self.mode {
                Mode::Dense => "dense",
                Mode::Structured => "structured",
                Mode::Auto => "auto",
            },
            storage: self.storage,
            threads: peaks.threads,
            batch: self.work.batch,
            ms_median: middle * 1e3,
            ms_min: times.first().copied().unwrap_or(f64::NAN) * 1e3,
            n: times.len(),
            samples_per_s: self.work.batch as f64 / middle,
            gflops: flops / middle / 1e9,
            share_of_peak: flops / middle / peaks.flops,
            device_ms: (!self.device.is_empty()).then(|| median(&mut self.device.clone()) * 1e3),
        }
    }
}
