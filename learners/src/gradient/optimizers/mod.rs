//! Optimizers: how gradients become updates. One file each, all graph ops.

mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod adamw;
mod amsgrad;
mod asgd;
mod lamb;
mod lars;
mod lbfgs;
mod levenberg_marquardt;
mod lion;
mod momentum;
mod muon;
mod nadam;
mod nesterov;
mod newton_cg;
mod radam;
mod rmsprop;
mod rprop;
mod sgd;
mod shampoo;
mod soap;
mod sophia;

pub use super::update::Update;

use super::search::Search;
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::settings::Part;
use speck_models::{Dimension, Settings};

/// An optimizer with its settings.
pub trait Optimizer: Send + Sync {
    /// Appends what is kept about one parameter, and returns its new value.
    ///
    /// # Errors
    /// A slot name that is taken.
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError>;

    /// The same for weights that are held by rows, and the kinds of what is kept
    /// about a weight, in the order of a row's parts; `None` if there is no such.
    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        None
    }

    /// The search that this is, instead of an update from one gradient.
    fn search(&self) -> Option<Box<dyn Search>> {
        None
    }

    /// Whether a schedule can set its momentum: [`Update::momentum`].
    fn takes_momentum(&self) -> bool {
        false
    }

    /// Whether a part of the work that is not done in every update is due in
    /// update `count`, from 1; `Update::due` says it to `build`.
    fn due(&self, count: u64) -> bool {
        let _ = count;
        true
    }
}

/// An optimizer in the registry.
pub struct OptimizerEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from, and which variant of it this is.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Makes it from the settings of the gradient learner.
    pub make: fn(&Settings) -> Box<dyn Optimizer>,
}

/// Every optimizer.
pub const ALL: &[OptimizerEntry] = &[
    sgd::ENTRY,
    momentum::ENTRY,
    nesterov::ENTRY,
    adam::ENTRY,
    adamw::ENTRY,
    amsgrad::ENTRY,
    nadam::ENTRY,
    radam::ENTRY,
    adamax::ENTRY,
    rmsprop::ENTRY,
    adagrad::ENTRY,
    adadelta::ENTRY,
    adafactor::ENTRY,
    rprop::ENTRY,
    asgd::ENTRY,
    lion::ENTRY,
    lamb::ENTRY,
    lars::ENTRY,
    shampoo::ENTRY,
    soap::ENTRY,
    muon::ENTRY,
    sophia::ENTRY,
    lbfgs::ENTRY,
    newton_cg::ENTRY,
    levenberg_marquardt::ENTRY,
];

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
pub fn find(name: &str) -> Option<&'static OptimizerEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The optimizer that the settings of the gradient learner name.
pub(super) fn make(settings: &Settings) -> Box<dyn Optimizer> {
    // Resolved settings name an entry.
    (find(settings.text("optimizer")).unwrap_or(&ALL[0]).make)(settings)
}

/// Numbers in [0, 1).
const BELOW_ONE: (f64, f64) = (0.0, 0.999_999_999);
/// Numbers from 0.
const POSITIVE: (f64, f64) = (0.0, 1e6);

const fn rate(default: f64) -> Dimension {
    Dimension::float("rate", "learning rate", POSITIVE, default)
}

/// Weight decay that is added to the gradient.
const fn coupled(default: f64) -> Dimension {
    let doc = "share of a weight that is added to its gradient";
    Dimension::float("weight_decay", doc, POSITIVE, default)
}

/// Weight decay beside the gradient's step.
const fn decoupled(default: f64) -> Dimension {
    let doc = "share of a weight taken away in a step, times the rate";
    Dimension::float("weight_decay", doc, POSITIVE, default)
}

const fn beta1(default: f64) -> Dimension {
    Dimension::float("beta1", "decay of the mean gradient", BELOW_ONE, default)
}

const fn beta2(default: f64) -> Dimension {
    Dimension::float("beta2", "decay of the mean squared gradient", BELOW_ONE, default)
}

const fn epsilon(default: f64) -> Dimension {
    let doc = "added to the root of the mean squared gradient";
    Dimension::float("epsilon", doc, (0.0, 1.0), default)
}

const DECOUPLED: Dimension = Dimension::bool(
    "decoupled_weight_decay",
    "whether weight decay acts beside the gradient's step instead of on the gradient",
    false,
);

const FIXED_DECAY: Dimension = Dimension::bool(
    "fixed_decay",
    "whether weight decay beside the step is not multiplied by the rate",
    false,
);
