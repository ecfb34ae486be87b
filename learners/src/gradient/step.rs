//! The graph of one training step.

use super::adapters::{self, Adapters};
use super::guidance::{self, Task};
use super::precision::Precision;
use super::regularizers::{Learned, Scene};
use super::search::Loss;
use super::training::{Due, Place, Training};
use super::update::{Clock, moment};
use super::{losses, meta, pretexts};
use crate::batch::BatchShape;
use crate::{LearnerError, declare_seed, declare_step, screen};
use speck_engine::structure::{RowMode, RowPlan, RowStore};
use speck_engine::{DType, Graph, GraphError, NodeId, structure};
use speck_models::{Builder, Mode, Model, Regularization, Settings};

/// A training step: its graph has the inputs of a screen and `rate`, the output
/// `loss`, and updates the model, the optimizer's slots and the count of steps.
pub struct Step {
    /// The graph.
    pub graph: Graph,
    /// What is learned, by name.
    pub parameters: Vec<(String, NodeId)>,
    /// The model's parameters: the same but where adapters are learned.
    pub weights: Vec<(String, NodeId)>,
    /// The loss's gradient for each of the parameters.
    pub gradients: Vec<NodeId>,
    /// The parameters whose weights are held by rows, and the slots of what the
    /// optimizer keeps about them. Their gradients are zero constants: they are
    /// never written out.
    pub rows: Vec<(RowStore, Vec<String>)>,
    /// Whether it is rewritten, and why.
    pub plan: structure::Plan,
    /// Inputs that depend on the step alone.
    pub(super) clocks: Vec<Clock>,
}

/// What a step is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub settings: &'a Settings,
    pub training: &'a Training,
    pub model: &'a dyn Model,
    pub shape: BatchShape,
    pub float: DType,
    /// Whether weights are held by rows, where that is possible.
    pub rows: bool,
}

impl Step {
    /// The step of `model` on batches of `shape`, with loss and optimizer as the
    /// settings of the gradient learner say, computed in `float`; `mode` says
    /// whether every pixel is computed or what differs.
    ///
    /// # Errors
    /// A model that cannot be built, or settings that do not fit it.
    pub fn new(
        settings: &Settings,
        model: &dyn Model,
        shape: BatchShape,
        float: DType,
        mode: structure::Mode,
    ) -> Result<Self, LearnerError> {
        let training = Training::new(settings)?;
        let parts = Parts { settings, training: &training, model, shape, float, rows: false };
        Ok(parts.step(training.all(), mode)?)
    }
}

/// The nodes of a loss.
struct Built {
    value: NodeId,
    outputs: NodeId,
    parameters: Vec<(String, NodeId)>,
    seed: NodeId,
    step: NodeId,
    /// Slots that follow a parameter, each with its parameter.
    following: Vec<(NodeId, NodeId)>,
    /// What is reported as the loss, if not the value.
    reported: Option<NodeId>,
}

