//! Learning to learn: weights from which few steps lead to any task of a family.
//!
//! The samples of a batch belong to tasks: the first part to the first task, and so
//! on. In every task the weights θ make some steps of gradient descent of their own,
//! θ' ← θ' - α ∂L/∂θ', inside the program of one step; what is learned are the weights
//! they start from. With MAML a task's first half of samples is learned from, and
//! the loss is that of the second half after it, differentiated through those steps
//! (second order) or as if they did not depend on θ (first order). Reptile wants no
//! second half: each inner step has samples of its own, and the gradient is θ - θ'.

use speck_engine::{Graph, GraphError, NodeId};
use speck_models::settings::Part;
use speck_models::{Builder, Dimension, Mode, Model, SettingError, Settings};

/// A way of learning to learn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    SecondOrder,
    FirstOrder,
    Reptile,
}

/// The word for learning one task.
pub const NONE: &str = "none";

/// An entry of the registry.
pub struct MetaEntry {
    /// Its name in experiments.
    pub name: &'static str,
    /// The formula.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What can be varied.
    pub dimensions: &'static [Dimension],
    way: Way,
}

/// Tasks of a batch.
pub const TASKS: Dimension = Dimension::int(
    "tasks",
    "tasks of a batch, each with an equal part of the samples",
    (1, 65_536),
    4,
);
const DIMENSIONS: &[Dimension] = &[
    TASKS,
    Dimension::int("inner_steps", "steps that the weights make in each task", (1, 64), 1),
    Dimension::float("inner_rate", "α: the rate of those steps", (1e-9, 1e6), 0.05),
];

/// Every entry.
pub const ALL: &[MetaEntry] = &[
    MetaEntry {
        name: "maml",
        summary: "mean over tasks of L_query(θ'), θ' ← θ' - α ∂L_support/∂θ' from θ' = θ, differentiated through the inner steps",
        source: "Finn, Abbeel, Levine, \"Model-Agnostic Meta-Learning\", 2017",
        dimensions: DIMENSIONS,
        way: Way::SecondOrder,
    },
    MetaEntry {
        name: "first_order_maml",
        summary: "as maml, with the mean of ∂L_query/∂θ' as the gradient in θ",
        source: "Finn, Abbeel, Levine, \"Model-Agnostic Meta-Learning\", 2017, 5.2",
        dimensions: DIMENSIONS,
        way: Way::FirstOrder,
    },
    MetaEntry {
        name: "reptile",
        summary: "the mean over tasks of θ - θ' as the gradient in θ, θ' after inner steps on samples of their own",
        source: "Nichol, Achiam, Schulman, \"On First-Order Meta-Learning Algorithms\", 2018",
        dimensions: DIMENSIONS,
        way: Way::Reptile,
    },
];

/// As parts of the gradient learner; the first one is one task.
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
pub fn find(name: &str) -> Option<&'static MetaEntry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// Whether weights are learned that others start from.
pub(super) fn wanted(settings: &Settings) -> bool {
    settings.text("meta") != NONE
}

/// Whether the samples of a batch can be divided as the settings want.
///
/// # Errors
/// They cannot, or settings that do not go with it.
pub fn check(settings: &Settings, samples: usize) -> Result<(), SettingError> {
    let Some(entry) = find(settings.text("meta")) else { return Ok(()) };
    if super::pretexts::wanted(settings) {
        let message = "has no tasks to learn from: it does not go with `meta`";
        return Err(SettingError::new("pretext", message));
    }
    let (tasks, steps) = (settings.usize("tasks"), settings.usize("inner_steps"));
    let (parts, what) = match entry.way {
        Way::Reptile => (tasks * steps, "inner steps of all tasks"),
        _ => (tasks * 2, "halves of all tasks"),
    };
    if samples >= parts && samples.is_multiple_of(parts) {
        return Ok(());
    }
    let below = samples / parts * parts;
    let near = if below > 0 { format!("{below} or ") } else { String::new() };
    let message = format!(
        "{samples} samples cannot be divided among the {parts} {what}; {near}{} can",
        below + parts
    );
    Err(SettingError::new("batch", message))
}

