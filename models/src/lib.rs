//! Architectures: functions from a typed config and a graph to 128 outputs.
//!
//! One file an architecture: a config struct made from [`Settings`], the nodes
//! it builds, and its [`ModelEntry`] in [`ALL`]. Parameters carry PyTorch's
//! names and layouts (`conv.0.weight` is [out, in, h, w]; flattening is
//! channel-major).

mod activation;
mod cnn;
mod dsnt;
mod layers;
mod linear;
mod mlp;
mod pool;
mod regularization;
mod residual;
mod resnet;
pub mod settings;
mod vit;

pub use activation::Activation;
pub use cnn::Cnn;
pub use dsnt::Dsnt;
pub use linear::Linear;
pub use mlp::Mlp;
pub use pool::{Head, Pool};
pub use regularization::{Dropped, Regularization, WeightRule};
pub use residual::Residual;
pub use resnet::Resnet;
pub use settings::{Dimension, SettingError, Settings};
pub use vit::Vit;

use speck_engine::{Graph, GraphError, Initial, NodeId};
use std::cell::{Cell, RefCell};

/// The sizes of the screen: rows and columns.
pub const SCREEN: [usize; 2] = [64, 64];
/// Colour channels.
pub const CHANNELS: usize = 3;
/// Outputs: one a row, then one a column.
pub const OUTPUTS: usize = SCREEN[0] + SCREEN[1];

/// What a model is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout draws and batch statistics; `seed` and `step` feed random ops.
    Training {
        /// i32 [2].
        seed: NodeId,
        /// i32 [].
        step: NodeId,
    },
    /// No dropout; running statistics.
    Evaluation,
}

/// Where a model is built: the graph, the mode, and the list of its parameters.
pub struct Builder<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Training or evaluation.
    pub mode: Mode,
    /// What disturbs the model while it is trained.
    pub regularization: Regularization<'a>,
    /// How many residual branches there are.
    branches: Cell<usize>,
    parameters: RefCell<Vec<(String, NodeId)>>,
    layers: RefCell<Vec<(String, NodeId)>>,
    units: RefCell<Vec<(String, NodeId)>>,
    prefix: &'a str,
}

impl<'a> Builder<'a> {
    /// A builder on `graph`.
    pub fn new(graph: &'a Graph, mode: Mode) -> Self {
        Builder::prefixed(graph, mode, "")
    }

    /// A builder whose slots have names that begin with `prefix`: a second network
    /// of the same kind on one graph.
    pub fn prefixed(graph: &'a Graph, mode: Mode, prefix: &'a str) -> Self {
        let (parameters, layers, units) = Default::default();
        let (regularization, branches) = Default::default();
        Builder { graph, mode, regularization, branches, parameters, layers, units, prefix }
    }

    /// Declares a tensor that is kept but not learned.
    ///
    /// # Errors
    /// A name that is taken.
    #[track_caller]
    pub fn slot(
        &self,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> Result<NodeId, GraphError> {
        self.graph.state(&format!("{}{name}", self.prefix), shape, initial)
    }

    /// Declares a tensor that is learned.
    ///
    /// # Errors
    /// A name that is taken.
    #[track_caller]
    pub fn parameter(
        &self,
        name: &str,
        shape: &[usize],
        initial: Initial,
    ) -> Result<NodeId, GraphError> {
        let node = self.slot(name, shape, initial)?;
        self.parameters.borrow_mut().push((name.to_owned(), node));
        match (self.mode, self.regularization.weights) {
            (Mode::Training { .. }, Some(rule)) if shape.len() > 1 => rule(self.graph, name, node),
            _ => Ok(node),
        }
    }

    /// How many residual branches were built: what a sample can go past.
    pub fn branches(&self) -> usize {
        self.branches.get()
    }

    /// The parameters declared so far, in order.
    pub fn parameters(&self) -> Vec<(String, NodeId)> {
        self.parameters.borrow().clone()
    }

    /// Gives what a hidden layer hands on a name, the layer's own: what belongs to
    /// one sample stands together, whatever its dimensions.
    pub(crate) fn layer(&self, name: &str, output: NodeId) -> NodeId {
        self.layers.borrow_mut().push((name.to_owned(), output));
        output
    }

    /// The hidden layers named so far, in order.
    pub fn layers(&self) -> Vec<(String, NodeId)> {
        self.layers.borrow().clone()
    }

    /// Gives what comes out of a non-linearity a name: its units are counted along
    /// the second dimension.
    pub(crate) fn units(&self, name: &str, output: NodeId) -> NodeId {
        self.units.borrow_mut().push((name.to_owned(), output));
        output
    }

    /// The non-linearities named so far, in order.
    pub fn activations(&self) -> Vec<(String, NodeId)> {
        self.units.borrow().clone()
    }
}

/// An architecture with its settings.
pub trait Model: Send + Sync {
    /// The name of its registry entry.
    fn name(&self) -> &'static str;

    /// Appends the model to the builder's graph: images [samples, 3, 64, 64] to
    /// outputs [samples, 128].
    ///
    /// # Errors
    /// Settings that do not fit the image, such as more halvings than it has.
    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError>;
}

impl dyn Model + '_ {
    /// Appends the model under its own name: paths of its nodes start with it.
    ///
    /// # Errors
    /// As [`Model::build`].
    pub fn append(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        builder.graph.scoped(self.name(), |_| self.build(builder, image))
    }
}

/// An architecture in the registry.
pub struct ModelEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Makes it from settings that were resolved against `dimensions`.
    pub make: fn(&Settings) -> Result<Box<dyn Model>, SettingError>,
}

/// Every architecture.
pub static ALL: &[ModelEntry] =
    &[linear::ENTRY, mlp::ENTRY, cnn::ENTRY, resnet::ENTRY, vit::ENTRY, dsnt::ENTRY];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static ModelEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests;
