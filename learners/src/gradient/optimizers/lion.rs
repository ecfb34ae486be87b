//! Lion: the sign of a mixture of gradient and momentum.

use super::{BELOW_ONE, FIXED_DECAY, Optimizer, OptimizerEntry, Update, beta1, decoupled, rate};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "lion",
    summary: "u = sign(β₁ m + (1-β₁) g), p ← (1 - rate · decay) p - rate · u, m ← β₂ m + (1-β₂) g",
    source: "Chen et al., \"Symbolic Discovery of Optimization Algorithms\", 2023, algorithm 2",
    dimensions: &[
        rate(1e-4),
        beta1(0.9),
        Dimension::float("beta2", "decay of the mean gradient that is kept", BELOW_ONE, 0.99),
        decoupled(0.0),
        super::lamb::DECOUPLE,
        FIXED_DECAY,
    ],
    make: |settings| {
        Box::new(Lion {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            decay: settings.float("weight_decay"),
            decoupled: settings.bool("weight_decouple"),
            fixed: settings.bool("fixed_decay"),
        })
    },
};

struct Lion {
    beta1: f64,
    beta2: f64,
    decay: f64,
    decoupled: bool,
    fixed: bool,
}

impl Optimizer for Lion {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let (gradient, kept) = match self.decoupled && self.fixed {
            true => (gradient, graph.scale(parameter, 1.0 - self.decay)?),
            false => update.decay(gradient, parameter, self.decay, self.decoupled)?,
        };
        let mean = update.moment("exp_avg", name, parameter)?;
        let direction = graph.sign(update.blend(mean, gradient, self.beta1)?)?;
        graph.update(mean, update.blend(mean, gradient, self.beta2)?)?;
        graph.sub(kept, graph.mul(direction, update.rate)?)
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Lion { beta1, beta2, decay, decoupled, fixed } = *self;
        let known = decay == 0.0 || (decoupled && !fixed);
        known.then_some((Rule::Lion { beta1, beta2, decay }, &["exp_avg"]))
    }
}