/// Where it is built.
pub(super) struct Site<'a> {
    pub graph: &'a Graph,
    pub settings: &'a Settings,
    pub model: &'a dyn Model,
    pub image: NodeId,
    pub targets: NodeId,
    pub mode: Mode,
    /// The loss of outputs and targets.
    pub loss: &'a dyn Fn(NodeId, NodeId) -> Result<NodeId, GraphError>,
}

/// What is built.
pub(super) struct Built {
    /// What is differentiated.
    pub value: NodeId,
    /// What is reported: the loss after the inner steps, or before the first one where
    /// no samples are left for that.
    pub reported: NodeId,
    pub parameters: Vec<(String, NodeId)>,
}

/// The loss of the tasks in a batch.
pub(super) fn build(site: &Site<'_>) -> Result<Built, GraphError> {
    let Site { graph, settings, .. } = *site;
    // Resolved settings name an entry.
    let way = find(settings.text("meta")).map_or(Way::SecondOrder, |entry| entry.way);
    let (tasks, steps) = (settings.usize("tasks"), settings.usize("inner_steps"));
    let samples = graph.shape(site.image)[0];
    let parts = if way == Way::Reptile { steps } else { 2 };
    let size = samples / (tasks * parts).max(1);
    let part = |number: usize| -> Result<[NodeId; 2], GraphError> {
        let cut = |x: NodeId| graph.narrow(x, 0, number * size, 1, size);
        Ok([cut(site.image)?, cut(site.targets)?])
    };
    // The model once; for other samples and weights its graph is replayed.
    let [image, targets] = part(0)?;
    let builder = Builder::new(graph, site.mode);
    let outputs = site.model.append(&builder, image)?;
    let first = graph.scoped("loss", |_| (site.loss)(outputs, targets))?;
    let parameters = builder.parameters();
    let start: Vec<_> = parameters.iter().map(|(_, node)| *node).collect();
    let loss = |number: usize, weights: &[NodeId]| -> Result<NodeId, GraphError> {
        let mut replaced: Vec<_> = start.iter().copied().zip(weights.iter().copied()).collect();
        if number > 0 {
            replaced.extend([image, targets].into_iter().zip(part(number)?));
        }
        graph.replay(first, &replaced)
    };
    let rate = settings.float("inner_rate");
    let (mut sum, mut reported) = (graph.scalar(0.0)?, graph.scalar(0.0)?);
    for task in 0..tasks {
        let mut weights = start.clone();
        for step in 0..steps {
            let number = task * parts + if way == Way::Reptile { step } else { 0 };
            let value = loss(number, &weights)?;
            if way == Way::Reptile && step == 0 {
                reported = graph.add(reported, value)?;
            }
            let gradients = graph.gradient(value, &weights)?;
            for (weight, gradient) in weights.iter_mut().zip(gradients) {
                let still = way != Way::SecondOrder;
                let gradient = if still { graph.detach(gradient)? } else { gradient };
                *weight = graph.sub(*weight, graph.scale(gradient, rate)?)?;
            }
        }
        if way != Way::Reptile {
            sum = graph.add(sum, loss(task * parts + 1, &weights)?)?;
            continue;
        }
        // A number whose gradient in θ is θ - θ'.
        for (weight, begun) in weights.iter().zip(&start) {
            let way = graph.detach(graph.sub(*begun, *weight)?)?;
            sum = graph.add(sum, graph.sum_all(graph.mul(*begun, way)?)?)?;
        }
    }
    let value = graph.scale(sum, 1.0 / tasks as f64)?;
    let reported = match way {
        Way::Reptile => graph.scale(reported, 1.0 / tasks as f64)?,
        _ => value,
    };
    Ok(Built { value, reported, parameters })
}
