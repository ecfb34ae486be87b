//! The graph of one training step.

use super::{losses, optimizers};
use crate::batch::BatchShape;
use crate::{SEED, STEP, screen};
use optimizers::Update;
use speck_engine::{DType, Graph, GraphError, Initial, NodeId, TensorType, structure};
use speck_models::{Builder, Mode, Model, Settings};

/// A training step: its graph has the inputs of a screen and `rate`, the output
/// `loss`, and updates the model, the optimizer's slots and the count of steps.
pub struct Step {
    /// The graph.
    pub graph: Graph,
    /// What is learned, by name.
    pub parameters: Vec<(String, NodeId)>,
    /// The loss's gradient for each of the parameters.
    pub gradients: Vec<NodeId>,
    /// Whether it is rewritten, and why.
    pub plan: structure::Plan,
}

impl Step {
    /// The step of `model` on batches of `shape`, with loss and optimizer as the
    /// settings of the gradient learner say, computed in `float`; `mode` says
    /// whether every pixel is computed or what differs.
    ///
    /// # Errors
    /// A model that cannot be built.
    pub fn new(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        mode: structure::Mode,
    ) -> Result<Self, GraphError> {
        let (step, plan) = mode.choose(
            |structured| Step::build(settings, model, shape, float, structured),
            |step| &step.graph,
        )?;
        Ok(Step { plan, ..step })
    }

    fn build(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        structured: bool,
    ) -> Result<structure::Built<Self>, GraphError> {
        let graph = Graph::new(float);
        let screen = screen::declare(&graph, shape)?;
        let words = TensorType::new(DType::I32, &[2]);
        let counter = TensorType::new(DType::I32, &[]);
        let seed = graph.state_of(SEED, &words, Initial::Constant(0.0))?;
        let step = graph.state_of(STEP, &counter, Initial::Constant(0.0))?;
        let builder = Builder::new(&graph, Mode::Training { seed, step });
        let outputs = model.append(&builder, screen.image)?;
        let loss = losses::find(settings.text("loss")).unwrap_or(&losses::ALL[0]);
        let value = graph.scoped("loss", |g| (loss.build)(settings, g, outputs, screen.targets))?;
        graph.output("loss", value)?;
        let (value, notes) = if structured {
            let (roots, notes) = structure::rewrite_noted(&graph, &[value])?;
            (roots[0], notes)
        } else {
            (value, Vec::new())
        };

        let parameters = builder.parameters();
        let nodes: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
        let gradients = graph.gradient(value, &nodes)?;
        let optimizer = optimizers::find(settings.text("optimizer")).unwrap_or(&optimizers::ALL[0]);
        let optimizer = (optimizer.make)(settings);
        graph.scoped("optimizer", |g| {
            let rate = g.input("rate", float, &[])?;
            let next = g.increment(step)?;
            let count = g.cast(next)?;
            let update = Update { graph: g, rate, count };
            optimizer.build(&update, &parameters, &gradients)?;
            g.update(step, next)
        })?;
        let plan = structure::Plan::default();
        Ok((Step { graph, parameters, gradients, plan }, notes))
    }
}
