//! The graph of one training step.

use super::{losses, optimizers};
use crate::batch::BatchShape;
use crate::{SEED, STEP, screen};
use optimizers::Update;
use speck_engine::structure::{RowMode, RowPlan, RowStore};
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
    /// The parameters whose weights are held by rows, and the slots of what the
    /// optimizer keeps about them. Their gradients are zero constants: they are
    /// never written out.
    pub rows: Vec<(RowStore, Vec<String>)>,
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
        Step::chosen(settings, model, shape, float, mode, None)
    }

    /// The same step as it is trained: with weights held by rows where that is
    /// possible and the settings want it.
    ///
    /// # Errors
    /// As [`Step::new`].
    pub fn training(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        mode: structure::Mode,
    ) -> Result<Self, GraphError> {
        let rows = match settings.text("rows") {
            "dense" => RowMode::Dense,
            "masked" => RowMode::Masked,
            _ => RowMode::Exact,
        };
        Step::chosen(settings, model, shape, float, mode, Some(rows))
    }

    fn chosen(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        mode: structure::Mode,
        rows: Option<RowMode>,
    ) -> Result<Self, GraphError> {
        let (step, plan) = mode.choose(
            |structured| Step::build(settings, model, shape, float, structured, rows),
            |step| &step.graph,
        )?;
        let mut plan = plan;
        let optimizer = optimizers::find(settings.text("optimizer")).unwrap_or(&optimizers::ALL[0]);
        if plan.structured && rows.is_some() && (optimizer.make)(settings).rows().is_none() {
            plan.why += "; no weights are held by rows: with l2, what this optimizer does to a \
                         weight without a gradient has no closed form";
        }
        Ok(Step { plan, ..step })
    }

    fn build(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        structured: bool,
        rows: Option<RowMode>,
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
        let parameters = builder.parameters();
        let optimizer = optimizers::find(settings.text("optimizer")).unwrap_or(&optimizers::ALL[0]);
        let optimizer = (optimizer.make)(settings);
        let by_rows = optimizer.rows().zip(rows).map(|((rule, kinds), mode)| {
            (RowPlan { rule, mode, step, parameters: parameters.clone() }, kinds)
        });
        let (value, layers, notes) = match &by_rows {
            _ if !structured => (value, Vec::new(), Vec::new()),
            None => {
                let (roots, notes) = structure::rewrite_noted(&graph, &[value])?;
                (roots[0], Vec::new(), notes)
            }
            Some((plan, _)) => {
                let (roots, layers, notes) = structure::rewrite_rows(&graph, &[value], plan)?;
                (roots[0], layers, notes)
            }
        };

        // The gradients of parameters, and of what stands for those held by rows.
        let mut nodes: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
        nodes.extend(layers.iter().flat_map(|layer| layer.wanted));
        let mut gradients = graph.gradient(value, &nodes)?;
        let of_layers = gradients.split_off(parameters.len());
        let kinds = by_rows.as_ref().map_or(&[][..], |(_, kinds)| kinds);
        graph.scoped("optimizer", |g| {
            let rate = g.input("rate", float, &[])?;
            let next = g.increment(step)?;
            let count = g.cast(next)?;
            let update = Update { graph: g, rate, count };
            if layers.is_empty() {
                optimizer.build(&update, &parameters, &gradients)?;
                return g.update(step, next);
            }
            // One by one: the slots come in the order of the parameters.
            for (parameter, gradient) in parameters.iter().zip(&gradients) {
                let mut layers = layers.iter().zip(of_layers.as_chunks().0);
                match layers.find(|(layer, _)| layer.parameter == parameter.1) {
                    Some((layer, gradients)) => {
                        // Slots that others know; the step itself works on rows.
                        for kind in kinds {
                            update.moment(kind, &parameter.0, parameter.1)?;
                        }
                        layer.update(g, *gradients, rate)?;
                    }
                    None => {
                        let one = std::slice::from_ref(parameter);
                        optimizer.build(&update, one, &[*gradient])?;
                    }
                }
            }
            g.update(step, next)
        })?;
        let rows = layers.into_iter().map(|layer| {
            let slots = kinds.iter().map(|kind| optimizers::moment(kind, &layer.store.name));
            let slots = slots.collect();
            (layer.store, slots)
        });
        let (rows, plan) = (rows.collect(), structure::Plan::default());
        Ok((Step { graph, parameters, gradients, rows, plan }, notes))
    }
}
