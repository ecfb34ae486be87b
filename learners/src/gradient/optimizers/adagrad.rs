//! Adagrad.

use super::{Optimizer, OptimizerEntry, POSITIVE, Update, coupled, epsilon, rate};
use speck_engine::{GraphError, Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adagrad",
    summary: "s ← s + g², p ← p - rate / (1 + (t-1) rate_decay) · g / (√s + ε)",
    source: "Duchi, Hazan and Singer, \"Adaptive Subgradient Methods for Online Learning and Stochastic Optimization\", 2011, in PyTorch's form",
    dimensions: &[
        rate(1e-2),
        Dimension::float("rate_decay", "how fast the rate falls with the steps", POSITIVE, 0.0),
        coupled(0.0),
        Dimension::float("initial_accumulator", "the sum of squares at the start", POSITIVE, 0.0),
        epsilon(1e-10),
    ],
    make: |settings| {
        Box::new(Adagrad {
            rate_decay: settings.float("rate_decay"),
            decay: settings.float("weight_decay"),
            initial: settings.float("initial_accumulator"),
            epsilon: settings.float("epsilon"),
        })
    },
};

struct Adagrad {
    rate_decay: f64,
    decay: f64,
    initial: f64,
    epsilon: f64,
}

impl Optimizer for Adagrad {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let gradient = update.coupled(gradient, parameter, self.decay)?;
        let initial = Initial::Constant(self.initial);
        let sum = update.slot("sum", name, &graph.shape(parameter), initial)?;
        let new = graph.add(sum, graph.square(gradient)?)?;
        graph.update(sum, new)?;
        let decay = self.rate_decay;
        let share = update.clock("share", move |count| 1.0 / (1.0 + (count - 1) as f64 * decay))?;
        let rate = graph.mul(update.rate, share)?;
        let below = graph.offset(graph.sqrt(new)?, self.epsilon)?;
        graph.sub(parameter, graph.mul(graph.div(gradient, below)?, rate)?)
    }
}
