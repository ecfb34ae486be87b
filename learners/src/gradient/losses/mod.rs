//! Losses: what gradient descent minimises, and the readout that belongs to each.
//! One file each.
//!
//! Targets are 1 at the row and the column of each speck; label smoothing, blur
//! and mixing make them any numbers in 0..1, which every loss here takes.

mod bce;
mod contrastive;
mod coordinate;
mod cross_entropy;
mod dice;
mod focal;
mod heat_map;
mod hinge;
mod huber;
mod mse;
mod tversky;
mod wasserstein;

use crate::predictor::Readout;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::settings::Part;
use speck_models::{Dimension, SCREEN, Settings};

/// A loss in the registry.
pub struct LossEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// Formula and meaning.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// How outputs trained on it become brightness values.
    pub readout: Readout,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Appends it, with the settings of the gradient learner: outputs and targets
    /// [samples, 128] to a number.
    pub build: fn(&Settings, &Graph, NodeId, NodeId) -> Result<NodeId, GraphError>,
}

/// Every loss.
pub const ALL: &[LossEntry] = &[
    cross_entropy::ENTRY,
    bce::ENTRY,
    focal::ENTRY,
    mse::ENTRY,
    huber::ENTRY,
    hinge::ENTRY,
    coordinate::ENTRY,
    heat_map::ENTRY,
    wasserstein::ENTRY,
    contrastive::ENTRY,
    dice::ENTRY,
    tversky::ENTRY,
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
pub fn find(name: &str) -> Option<&'static LossEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The loss that the settings of the gradient learner name.
pub(super) fn chosen(settings: &Settings) -> &'static LossEntry {
    // Resolved settings name an entry.
    find(settings.text("loss")).unwrap_or(&ALL[0])
}

/// The rows and the columns of [samples, 128].
pub(super) fn axes(graph: &Graph, x: NodeId) -> Result<[NodeId; 2], GraphError> {
    Ok([graph.narrow(x, 1, 0, 1, SCREEN[0])?, graph.narrow(x, 1, SCREEN[0], 1, SCREEN[1])?])
}

/// The sum over the axes of the mean over the samples of what `each` makes of an
/// axis' outputs and targets, [samples].
fn over_axes(
    graph: &Graph,
    outputs: NodeId,
    targets: NodeId,
    each: impl Fn(NodeId, NodeId) -> Result<NodeId, GraphError>,
) -> Result<NodeId, GraphError> {
    let (outputs, targets) = (axes(graph, outputs)?, axes(graph, targets)?);
    let rows = graph.mean_all(each(outputs[0], targets[0])?)?;
    let columns = graph.mean_all(each(outputs[1], targets[1])?)?;
    graph.add(rows, columns)
}

/// The targets of an axis as probabilities, and 1 for each sample that has any,
/// else 0: those count nothing.
fn shares(graph: &Graph, targets: NodeId) -> Result<(NodeId, NodeId), GraphError> {
    let mass = graph.sum(targets, &[1])?;
    let present = graph.greater(mass, graph.scalar(0.0)?)?;
    let mass = graph.maximum(mass, graph.scalar(1e-12)?)?;
    let mass = graph.reshape(mass, &[graph.shape(targets)[0], 1])?;
    Ok((graph.div(targets, mass)?, present))
}
