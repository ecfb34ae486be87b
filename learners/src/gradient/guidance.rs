//! What draws training besides the task: a teacher's answers, and the weights
//! that training began with.

use super::losses::LossEntry;
use crate::predictor::{self, Readout};
use crate::{ORIGIN, TEACHER};
use speck_engine::{Graph, GraphError, Initial, NodeId};
use speck_models::{Builder, Dimension, Mode, Model, SCREEN, Settings};

/// The dimensions of the gradient learner that are read here.
pub(super) const DIMENSIONS: [Dimension; 3] = [
    Dimension::float(
        "distillation",
        "share of the loss that is the distance to a teacher's answers (Hinton et al., \"Distilling the Knowledge in a Neural Network\", 2015): (1 - d) loss + d T² loss(y / T, readout(teacher / T)); regimens name the teacher",
        (0.0, 1.0),
        0.0,
    ),
    Dimension::float(
        "temperature",
        "T: what outputs are divided by before they are compared with the teacher's",
        (0.01, 1e3),
        1.0,
    ),
    Dimension::float(
        "origin_decay",
        "a: a / 2 · Σ (w - w₀)² is added to the loss, w₀ being the weights that training began with (Li et al., \"Explicit Inductive Bias for Transfer Learning with Convolutional Networks\", 2018, L2-SP), 0 for layers that a regimen renews",
        (0.0, 1e6),
        0.0,
    ),
];

/// Whether the loss looks at all weights.
pub(super) fn binds_weights(settings: &Settings) -> bool {
    settings.float("origin_decay") > 0.0
}

/// The nodes of a task's loss.
pub(super) struct Task<'a> {
    pub graph: &'a Graph,
    pub image: NodeId,
    pub outputs: NodeId,
    pub value: NodeId,
    pub loss: &'a LossEntry,
}

/// The loss with what a teacher has to say about it. The teacher is the model as
/// it predicts, with weights in slots of its own that nothing changes.
pub(super) fn taught(
    settings: &Settings,
    model: &dyn Model,
    task: &Task<'_>,
) -> Result<NodeId, GraphError> {
    let Task { graph, image, outputs, value, loss } = *task;
    let share = settings.float("distillation");
    if share == 0.0 {
        return Ok(value);
    }
    graph.scoped("teacher", |g| {
        let answers = model.append(&Builder::prefixed(g, Mode::Evaluation, TEACHER), image)?;
        let temperature = settings.float("temperature");
        let soft = |x: NodeId| g.scale(x, 1.0 / temperature);
        let distance = match loss.readout {
            Readout::Softmax => {
                let wanted = predictor::read(g, soft(answers)?, loss.readout)?;
                g.axis_cross_entropy(soft(outputs)?, wanted, &SCREEN)?
            }
            Readout::Sigmoid => {
                let wanted = predictor::read(g, soft(answers)?, loss.readout)?;
                g.binary_cross_entropy(soft(outputs)?, wanted)?
            }
            // Squares of outputs that are divided by T are divided by T² already.
            Readout::Identity | Readout::Share => {
                g.mean_squared_error(soft(outputs)?, soft(answers)?)?
            }
        };
        let taught = g.scale(distance, share * temperature * temperature)?;
        // A pure pupil does not look at the task at all.
        if share == 1.0 { Ok(taught) } else { g.add(g.scale(value, 1.0 - share)?, taught) }
    })
}

/// The slot of the weights that a parameter began with.
pub(super) fn origin(graph: &Graph, name: &str, parameter: NodeId) -> Result<NodeId, GraphError> {
    let slot = format!("{ORIGIN}{name}");
    match graph.state_node(&slot) {
        Some(node) => Ok(node),
        None => graph.state(&slot, &graph.shape(parameter), Initial::Constant(0.0)),
    }
}

/// The loss with the penalty on the way that weights have gone.
pub(super) fn bound(
    settings: &Settings,
    graph: &Graph,
    value: NodeId,
    parameters: &[(String, NodeId)],
) -> Result<NodeId, GraphError> {
    if !binds_weights(settings) {
        return Ok(value);
    }
    graph.scoped("origin", |g| {
        let mut sum = value;
        for (name, parameter) in parameters {
            let way = g.sub(*parameter, origin(g, name, *parameter)?)?;
            let square = g.sum_all(g.square(way)?)?;
            sum = g.add(sum, g.scale(square, settings.float("origin_decay") / 2.0)?)?;
        }
        Ok(sum)
    })
}
