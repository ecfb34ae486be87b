//! Regularizers: what is done to data, weights, gradients and the loss so that
//! what is learned holds elsewhere. One file each.
//!
//! All are graph ops, and what is random in them depends on the seed and the step
//! only, so a resumed run goes on to the same bits. They act while training;
//! predictions are made without them.

mod adversarial;
mod confidence_penalty;
mod cutmix;
mod drop_connect;
mod drop_path;
mod dropout;
mod gradient_noise;
mod input_noise;
mod l1;
mod l2;
mod label_blur;
mod label_smoothing;
mod max_norm;
mod mixup;
mod spectral_norm;
mod weight_noise;

use super::update::{Site, Update};
use super::{meta, pretexts};
use crate::screen::Screen;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::{Dimension, Regularization, SettingError, Settings};

/// A regularizer with its settings. Each does one or two of these.
pub trait Regularizer: Send + Sync {
    /// The targets [samples, 128] that the loss sees.
    ///
    /// # Errors
    /// A graph that cannot be built.
    fn targets(&self, graph: &Graph, targets: NodeId) -> Result<NodeId, GraphError> {
        let _ = graph;
        Ok(targets)
    }

    /// The screen that the model sees.
    ///
    /// # Errors
    /// A graph that cannot be built.
    fn screen(&self, scene: &Scene<'_>, screen: Screen) -> Result<Screen, GraphError> {
        let _ = scene;
        Ok(screen)
    }

    /// What layers of the model do otherwise.
    fn model(&self, regularization: &mut Regularization<'_>) {
        let _ = regularization;
    }

    /// A weight of two dimensions and more as the model sees it.
    ///
    /// # Errors
    /// A graph that cannot be built.
    fn weight(&self, scene: &Scene<'_>, weight: NodeId) -> Result<NodeId, GraphError> {
        let _ = scene;
        Ok(weight)
    }

    /// What is minimised in place of `value`.
    ///
    /// # Errors
    /// A model that it does not fit.
    fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        let _ = (scene, of);
        Ok(value)
    }

    /// The gradient that the optimizer sees.
    ///
    /// # Errors
    /// A graph that cannot be built.
    fn gradient(&self, site: &Descent<'_>, gradient: NodeId) -> Result<NodeId, GraphError> {
        let _ = site;
        Ok(gradient)
    }

    /// A weight of two dimensions and more after its update.
    ///
    /// # Errors
    /// A graph that cannot be built.
    fn constrained(&self, update: &Update<'_>, name: &str, weight: NodeId) -> Built {
        let _ = (update, name);
        Ok(weight)
    }

    /// Whether weights that a batch does not touch have no gradient and stay as the
    /// optimizer leaves them, so that they can be updated by rows.
    fn leaves_rows(&self) -> bool {
        true
    }

    /// Whether it changes the model or what the model's own loss is: what learns
    /// something in place of that loss leaves it out, and is refused.
    fn is_of_the_model(&self) -> bool {
        false
    }

    /// Whether it is part of the loss, so that optimizers that search can be used.
    fn is_of_the_loss(&self) -> bool {
        true
    }
}

/// A node, or why there is none.
pub(super) type Built = Result<NodeId, GraphError>;

/// Where the loss is built.
pub struct Scene<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The seed and the step, for what is random.
    pub random: [NodeId; 2],
}

impl Scene<'_> {
    /// Independent uniform draws in [0, 1).
    fn uniform(&self, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.graph.random_uniform(shape, self.random[0], self.random[1])
    }

    /// Independent normal draws.
    fn normal(&self, shape: &[usize]) -> Result<NodeId, GraphError> {
        self.graph.random_normal(shape, self.random[0], self.random[1])
    }
}

/// What a loss was built of.
pub struct Learned<'a> {
    /// What the model saw.
    pub image: NodeId,
    /// What it put out.
    pub outputs: NodeId,
    /// How many residual branches it has.
    pub branches: usize,
    /// What is learned.
    pub parameters: &'a [(String, NodeId)],
}

impl Learned<'_> {
    /// The weights of two dimensions and more.
    fn weights<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = NodeId> + 'a {
        let nodes = self.parameters.iter().map(|(_, node)| *node);
        nodes.filter(move |node| graph.shape(*node).len() > 1)
    }
}

/// Where gradients become updates.
pub struct Descent<'a>(pub(super) &'a Site<'a>);

