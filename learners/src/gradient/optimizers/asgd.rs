//! Averaged stochastic gradient descent.

use super::{Optimizer, OptimizerEntry, POSITIVE, Update, coupled, rate};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "asgd",
    summary: "η = rate / (1 + λ rate (t-1))^α, p ← (1 - λ η) p - η g, mean ← mean + (p - mean) / max(1, t - 1 - t₀)",
    source: "Polyak and Juditsky, \"Acceleration of stochastic approximation by averaging\", 1992, in Bottou's form, as PyTorch has it; the mean is the slot ax",
    dimensions: &[
        rate(1e-2),
        Dimension::float("lambd", "decay: λ", POSITIVE, 1e-4),
        Dimension::float("alpha", "power of the rate's fall: α", (0.0, 10.0), 0.75),
        Dimension::float("t0", "steps before the mean is taken", (0.0, 1e12), 1e6),
        coupled(0.0),
    ],
    make: |settings| {
        Box::new(Asgd {
            lambd: settings.float("lambd"),
            alpha: settings.float("alpha"),
            start: settings.float("t0"),
            decay: settings.float("weight_decay"),
        })
    },
};

struct Asgd {
    lambd: f64,
    alpha: f64,
    start: f64,
    decay: f64,
}

impl Optimizer for Asgd {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let gradient = update.coupled(gradient, parameter, self.decay)?;
        let (lambd, start) = (self.lambd, self.start);
        let share = update.clock("share", move |count| lambd * (count - 1) as f64)?;
        let below = graph.log1p(graph.mul(update.rate, share)?)?;
        let fall = graph.exp(graph.scale(below, -self.alpha)?)?;
        let rate = graph.mul(update.rate, fall)?;
        let keep = graph.offset(graph.scale(rate, -self.lambd)?, 1.0)?;
        let new = graph.sub(graph.mul(parameter, keep)?, graph.mul(gradient, rate)?)?;
        let mean = update.moment("ax", name, parameter)?;
        let part = move |count: u64| 1.0 / ((count - 1) as f64 - start).max(1.0);
        let part = update.clock("part", part)?;
        let moved = graph.mul(graph.sub(new, mean)?, part)?;
        graph.update(mean, graph.add(mean, moved)?)?;
        Ok(new)
    }
}
