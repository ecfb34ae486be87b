//! Ways of learning, with and without gradients.
//!
//! A [`Learner`] is given a model, data and a number of steps; it learns,
//! predicts 128 values, and can be saved, resumed and retrained. Nothing in the
//! trait assumes a gradient. One file (or folder) a learner, one line in [`ALL`].

mod batch;
pub mod drift;
pub mod gradient;
mod hebbian;
pub mod layers;
mod port;
mod predictor;
mod rows;
pub mod screen;
mod trainer;

pub use batch::{BatchShape, Batches, SCREEN, SpeckBatch, TARGETS};
pub use predictor::Readout;

use speck_engine::kernels::Choice;
use speck_engine::{
    CompileError, Cost, DType, Graph, GraphError, Initial, NodeId, RunError, State, StateError,
    StepTiming, Tensor, TensorType, structure,
};
use speck_models::settings::{DefaultValue, Kind};
use speck_models::{Dimension, Model, SettingError, Settings};
use std::sync::Arc;
use thiserror::Error;

/// Slots of a learner's state that are not part of the model start with this:
/// moments, counters, the seed.
pub const PRIVATE: &str = "learner/";
/// Slots of a teacher's network: this and the name of the model's slot.
pub(crate) const TEACHER: &str = "learner/teacher/";
/// Slots of the weights that training started with: this and a parameter's name.
pub(crate) const ORIGIN: &str = "learner/origin/";
/// The slot that counts steps: i32 [].
pub(crate) const STEP: &str = "learner/step";
/// The slot that holds the seed: i32 [2], low word first.
pub(crate) const SEED: &str = "learner/seed";

/// Declares [`STEP`], 0 at first.
#[track_caller]
pub(crate) fn declare_step(graph: &Graph) -> Result<NodeId, GraphError> {
    graph.state_of(STEP, &TensorType::new(DType::I32, &[]), Initial::Constant(0.0))
}

/// Declares [`SEED`]; a learner writes its words when the state is made.
#[track_caller]
pub(crate) fn declare_seed(graph: &Graph) -> Result<NodeId, GraphError> {
    graph.state_of(SEED, &TensorType::new(DType::I32, &[2]), Initial::Constant(0.0))
}

/// What a learner cannot do.
#[derive(Debug, Error)]
pub enum LearnerError {
    /// A setting that does not fit the model or another setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The model cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A program cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A program cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A saved state does not fit.
    #[error("the saved state does not fit: {0}")]
    State(#[from] StateError),
}

/// What a learner is made for.
#[derive(Clone)]
pub struct Setup {
    /// The architecture.
    pub model: Arc<dyn Model>,
    /// The shape of the batches it will learn from.
    pub shape: BatchShape,
    /// Decides initial values and everything random in the steps.
    pub seed: u64,
    /// Forced kernel variants.
    pub kernels: Choice,
    /// What the programs compute in, and the model's tensors are.
    pub float: DType,
    /// Whether programs compute every pixel or what differs.
    pub mode: structure::Mode,
}

/// What a learner consists of, for reports and prints.
#[derive(Clone, Debug)]
pub struct Description {
    /// Values that are learned.
    pub parameters: usize,
    /// The work of one step.
    pub step: Cost,
    /// The program of one step, printed.
    pub program: String,
    /// Whether the program is rewritten, and why.
    pub plan: structure::Plan,
    /// The work of each op of a step, against that of the dense program.
    pub ledger: structure::Ledger,
}

/// A way of learning, applied to one model.
pub trait Learner: Send {
    /// Does what is still to do with the initial weights and needs data: scales them
    /// by the first batch, if that is how they are initialized. The first step does
    /// it where nobody has asked before; whoever looks at the weights before that
    /// step asks. Weights that were restored or taken over stay as they are.
    ///
    /// # Errors
    /// As [`Learner::learn`].
    fn begin(&mut self, data: &dyn Batches) -> Result<(), LearnerError> {
        let _ = data;
        Ok(())
    }

    /// Learns for `steps` more steps on the batches that follow; returns the
    /// mean loss over them (of whatever the learner minimises; for learners
    /// without a loss, the mean squared error of their prediction).
    ///
    /// The batch of a step depends on the step's number only, so a learner
    /// restored from a saved state goes on with the same bits.
    ///
    /// # Errors
    /// `data` has another shape than the learner was made for.
    fn learn(&mut self, data: &dyn Batches, steps: u64) -> Result<f64, LearnerError>;

    /// Learns for one more step and times every kernel call in it.
    ///
    /// # Errors
    /// As [`Learner::learn`].
    fn profile(&mut self, data: &dyn Batches) -> Result<Vec<StepTiming>, LearnerError>;

    /// The steps learned so far.
    fn steps(&self) -> u64;

    /// The rate that the next step will use.
    fn rate(&self) -> f64;

    /// Predicts [samples, 128] brightness values for a batch of any shape; in
    /// each axis, larger means more likely to hold a speck.
    ///
    /// # Errors
    /// The model cannot be compiled for the batch.
    fn predict(&mut self, batch: &SpeckBatch, brightness: &mut [f32]) -> Result<(), LearnerError>;