/// A regularizer in the registry.
pub struct RegularizerEntry {
    /// Its name: that of its first dimension.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied; without them it does nothing.
    pub dimensions: &'static [Dimension],
    /// Makes it from the settings of the gradient learner, if they want it.
    pub make: fn(&Settings) -> Result<Option<Box<dyn Regularizer>>, SettingError>,
}

/// Every regularizer, in the order in which they act.
pub const ALL: &[RegularizerEntry] = &[
    mixup::ENTRY,
    cutmix::ENTRY,
    label_smoothing::ENTRY,
    label_blur::ENTRY,
    input_noise::ENTRY,
    weight_noise::ENTRY,
    drop_connect::ENTRY,
    dropout::ENTRY,
    drop_path::ENTRY,
    l1::ENTRY,
    l2::ENTRY,
    confidence_penalty::ENTRY,
    adversarial::ENTRY,
    gradient_noise::ENTRY,
    max_norm::ENTRY,
    spectral_norm::ENTRY,
];

/// How many dimensions they have.
pub(super) const COUNT: usize = {
    let (mut count, mut i) = (0, 0);
    while i < ALL.len() {
        count += ALL[i].dimensions.len();
        i += 1;
    }
    count
};

/// The dimensions of a learner, and those of the regularizers behind them.
pub(super) const fn behind<const N: usize>(own: &[Dimension]) -> [Dimension; N] {
    let mut all = [ALL[0].dimensions[0]; N];
    let mut at = 0;
    while at < own.len() {
        all[at] = own[at];
        at += 1;
    }
    let mut i = 0;
    while i < ALL.len() {
        let mut j = 0;
        while j < ALL[i].dimensions.len() {
            all[at] = ALL[i].dimensions[j];
            at += 1;
            j += 1;
        }
        i += 1;
    }
    all
}

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static RegularizerEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The regularizers that the settings want.
pub(super) struct Regularizers(Vec<Box<dyn Regularizer>>);

impl Regularizers {
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        let others = [("pretext", pretexts::wanted(settings)), ("meta", meta::wanted(settings))];
        let instead = others.into_iter().find(|(_, wanted)| *wanted);
        let mut all = Vec::new();
        for entry in ALL {
            let made = (entry.make)(settings)?;
            if let (Some(one), Some((other, _))) = (&made, instead)
                && one.is_of_the_model()
            {
                let message = format!(
                    "acts on the model under its own loss, which `{other}` does not take: \
                     leave one of them out"
                );
                return Err(SettingError::new(entry.name, message));
            }
            all.extend(made);
        }
        Ok(Regularizers(all))
    }

    /// The screen that the model and the loss see.
    pub fn screen(&self, scene: &Scene<'_>, mut screen: Screen) -> Result<Screen, GraphError> {
        for one in &self.0 {
            screen.targets = one.targets(scene.graph, screen.targets)?;
            screen = one.screen(scene, screen)?;
        }
        Ok(screen)
    }

    /// What layers of the model do otherwise.
    pub fn model(&self) -> Regularization<'_> {
        let mut regularization = Regularization::default();
        self.0.iter().for_each(|one| one.model(&mut regularization));
        regularization
    }

    pub fn weight(&self, scene: &Scene<'_>, weight: NodeId) -> Result<NodeId, GraphError> {
        self.0.iter().try_fold(weight, |weight, one| one.weight(scene, weight))
    }

    pub fn value(&self, scene: &Scene<'_>, of: &Learned<'_>, value: NodeId) -> Built {
        self.0.iter().try_fold(value, |value, one| one.value(scene, of, value))
    }

    pub fn gradient(&self, site: &Site<'_>, gradient: NodeId) -> Result<NodeId, GraphError> {
        let site = Descent(site);
        self.0.iter().try_fold(gradient, |gradient, one| one.gradient(&site, gradient))
    }

    pub fn constrained(&self, update: &Update<'_>, name: &str, weight: NodeId) -> Built {
        if update.graph.shape(weight).len() < 2 {
            return Ok(weight);
        }
        self.0.iter().try_fold(weight, |weight, one| one.constrained(update, name, weight))
    }

    pub fn leave_rows(&self) -> bool {
        self.0.iter().all(|one| one.leaves_rows())
    }

    pub fn are_of_the_loss(&self) -> bool {
        self.0.iter().all(|one| one.is_of_the_loss())
    }
}

/// A regularizer if a number is not 0.
fn unless_zero<R: Regularizer + 'static>(
    number: f64,
    make: impl FnOnce(f64) -> R,
) -> Result<Option<Box<dyn Regularizer>>, SettingError> {
    Ok((number != 0.0).then(|| Box::new(make(number)) as Box<dyn Regularizer>))
}
