//! Pretexts: what a network can learn from screens without being told where the
//! specks are.
//!
//! A pretext takes the place of the task in the loss. It feeds the model with
//! screens of its own making and asks heads of its own about the features: what the
//! last hidden layer hands on, or the outputs of a model that has none. The heads
//! are learned with the model and lie in the learner's own slots, so that whoever
//! takes over the model's weights does not see them. One file a kind, one line in
//! [`ALL`] an entry.

mod contrast;
mod reconstruction;
mod transformation;

use crate::PRIVATE;
use speck_engine::{Graph, GraphError, Initial, NodeId};
use speck_models::settings::Part;
use speck_models::{Builder, Dimension, Mode, Model, Settings};
use std::cell::RefCell;

/// The word for learning the task itself.
pub const NONE: &str = "none";
/// Slots of a network that follows the one that is learned: this and the slot's name.
pub(crate) const TARGET: &str = "learner/target/";

/// A pretext in the registry.
pub struct PretextEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    /// Its loss.
    build: fn(&Site<'_>) -> Result<NodeId, GraphError>,
}

/// Every pretext.
pub const ALL: &[PretextEntry] = &[
    reconstruction::AUTOENCODER,
    reconstruction::DENOISING,
    reconstruction::MASKED,
    transformation::ROTATION,
    transformation::SHIFT,
    contrast::SIMCLR,
    contrast::BYOL,
];

/// As parts of the gradient learner; the first one is the task itself.
pub const PARTS: &[Part] = &{
    let mut parts = [Part { name: NONE, dimensions: &[] }; ALL.len() + 1];
    let mut i = 0;
    while i < ALL.len() {
        parts[i + 1] = Part { name: ALL[i].name, dimensions: ALL[i].dimensions };
        i += 1;
    }
    parts
};

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static PretextEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// Whether a pretext is learned in place of the task.
pub(super) fn wanted(settings: &Settings) -> bool {
    settings.text("pretext") != NONE
}

/// Where a pretext builds its loss.
pub(super) struct Site<'a> {
    pub graph: &'a Graph,
    pub settings: &'a Settings,
    pub model: &'a dyn Model,
    /// The screens as they are.
    pub image: NodeId,
    pub seed: NodeId,
    pub step: NodeId,
    built: RefCell<Parameters>,
}

/// What a pretext learns.
#[derive(Default)]
pub(super) struct Parameters {
    /// Of the model and the heads.
    pub learned: Vec<(String, NodeId)>,
    /// Slots that follow a parameter, each with its parameter.
    pub following: Vec<(NodeId, NodeId)>,
}

/// The loss of the pretext that the settings name, and what it learns.
pub(super) fn build(
    graph: &Graph,
    settings: &Settings,
    model: &dyn Model,
    image: NodeId,
    [seed, step]: [NodeId; 2],
) -> Result<(NodeId, Parameters), GraphError> {
    // Resolved settings name an entry.
    let entry = find(settings.text("pretext")).unwrap_or(&ALL[0]);
    let built = RefCell::default();
    let site = Site { graph, settings, model, image, seed, step, built };
    let value = graph.scoped("pretext", |_| (entry.build)(&site))?;
    Ok((value, site.built.into_inner()))
}

/// target ← decay · target + (1 - decay) · parameter, after the parameters' updates
/// were appended.
pub(super) fn follow(
    graph: &Graph,
    settings: &Settings,
    following: &[(NodeId, NodeId)],
) -> Result<(), GraphError> {
    for (target, parameter) in following {
        let decay = settings.float("target_decay");
        let new = graph.updated(*parameter).unwrap_or(*parameter);
        let kept = graph.scale(*target, decay)?;
        graph.update(*target, graph.add(kept, graph.scale(new, 1.0 - decay)?)?)?;
    }
    Ok(())
}

