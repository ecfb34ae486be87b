//! Adapters: weights that move by updates of low rank only.
//!
//! Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021: a matrix
//! of weights stays W₀ + (α / r) B A, where W₀ is what it began with, B [outputs, r]
//! is zero at first and A [r, inputs] uniform; only A and B are learned. A kernel
//! of a convolution is a matrix [outputs, inputs · height · width].
//!
//! The loss is built on the model's own weights and replayed with that sum in their
//! place, so any model can be adapted and its graph is differentiated in A and B.
//! After a step the weights' slots hold the new sum: what predicts, and what comes
//! after, knows nothing of adapters.

use super::guidance::origin;
use speck_engine::{Graph, GraphError, Initial, NodeId};
use speck_models::{Dimension, Settings};

/// The dimensions of the gradient learner that are read here.
pub(super) const DIMENSIONS: [Dimension; 3] = [
    Dimension::int(
        "adapter_rank",
        "r: weights of two dimensions and more move by α / r · B A of this rank alone (Hu et al., \"LoRA\", 2021); 0: they move freely",
        (0, 4096),
        0,
    ),
    Dimension::float(
        "adapter_alpha",
        "α: what the product of an adapter is multiplied by",
        (1e-6, 1e6),
        1.0,
    ),
    Dimension {
        name: "adapter_free",
        doc: "names of weights that move freely beside adapters; `*` stands for anything",
        kind: speck_models::settings::Kind::TextList,
        default: speck_models::settings::DefaultValue::TextList(&[]),
    },
];

/// Whether weights move by adapters.
pub(super) fn wanted(settings: &Settings) -> bool {
    settings.int("adapter_rank") > 0
}

/// A weight with the two factors of its update.
struct Adapter {
    weight: NodeId,
    origin: NodeId,
    a: NodeId,
    b: NodeId,
}

/// Adapters on a graph.
pub(super) struct Adapters {
    all: Vec<Adapter>,
    scale: f64,
    /// What is learned: the factors in place of the weights they move.
    pub learned: Vec<(String, NodeId)>,
}

impl Adapters {
    /// Declares the adapters of a model's parameters.
    pub fn new(
        settings: &Settings,
        graph: &Graph,
        parameters: &[(String, NodeId)],
    ) -> Result<Self, GraphError> {
        let rank = settings.usize("adapter_rank");
        let free = settings.text_list("adapter_free");
        let scale = settings.float("adapter_alpha") / rank.max(1) as f64;
        let mut adapters = Adapters { all: Vec::new(), scale, learned: Vec::new() };
        for (name, weight) in parameters {
            let shape = graph.shape(*weight);
            let moves = free.iter().any(|pattern| super::training::matches(pattern, name));
            if rank == 0 || shape.len() < 2 || moves {
                adapters.learned.push((name.clone(), *weight));
                continue;
            }
            let (outputs, inputs) = (shape[0], shape[1..].iter().product::<usize>());
            let slot = |factor: &str| format!("{}adapter/{name}.lora_{factor}", crate::PRIVATE);
            // As the authors' code: Kaiming's uniform with a = √5, 1 / √inputs.
            let bound = (inputs.max(1) as f64).sqrt().recip();
            let a = graph.state(&slot("a"), &[rank, inputs], Initial::Uniform { bound })?;
            let b = graph.state(&slot("b"), &[outputs, rank], Initial::Constant(0.0))?;
            let origin = origin(graph, name, *weight)?;
            adapters.learned.push((format!("{name}.lora_a"), a));
            adapters.learned.push((format!("{name}.lora_b"), b));
            adapters.all.push(Adapter { weight: *weight, origin, a, b });
        }
        Ok(adapters)
    }

    fn moved(
        &self,
        graph: &Graph,
        adapter: &Adapter,
        [a, b]: [NodeId; 2],
    ) -> Result<NodeId, GraphError> {
        let way = graph.scale(graph.matmul(b, a)?, self.scale)?;
        let way = graph.reshape(way, &graph.shape(adapter.weight))?;
        graph.add(adapter.origin, way)
    }

    /// The loss with the adapted weights.
    pub fn adapted(&self, graph: &Graph, value: NodeId) -> Result<NodeId, GraphError> {
        let mut replaced = Vec::new();
        for adapter in &self.all {
            replaced.push((adapter.weight, self.moved(graph, adapter, [adapter.a, adapter.b])?));
        }
        if replaced.is_empty() { Ok(value) } else { graph.replay(value, &replaced) }
    }

    /// Writes the adapted weights into the model's slots, after the updates of the
    /// factors were appended.
    pub fn write(&self, graph: &Graph) -> Result<(), GraphError> {
        for adapter in &self.all {
            let new = |factor: NodeId| graph.updated(factor).unwrap_or(factor);
            let moved = self.moved(graph, adapter, [new(adapter.a), new(adapter.b)])?;
            graph.update(adapter.weight, moved)?;
        }
        Ok(())
    }
}
