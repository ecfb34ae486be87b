//! Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
//! algorithm 2).

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "lion",
    summary: "u = sign(β₁ m + (1-β₁) g), p ← (1 - rate · decay) p - rate · u, m ← β₂ m + (1-β₂) g",
    make: |settings: &Settings| {
        Box::new(Lion {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            decay: settings.float("weight_decay"),
        })
    },
};

struct Lion {
    beta1: f64,
    beta2: f64,
    decay: f64,
}

impl Optimizer for Lion {
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError> {
        let graph = update.graph;
        let keep = update.keep(self.decay)?;
        for ((name, parameter), gradient) in parameters.iter().zip(gradients) {
            let mean = update.moment("exp_avg", name, *parameter)?;
            let mixed = |beta: f64| {
                let kept = graph.scale(mean, beta)?;
                let share = graph.scale(*gradient, 1.0 - beta)?;
                graph.add(kept, share)
            };
            let direction = graph.sign(mixed(self.beta1)?)?;
            let change = graph.mul(direction, update.rate)?;
            let kept = update.decayed(*parameter, keep)?;
            graph.update(mean, mixed(self.beta2)?)?;
            graph.update(*parameter, graph.sub(kept, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Lion { beta1, beta2, decay } = *self;
        Some((Rule::Lion { beta1, beta2, decay }, &["exp_avg"]))
    }
}
