//! Stochastic gradient descent (Robbins and Monro, 1951).

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "sgd",
    summary: "p ← p - rate · g, l2 · p added to g",
    make: |settings: &Settings| Box::new(Sgd { decay: settings.float("l2") }),
};

struct Sgd {
    decay: f64,
}

impl Optimizer for Sgd {
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError> {
        let graph = update.graph;
        for ((_, parameter), gradient) in parameters.iter().zip(gradients) {
            let gradient = update.coupled(*gradient, *parameter, self.decay)?;
            let change = graph.mul(gradient, update.rate)?;
            graph.update(*parameter, graph.sub(*parameter, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        Some((Rule::Sgd { decay: self.decay }, &[]))
    }
}
