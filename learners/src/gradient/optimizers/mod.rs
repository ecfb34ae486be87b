//! Optimizers: how gradients become updates. One file each, all graph ops.

mod adam;
mod adamw;
mod lion;
mod momentum;
mod rmsprop;
mod sgd;

use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{Graph, GraphError, Initial, NodeId};
use speck_models::Settings;

/// Where an optimizer builds its update.
pub struct Update<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The rate of this step, without dimensions.
    pub rate: NodeId,
    /// The number of this step, from 1, as a float without dimensions.
    pub count: NodeId,
}

impl Update<'_> {
    /// A slot in the shape of `parameter`, from zero.
    pub(super) fn moment(
        &self,
        kind: &str,
        name: &str,
        parameter: NodeId,
    ) -> Result<NodeId, GraphError> {
        let slot = moment(kind, name);
        self.graph.state(&slot, &self.graph.shape(parameter), Initial::Constant(0.0))
    }
}

impl Update<'_> {
    /// 1 - rate · decay, if there is a decay. To be built ahead of the parameters'
    /// updates: between them a number of its own would cut a chain of steps in two.
    fn keep(&self, decay: f64) -> Result<Option<NodeId>, GraphError> {
        if decay == 0.0 {
            return Ok(None);
        }
        let share = self.graph.scale(self.rate, -decay)?;
        self.graph.offset(share, 1.0).map(Some)
    }

    /// What the decay leaves of p.
    fn decayed(&self, parameter: NodeId, keep: Option<NodeId>) -> Result<NodeId, GraphError> {
        keep.map_or(Ok(parameter), |keep| self.graph.mul(parameter, keep))
    }
}

impl Update<'_> {
    /// g + l2 · p.
    fn coupled(&self, gradient: NodeId, parameter: NodeId, l2: f64) -> Result<NodeId, GraphError> {
        if l2 == 0.0 {
            return Ok(gradient);
        }
        self.graph.add(gradient, self.graph.scale(parameter, l2)?)
    }
}

/// The slot of what is kept about a parameter.
pub(super) fn moment(kind: &str, name: &str) -> String {
    format!("{}{kind}/{name}", crate::PRIVATE)
}

/// An optimizer with its settings.
pub trait Optimizer {
    /// Appends the updates of all parameters, given by name and node.
    ///
    /// # Errors
    /// A slot name that is taken.
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError>;

    /// The same for weights that are held by rows, and the kinds of what is kept
    /// about a weight, in the order of a row's parts; `None` if there is no such: every weight is
    /// updated in every step then.
    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        None
    }
}

/// An optimizer in the registry.
pub struct OptimizerEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// Formula and source.
    pub summary: &'static str,
    /// Makes it from the settings of the gradient learner.
    pub make: fn(&Settings) -> Box<dyn Optimizer>,
}

/// Every optimizer.
pub static ALL: &[OptimizerEntry] =
    &[sgd::ENTRY, momentum::ENTRY, adam::ENTRY, adamw::ENTRY, rmsprop::ENTRY, lion::ENTRY];

/// Their names.
pub const NAMES: &[&str] = &[
    sgd::ENTRY.name,
    momentum::ENTRY.name,
    adam::ENTRY.name,
    adamw::ENTRY.name,
    rmsprop::ENTRY.name,
    lion::ENTRY.name,
];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static OptimizerEntry> {
    ALL.iter().find(|entry| entry.name == name)
}