impl Parts<'_> {
    /// The step that does what is due.
    pub fn step(&self, due: Due, mode: structure::Mode) -> Result<Step, GraphError> {
        let build = |structured| self.build(structured, due);
        // The rewrite comes before differentiation; here the loss holds gradients.
        let mode = if meta::wanted(self.settings) { structure::Mode::Dense } else { mode };
        let (step, mut plan) = mode.choose(build, |step| &step.graph)?;
        let wanted = self.settings.text("rows");
        if plan.structured && self.rows && wanted != "dense" && self.training.rows().is_none() {
            let name = self.settings.text("optimizer");
            plan.why.push_str(&format!(
                "; all rows of weights in every step: there is no way for {name} with these \
                 settings to catch up"
            ));
        }
        Ok(Step { plan, ..step })
    }

    /// A program of the loss and its gradient alone, for optimizers that search:
    /// the gradients are outputs, so that nothing of it is dead.
    pub fn gradient(&self, mode: structure::Mode) -> Result<Step, GraphError> {
        let build = |structured: bool| {
            let graph = Graph::new(self.float);
            let Built { mut value, parameters, .. } = self.losses(&graph)?;
            value = guidance::bound(self.settings, &graph, value, &parameters)?;
            graph.output("loss", value)?;
            let mut notes = Vec::new();
            if structured {
                let (roots, found) = structure::rewrite_noted(&graph, &[value])?;
                (value, notes) = (roots[0], found);
            }
            let nodes: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
            let gradients = graph.gradient(value, &nodes)?;
            for ((name, _), gradient) in parameters.iter().zip(&gradients) {
                graph.output(&format!("gradient of {name}"), *gradient)?;
            }
            let (rows, plan) = (Vec::new(), structure::Plan::default());
            let weights = parameters.clone();
            let clocks = Vec::new();
            Ok((Step { graph, parameters, weights, gradients, rows, plan, clocks }, notes))
        };
        let (step, plan) = mode.choose(build, |step| &step.graph)?;
        Ok(Step { plan, ..step })
    }

    fn row_mode(&self) -> RowMode {
        match self.settings.text("rows") {
            "dense" => RowMode::Dense,
            "masked" => RowMode::Masked,
            _ => RowMode::Exact,
        }
    }

    /// The loss of a batch, and what the model puts out, as they are built.
    fn losses(&self, graph: &Graph) -> Result<Built, GraphError> {
        let Parts { settings, training, model, shape, .. } = *self;
        let regularizers = &training.regularizers;
        let screen = screen::declare(graph, shape)?;
        let seed = declare_seed(graph)?;
        let step = declare_step(graph)?;
        let scene = Scene { graph, random: [seed, step] };
        let screen = graph.scoped("screen", |_| regularizers.screen(&scene, screen))?;
        let precision = Precision::new(settings);
        if pretexts::wanted(settings) {
            let random = [seed, step];
            let built = || pretexts::build(graph, settings, model, screen.image, random);
            let (value, pretexts::Parameters { learned, following }) =
                precision.build(graph, built)?;
            // No search looks at the outputs: it is refused.
            let (outputs, parameters) = (value, learned);
            return Ok(Built { value, outputs, parameters, seed, step, following, reported: None });
        }
        let mode = Mode::Training { seed, step };
        if meta::wanted(settings) {
            let loss = losses::chosen(settings);
            let loss = |outputs, targets| (loss.build)(settings, graph, outputs, targets);
            let (image, targets, loss) = (screen.image, screen.targets, &loss);
            let site = meta::Site { graph, settings, model, image, targets, mode, loss };
            let built = precision.build(graph, || meta::build(&site))?;
            let meta::Built { value, reported, parameters } = built;
            let (outputs, following, reported) = (value, Vec::new(), Some(reported));
            return Ok(Built { value, outputs, parameters, seed, step, following, reported });
        }
        let weights = |_: &Graph, _: &str, weight| regularizers.weight(&scene, weight);
        let mut builder = Builder::new(graph, mode);
        builder.regularization = Regularization { weights: Some(&weights), ..regularizers.model() };
        let outputs = precision.build(graph, || model.append(&builder, screen.image))?;
        let loss = losses::chosen(settings);
        let value = graph.scoped("loss", |g| (loss.build)(settings, g, outputs, screen.targets))?;
        let task = Task { graph, image: screen.image, outputs, value, loss };
        let value = guidance::taught(settings, model, &task)?;
        let (image, parameters) = (screen.image, builder.parameters());
        let of = Learned { image, outputs, branches: builder.branches(), parameters: &parameters };
        let value = graph.scoped("loss", |_| regularizers.value(&scene, &of, value))?;
        let (following, reported) = (Vec::new(), None);
        Ok(Built { value, outputs, parameters, seed, step, following, reported })
    }

    /// The loss for a search.
    pub fn objective(&self, graph: &Graph, structured: bool) -> Result<Loss, GraphError> {
        let Built { mut value, mut outputs, parameters, .. } = self.losses(graph)?;
        if structured {
            let (roots, _) = structure::rewrite_noted(graph, &[value, outputs])?;
            (value, outputs) = (roots[0], roots[1]);
        }
        value = guidance::bound(self.settings, graph, value, &parameters)?;
        Ok(Loss { value, outputs: Some(outputs), parameters })
    }

    fn build(&self, structured: bool, due: Due) -> Result<structure::Built<Step>, GraphError> {
        let Parts { training, float, .. } = *self;
        let graph = Graph::new(float);
        let Built { value, parameters, seed, step, following, reported, .. } =
            self.losses(&graph)?;
        let adapted = adapters::wanted(self.settings);
        if !adapted {
            graph.output("loss", reported.unwrap_or(value))?;
        }
        let precision = Precision::new(self.settings);
        // What is updated by rows is so where it lies: no step is left out.
        let rows = self.rows && precision.is_plain();
        let by_rows = training.rows().filter(|_| rows).map(|(rule, kinds)| {
            let mode = self.row_mode();
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

        // Neither has windows of its own, so both come after the rewrite.
        let value = guidance::bound(self.settings, &graph, value, &parameters)?;
        let weights = parameters;
        let adapters = Adapters::new(self.settings, &graph, &weights)?;
        let value = adapters.adapted(&graph, value)?;
        if adapted {
            graph.output("loss", value)?;
        }
        let parameters = adapters.learned.clone();

        // The gradients of parameters, and of what stands for those held by rows.
        let own: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
        let mut nodes = own.clone();
        nodes.extend(layers.iter().flat_map(|layer| layer.wanted));
        let scale = precision.scale(&graph)?;
        let scaled = scale.as_ref().map_or(Ok(value), |scale| scale.up(&graph, value))?;
        let mut gradients = training.gradients(&graph, scaled, &nodes)?;
        if let Some(scale) = &scale {
            scale.down(&graph, &mut gradients)?;
        }
        let of_layers = gradients.split_off(parameters.len());
        let kinds = by_rows.as_ref().map_or(&[][..], |(_, kinds)| kinds);
        let clocks = graph.scoped("optimizer", |g| {
            let next = g.increment(step)?;
            let curvature = |vectors: &[NodeId]| g.hessian_vector_product(value, &own, vectors);
            let place = Place {
                graph: g,
                parameters: &parameters,
                gradients: &gradients,
                next,
                random: Some([seed, step]),
                curvature: Some(&curvature),
                due,
            };
            let clocks = training.append_each(&place, |index, update| {
                let (name, parameter) = &parameters[index];
                let mut layers = layers.iter().zip(of_layers.as_chunks().0);
                let found = layers.find(|(layer, _)| layer.parameter == *parameter);
                let Some((layer, gradients)) = found else { return Ok(false) };
                // Slots that others know; the step itself works on rows.
                for kind in kinds {
                    update.moment(kind, name, *parameter)?;
                }
                layer.update(g, *gradients, update.rate)?;
                Ok(true)
            })?;
            adapters.write(g)?;
            pretexts::follow(g, self.settings, &following)?;
            if let Some(scale) = &scale {
                scale.guard(g, &gradients)?;
            }
            g.update(step, next)?;
            Ok(clocks)
        })?;
        let rows = layers.into_iter().map(|layer| {
            let slots = kinds.iter().map(|kind| moment(kind, &layer.store.name)).collect();
            (layer.store, slots)
        });
        let (rows, plan) = (rows.collect(), structure::Plan::default());
        Ok((Step { graph, parameters, weights, gradients, rows, plan, clocks }, notes))
    }
}
