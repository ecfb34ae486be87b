//! Gradient descent with momentum (Polyak, 1964), in PyTorch's form: the rate
//! multiplies the velocity, not the gradient.

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "momentum",
    summary: "v ← momentum · v + g, p ← p - rate · v, l2 · p added to g",
    make: |settings: &Settings| {
        let (momentum, decay) = (settings.float("momentum"), settings.float("l2"));
        Box::new(Momentum { momentum, decay })
    },
};

struct Momentum {
    momentum: f64,
    decay: f64,
}

impl Optimizer for Momentum {
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError> {
        let graph = update.graph;
        for ((name, parameter), gradient) in parameters.iter().zip(gradients) {
            let velocity = update.moment("momentum_buffer", name, *parameter)?;
            let kept = graph.scale(velocity, self.momentum)?;
            let gradient = update.coupled(*gradient, *parameter, self.decay)?;
            let new = graph.add(kept, gradient)?;
            let change = graph.mul(new, update.rate)?;
            graph.update(velocity, new)?;
            graph.update(*parameter, graph.sub(*parameter, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Momentum { momentum, decay } = *self;
        Some((Rule::Momentum { momentum, decay }, &["momentum_buffer"]))
    }
}
