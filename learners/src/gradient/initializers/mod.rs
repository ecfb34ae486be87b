//! Initialization: what weights are before the first step.
//!
//! Tensors of two dimensions and more are filled; vectors (biases, scales of
//! norms) stay as the model has them. Draws depend on the seed and the
//! parameter's name only.

mod lsuv;
mod random;
mod structured;

use speck_engine::{DType, Graph, Initial, State};
use speck_models::settings::Part;
use speck_models::{Dimension, Settings};

/// An initialization with its settings.
pub trait Initializer: Send + Sync {
    /// The values of a tensor; `None` if the model's own are to stay.
    fn values(&self, weights: &Weights<'_>) -> Option<Vec<f64>>;

    /// How weights are scaled by what comes out of their layer for the first batch,
    /// if they are.
    fn calibration(&self) -> Option<Calibration> {
        None
    }
}

/// How weights are scaled so that what comes out of a layer has variance 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// How far from 1 the variance may be.
    pub tolerance: f64,
    /// How often weights are scaled at most.
    pub iterations: usize,
}

/// A tensor to fill.
pub struct Weights<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape: `[outputs, inputs, …]`.
    pub shape: &'a [usize],
    /// The seed of the run.
    pub seed: u64,
}

impl Weights<'_> {
    /// Elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements of a kernel.
    fn kernel(&self) -> usize {
        self.shape[2..].iter().product()
    }

    /// Values that go into an output.
    pub fn fan_in(&self) -> f64 {
        (self.shape[1] * self.kernel()).max(1) as f64
    }

    /// Values that an input goes into.
    pub fn fan_out(&self) -> f64 {
        (self.shape[0] * self.kernel()).max(1) as f64
    }

    /// Draws in f64, of which `kind` tells one set from another.
    fn draws(&self, kind: &str, n: usize, initial: Initial) -> Vec<f64> {
        let graph = Graph::new(DType::F64);
        let name = format!("{}/{kind}", self.name);
        // A new graph has no slot of that name.
        if graph.state(&name, &[n], initial).is_err() {
            return Vec::new();
        }
        State::initialise(&graph, self.seed).get(&name).map_or(Vec::new(), |slot| slot.to_f64())
    }

    /// Normal draws with deviation 1.
    fn normal(&self, n: usize) -> Vec<f64> {
        self.draws("normal", n, Initial::Normal { deviation: 1.0 })
    }

    /// Uniform draws in -1..1.
    fn uniform(&self, n: usize) -> Vec<f64> {
        self.draws("uniform", n, Initial::Uniform { bound: 1.0 })
    }
}

/// An initialization in the registry.
pub struct InitializerEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Makes it from the settings of the gradient learner.
    pub make: fn(&Settings) -> Box<dyn Initializer>,
}

/// Every initialization.
pub const ALL: &[InitializerEntry] = &[
    MODEL,
    random::NORMAL,
    random::UNIFORM,
    random::TRUNCATED_NORMAL,
    random::XAVIER_UNIFORM,
    random::XAVIER_NORMAL,
    random::HE_UNIFORM,
    random::HE_NORMAL,
    random::LECUN_UNIFORM,
    random::LECUN_NORMAL,
    random::ORTHOGONAL,
    lsuv::ENTRY,
    structured::ZERO,
    structured::IDENTITY,
    structured::DCT,
    structured::GABOR,
    structured::LINES,
    structured::RETINOTOPIC,
];

const MODEL: InitializerEntry = InitializerEntry {
    name: "model",
    summary: "as the model has it: uniform in ± 1 / √fan_in, unless it says otherwise",
    source: "PyTorch's default for linear layers and convolutions",
    dimensions: &[],
    make: |_| Box::new(Model),
};

struct Model;

impl Initializer for Model {
    fn values(&self, _: &Weights<'_>) -> Option<Vec<f64>> {
        None
    }
}

/// As parts of the gradient learner.
pub(super) const PARTS: &[Part] = &{
    let mut parts = [Part { name: "", dimensions: &[] }; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        parts[i] = Part { name: ALL[i].name, dimensions: ALL[i].dimensions };
        i += 1;
    }
    parts
};

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static InitializerEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The initialization that the settings of the gradient learner name.
pub fn make(settings: &Settings) -> Box<dyn Initializer> {
    // Resolved settings name an entry.
    (find(settings.text("initialization")).unwrap_or(&MODEL).make)(settings)
}

const fn gain(default: f64) -> Dimension {
    Dimension::float("init_gain", "what the weights are multiplied by", (0.0, 1e6), default)
}
