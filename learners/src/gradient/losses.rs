//! Losses: what gradient descent minimises, and the readout that belongs to each.

use crate::predictor::Readout;
use speck_engine::{Divergence, Graph, GraphError, HeatRegularizer, NodeId};
use speck_models::{SCREEN, Settings};

/// A loss in the registry.
pub struct LossEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// Formula and meaning.
    pub summary: &'static str,
    /// How outputs trained on it become brightness values.
    pub readout: Readout,
    /// Appends it, with the settings of the gradient learner: outputs and targets
    /// [samples, 128] to a number.
    pub build: fn(&Settings, &Graph, NodeId, NodeId) -> Result<NodeId, GraphError>,
}

/// Every loss.
pub static ALL: &[LossEntry] = &[CROSS_ENTROPY, BINARY, SQUARED, COORDINATE];

/// Their names.
pub const NAMES: &[&str] = &[CROSS_ENTROPY.name, BINARY.name, SQUARED.name, COORDINATE.name];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static LossEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

const CROSS_ENTROPY: LossEntry = LossEntry {
    name: "cross-entropy",
    summary: "-Σ t log softmax(y) / Σ t of each axis, summed over the axes",
    readout: Readout::Softmax,
    build: |_, graph, outputs, targets| graph.axis_cross_entropy(outputs, targets, &SCREEN),
};

const BINARY: LossEntry = LossEntry {
    name: "bce",
    summary: "-t log σ(y) - (1 - t) log(1 - σ(y)), the mean over all outputs",
    readout: Readout::Sigmoid,
    build: |_, graph, outputs, targets| graph.binary_cross_entropy(outputs, targets),
};

const SQUARED: LossEntry = LossEntry {
    name: "mse",
    summary: "(y - t)², the mean over all outputs",
    readout: Readout::Identity,
    build: |_, graph, outputs, targets| graph.mean_squared_error(outputs, targets),
};

const COORDINATE: LossEntry = LossEntry {
    name: "coordinate",
    summary: "squared distance of the expected position under softmax(y) from the targets', plus a heat regularizer (Nibali et al., 2018)",
    readout: Readout::Softmax,
    build: |settings, graph, outputs, targets| {
        graph.coordinate_loss(outputs, targets, &SCREEN, regularizer(settings))
    },
};

/// The names of the heat regularizers.
pub(crate) const REGULARIZERS: &[&str] =
    &["none", "variance", "kullback-leibler", "jensen-shannon"];

fn regularizer(settings: &Settings) -> Option<HeatRegularizer> {
    let divergence = match settings.text("heat_regularizer") {
        "variance" => Divergence::Variance,
        "kullback-leibler" => Divergence::KullbackLeibler,
        "jensen-shannon" => Divergence::JensenShannon,
        _ => return None,
    };
    // A screen of 64 pixels spans [-1, 1].
    let pixel = 2.0 / SCREEN[0] as f64;
    Some(HeatRegularizer {
        divergence,
        weight: settings.float("heat_weight"),
        deviation: settings.float("heat_deviation") * pixel,
    })
}
