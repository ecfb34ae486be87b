//! Gradient descent with momentum (Polyak, 1964), in PyTorch's form: the rate
//! multiplies the velocity, not the gradient.

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "momentum",
    summary: "v ← momentum · v + g, p ← p - rate · v",
    make: |settings: &Settings| Box::new(Momentum { momentum: settings.float("momentum") }),
};

struct Momentum {
    momentum: f64,
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
            let new = graph.add(kept, *gradient)?;
            let change = graph.mul(new, update.rate)?;
            graph.update(velocity, new)?;
            graph.update(*parameter, graph.sub(*parameter, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        Some((Rule::Momentum { momentum: self.momentum }, &["momentum_buffer"]))
    }
}
