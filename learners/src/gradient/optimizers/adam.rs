//! Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014,
//! algorithm 1), with epsilon outside the root as there and in PyTorch.

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{Graph, GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adam",
    summary: "m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) g², p ← p - rate · m̂ / (√v̂ + ε), l2 · p added to g",
    make: |settings: &Settings| {
        Box::new(Adam {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: 0.0,
            coupled: settings.float("l2"),
        })
    },
};

/// Adam with its settings; AdamW where there is decay.
pub(super) struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub decay: f64,
    pub coupled: f64,
}

/// The bias correction 1 - βᵗ.
///
/// In f32, 1 - βᵗ loses most of its digits for β near 1 and small t. With
/// a = -t ln β / 2 it is 1 - e^(-2a) = 2 tanh a / (1 + tanh a), in which nothing
/// cancels; ln β is taken in f64 when the graph is built.
fn correction(graph: &Graph, beta: f64, count: NodeId) -> Result<NodeId, GraphError> {
    if beta == 0.0 {
        return graph.scalar(1.0);
    }
    let half = graph.scale(count, -0.5 * beta.ln())?;
    let tanh = graph.tanh(half)?;
    let double = graph.scale(tanh, 2.0)?;
    let below = graph.offset(tanh, 1.0)?;
    graph.div(double, below)
}

impl Optimizer for Adam {
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError> {
        let graph = update.graph;
        let first = correction(graph, self.beta1, update.count)?;
        let second = correction(graph, self.beta2, update.count)?;
        let rate = graph.div(update.rate, first)?;
        let inverse_root = graph.rsqrt(second)?;
        let keep = update.keep(self.decay)?;
        for ((name, parameter), gradient) in parameters.iter().zip(gradients) {
            let mean = update.moment("exp_avg", name, *parameter)?;
            let square = update.moment("exp_avg_sq", name, *parameter)?;
            let kept = graph.scale(mean, self.beta1)?;
            let gradient = update.coupled(*gradient, *parameter, self.coupled)?;
            let share = graph.scale(gradient, 1.0 - self.beta1)?;
            let new_mean = graph.add(kept, share)?;
            let kept = graph.scale(square, self.beta2)?;
            let squared = graph.square(gradient)?;
            let share = graph.scale(squared, 1.0 - self.beta2)?;
            let new_square = graph.add(kept, share)?;
            let root = graph.sqrt(new_square)?;
            let root = graph.mul(root, inverse_root)?;
            let below = graph.offset(root, self.epsilon)?;
            let ratio = graph.div(new_mean, below)?;
            let change = graph.mul(ratio, rate)?;
            graph.update(mean, new_mean)?;
            graph.update(square, new_square)?;
            let kept = update.decayed(*parameter, keep)?;
            graph.update(*parameter, graph.sub(kept, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Adam { beta1, beta2, epsilon, decay, coupled } = *self;
        let rule = Rule::Adam { beta1, beta2, epsilon, decay };
        (coupled == 0.0).then_some((rule, &["exp_avg", "exp_avg_sq"]))
    }
}