    /// Does what steps have put off, and writes what they held in another form: what
    /// [`Learner::state`] does first. Since that rounds, a run that is to go on to the
    /// same bits settles after the same steps. On a GPU nothing comes down.
    ///
    /// # Errors
    /// None that [`Learner::learn`] would not have.
    fn settle(&mut self) -> Result<(), LearnerError> {
        self.state().map(drop)
    }

    /// Everything that later steps and predictions depend on, [settled](Learner::settle).
    ///
    /// # Errors
    /// None that [`Learner::learn`] would not have.
    fn state(&mut self) -> Result<&State, LearnerError>;

    /// What has been learned, for others to adopt: the state, with the
    /// network's tensors as [`Learner::predict`] takes them. Where weights are averaged
    /// those are the means.
    ///
    /// # Errors
    /// As [`Learner::state`].
    fn learned(&mut self) -> Result<Vec<(String, Tensor)>, LearnerError> {
        let state = self.state()?.iter();
        Ok(state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
    }

    /// Replaces slots of the state by saved ones, to go on where they were saved.
    ///
    /// # Errors
    /// A slot is missing, unknown, or of another type.
    fn restore(&mut self, saved: Vec<(String, Tensor)>) -> Result<(), LearnerError>;

    /// What the learner consists of.
    fn describe(&self) -> Description;
}

/// What one learner takes over from another of the same model.
pub struct Inheritance<'a> {
    /// Every slot that the other one had.
    pub from: &'a [(String, Tensor)],
    /// Which of the model's slots are taken over; the others stay as they are.
    pub keeps: &'a dyn Fn(&str) -> bool,
    /// Whether counters and moments are taken over too, where both have them.
    pub private: bool,
}

impl dyn Learner + '_ {
    /// Starts from what another learner of the same model has learned: takes
    /// over the model's tensors, not the learner's own counters and moments.
    ///
    /// # Errors
    /// A tensor is missing or of another type.
    pub fn adopt(&mut self, other: &[(String, Tensor)]) -> Result<(), LearnerError> {
        self.inherit(&Inheritance { from: other, keeps: &|_| true, private: false })
    }

    /// Starts from part of what another learner of the same model has learned. A
    /// teacher is the other one's network as it was; the weights that a penalty or
    /// an adapter starts from are those that this learner starts with, and zero
    /// for a penalty where they are not taken over.
    ///
    /// # Errors
    /// A tensor is missing or of another type.
    pub fn inherit(&mut self, inheritance: &Inheritance<'_>) -> Result<(), LearnerError> {
        let Inheritance { from, keeps, private } = *inheritance;
        let learned = |name: &str| -> Result<Tensor, LearnerError> {
            let found = from.iter().find(|(other, _)| other == name);
            let (_, tensor) = found.ok_or_else(|| StateError::Missing(name.to_owned()))?;
            Ok(tensor.clone())
        };
        let mut merged = Vec::new();
        for (name, own) in self.state()?.iter() {
            let tensor = if let Some(of) = name.strip_prefix(TEACHER) {
                learned(of)?
            } else if let Some(of) = name.strip_prefix(ORIGIN) {
                if keeps(of) { learned(of)? } else { Tensor::zeros(own.ty()) }
            } else if let Some(of) = name.strip_prefix(gradient::pretexts::TARGET)
                && !private
            {
                let known = keeps(of) && from.iter().any(|(other, _)| other == of);
                if known { learned(of)? } else { own.clone() }
            } else if name.starts_with(PRIVATE) {
                let same = from.iter().find(|(other, old)| other == name && old.ty() == own.ty());
                same.filter(|_| private).map_or_else(|| own.clone(), |(_, old)| old.clone())
            } else if keeps(name) {
                learned(name)?
            } else {
                own.clone()
            };
            merged.push((name.to_owned(), tensor));
        }
        self.restore(merged)
    }
}

/// A learner in the registry.
pub struct LearnerEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// The models it can learn; empty for all.
    pub models: &'static [&'static str],
    /// Makes it from settings that were resolved against `dimensions`.
    pub make: fn(&Settings, Setup) -> Result<Box<dyn Learner>, LearnerError>,
}

/// Every learner.
pub static ALL: &[LearnerEntry] = &[gradient::ENTRY, hebbian::ENTRY];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static LearnerEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// Steps of training: a dimension of every learner.
pub(crate) const STEPS: Dimension = Dimension {
    name: "steps",
    doc: "steps of training",
    kind: Kind::Int { min: 1, max: 100_000_000 },
    default: DefaultValue::Int(1000),
};

/// Samples of a step: a dimension of every learner.
pub(crate) const BATCH: Dimension = Dimension {
    name: "batch",
    doc: "samples of a step",
    kind: Kind::Int { min: 1, max: 65_536 },
    default: DefaultValue::Int(64),
};

/// Evaluations without improvement before training stops: a dimension of every
/// learner, acted on by whoever evaluates.
pub(crate) const PATIENCE: Dimension = Dimension {
    name: "patience",
    doc: "stop after this many evaluations in a row without a better one, and end with the weights of the best one, also where the last step was reached before; 0: never stop, end with the last weights",
    kind: Kind::Int { min: 0, max: 100_000 },
    default: DefaultValue::Int(0),
};

#[cfg(test)]
mod tests;
