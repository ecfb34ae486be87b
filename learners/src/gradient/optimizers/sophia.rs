//! Sophia: momentum over an estimate of the Hessian's diagonal, clipped.

use super::{BELOW_ONE, Optimizer, OptimizerEntry, POSITIVE, Update, beta1, decoupled, rate};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "sophia",
    summary: "m ← β₁ m + (1-β₁) g, each update_period-th time h ← β₂ h + (1-β₂) u ⊙ H u with u normal, p ← (1 - rate · decay) p - rate · clip(m / max(h, ε), ± clip)",
    source: "Liu et al., \"Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training\", 2023, with Hutchinson's estimator, in the form of pytorch_optimizer's SophiaH",
    dimensions: &[
        rate(6e-2),
        beta1(0.96),
        Dimension::float("beta2", "decay of the mean diagonal of the Hessian", BELOW_ONE, 0.99),
        decoupled(0.0),
        Dimension::float("clip", "largest step of a weight, times the rate", POSITIVE, 1e-2),
        Dimension::int("update_period", "updates from estimate to estimate", (1, 1_000_000), 10),
        Dimension::float("epsilon", "smallest curvature to divide by", (0.0, 1.0), 1e-12),
    ],
    make: |settings| {
        Box::new(Sophia {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            decay: settings.float("weight_decay"),
            clip: settings.float("clip"),
            period: settings.usize("update_period") as u64,
            epsilon: settings.float("epsilon"),
        })
    },
};

struct Sophia {
    beta1: f64,
    beta2: f64,
    decay: f64,
    clip: f64,
    period: u64,
    epsilon: f64,
}

impl Optimizer for Sophia {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let mean = update.moment("exp_avg", name, parameter)?;
        let diagonal = update.moment("hessian", name, parameter)?;
        let new_mean = update.blend(mean, gradient, self.beta1)?;
        graph.update(mean, new_mean)?;
        let mut curvature = diagonal;
        if update.due {
            curvature = update.blend(diagonal, update.curvature()?, self.beta2)?;
            graph.update(diagonal, curvature)?;
        }
        let below = graph.maximum(curvature, graph.scalar(self.epsilon)?)?;
        let step = graph.clip(graph.div(new_mean, below)?, -self.clip, self.clip)?;
        graph.sub(update.decayed(parameter, self.decay)?, graph.mul(step, update.rate)?)
    }

    fn due(&self, count: u64) -> bool {
        (count - 1).is_multiple_of(self.period)
    }
}