impl Site<'_> {
    /// Samples of a batch.
    fn samples(&self) -> usize {
        self.graph.shape(self.image)[0]
    }

    /// The model's features of some screens, [samples, features], in training.
    fn features(&self, image: NodeId) -> Result<NodeId, GraphError> {
        let mode = Mode::Training { seed: self.seed, step: self.step };
        self.features_of(image, Builder::new(self.graph, mode), true)
    }

    fn features_of(
        &self,
        image: NodeId,
        builder: Builder<'_>,
        learned: bool,
    ) -> Result<NodeId, GraphError> {
        let outputs = self.model.append(&builder, image)?;
        if learned {
            self.built.borrow_mut().learned.extend(builder.parameters());
        }
        let last = builder.layers().last().map_or(outputs, |(_, node)| *node);
        let samples = self.graph.shape(image)[0];
        let elements: usize = self.graph.shape(last).iter().product();
        self.graph.reshape(last, &[samples, elements / samples.max(1)])
    }

    /// A linear layer of a head, as the models' are initialised.
    fn linear(&self, name: &str, x: NodeId, outputs: usize) -> Result<NodeId, GraphError> {
        let slot = format!("{PRIVATE}pretext/{name}");
        let [weight, bias] = self.layer(&slot, x, outputs)?;
        let mut built = self.built.borrow_mut();
        built.learned.push((format!("{slot}.weight"), weight));
        built.learned.push((format!("{slot}.bias"), bias));
        self.graph.linear(x, weight, Some(bias))
    }

    fn layer(&self, slot: &str, x: NodeId, outputs: usize) -> Result<[NodeId; 2], GraphError> {
        let inputs = self.graph.shape(x)[1];
        let initial = Initial::Uniform { bound: (inputs.max(1) as f64).sqrt().recip() };
        let weight =
            self.graph.state(&format!("{slot}.weight"), &[outputs, inputs], initial.clone())?;
        let bias = self.graph.state(&format!("{slot}.bias"), &[outputs], initial)?;
        Ok([weight, bias])
    }

    /// Uniform draws in 0..1.
    fn uniform(&self, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.graph.random_uniform(shape, self.seed, self.step)
    }

    /// The screens with normal noise on every value.
    fn noisy(&self, image: NodeId, deviation: f64) -> Result<NodeId, GraphError> {
        if deviation == 0.0 {
            return Ok(image);
        }
        let shape = self.graph.shape(image);
        let noise = self.graph.random_normal(&shape, self.seed, self.step)?;
        self.graph.add(image, self.graph.scale(noise, deviation)?)
    }

    /// Whole numbers in -most..=most, one a sample: [samples].
    fn shifts(&self, most: usize) -> Result<NodeId, GraphError> {
        let draws = self.uniform(&[self.samples()])?;
        let wide = self.graph.scale(draws, (2 * most + 1) as f64)?;
        self.graph.offset(self.graph.floor(wide)?, -(most as f64))
    }

    /// Screens moved down by `rows` and right by `columns`, [samples] each; the
    /// pixels at the edge stay for those that would come from outside.
    fn shifted(&self, image: NodeId, [rows, columns]: [NodeId; 2]) -> Result<NodeId, GraphError> {
        let graph = self.graph;
        let shape = graph.shape(image);
        let (samples, size) = (shape[0], shape[2]);
        // [samples, to, from]: 1 where a pixel comes from.
        let picked = |by: NodeId| {
            let to = graph.reshape(graph.iota(size)?, &[1, size])?;
            let by = graph.reshape(by, &[samples, 1])?;
            let from = graph.clip(graph.sub(to, by)?, 0.0, (size - 1) as f64)?;
            let from = graph.reshape(from, &[samples, size, 1])?;
            let ramp = graph.reshape(graph.iota(size)?, &[1, 1, size])?;
            let same = graph.equal(from, ramp)?;
            let each = graph.reshape(same, &[samples, 1, size, size])?;
            graph.reshape(
                graph.expand(each, &[samples, shape[1], size, size])?,
                &[samples * shape[1], size, size],
            )
        };
        let flat = graph.reshape(image, &[samples * shape[1], size, size])?;
        let moved = graph.matmul(picked(rows)?, flat)?;
        let moved = graph.matmul_with(moved, picked(columns)?, false, true)?;
        graph.reshape(moved, &shape)
    }
}

#[cfg(test)]
mod tests;
