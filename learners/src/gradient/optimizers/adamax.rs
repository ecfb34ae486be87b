//! Adamax: Adam with the largest gradient in place of the mean square.

use super::{Optimizer, OptimizerEntry, Update, beta1, beta2, coupled, epsilon, rate};
use speck_engine::{GraphError, NodeId};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adamax",
    summary: "m as adam, u ← max(β₂ u, |g| + ε), p ← p - rate · m̂ / u",
    source: "Kingma and Ba, \"Adam: A Method for Stochastic Optimization\", 2014, algorithm 2; epsilon as in PyTorch",
    dimensions: &[rate(2e-3), beta1(0.9), beta2(0.999), epsilon(1e-8), coupled(0.0)],
    make: |settings| {
        Box::new(Adamax {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
        })
    },
};

struct Adamax {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
}

impl Optimizer for Adamax {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let gradient = update.coupled(gradient, parameter, self.decay)?;
        let mean = update.moment("exp_avg", name, parameter)?;
        let largest = update.moment("exp_inf", name, parameter)?;
        let new_mean = update.blend(mean, gradient, self.beta1)?;
        let size = graph.offset(graph.abs(gradient)?, self.epsilon)?;
        let new_largest = graph.maximum(graph.scale(largest, self.beta2)?, size)?;
        graph.update(mean, new_mean)?;
        graph.update(largest, new_largest)?;
        let rate = graph.div(update.rate, update.correction(self.beta1)?)?;
        let change = graph.mul(graph.div(new_mean, new_largest)?, rate)?;
        graph.sub(parameter, change)
    }
}
