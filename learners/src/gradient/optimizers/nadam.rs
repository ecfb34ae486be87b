//! NAdam: Adam with Nesterov's momentum.

use super::{
    DECOUPLED, Optimizer, OptimizerEntry, POSITIVE, Update, beta1, beta2, coupled, epsilon, rate,
};
use speck_engine::{GraphError, Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "nadam",
    summary: "μₜ = β₁ (1 - 0.96^(t ψ) / 2), m and v as adam, p ← p - rate ((1-μₜ) g / (1 - Π μ) + μₜ₊₁ m / (1 - μₜ₊₁ Π μ)) / (√v̂ + ε)",
    source: "Dozat, \"Incorporating Nesterov Momentum into Adam\", 2016; ψ is momentum_decay",
    dimensions: &[
        rate(2e-3),
        beta1(0.9),
        beta2(0.999),
        epsilon(1e-8),
        coupled(0.0),
        Dimension::float("momentum_decay", "how fast the momentum rises to beta1", POSITIVE, 4e-3),
        DECOUPLED,
    ],
    make: |settings| {
        Box::new(Nadam {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            momentum_decay: settings.float("momentum_decay"),
            decoupled: settings.bool("decoupled_weight_decay"),
        })
    },
};

struct Nadam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
    momentum_decay: f64,
    decoupled: bool,
}

impl Optimizer for Nadam {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let (gradient, kept) = update.decay(gradient, parameter, self.decay, self.decoupled)?;
        let (beta1, decay) = (self.beta1, self.momentum_decay);
        let momentum = move |count: u64| beta1 * (1.0 - 0.5 * (0.96f64).powf(count as f64 * decay));
        let now = update.clock("momentum", momentum)?;
        let next = update.clock("next momentum", move |count| momentum(count + 1))?;
        let product = update.slot("mu_product", name, &[], Initial::Constant(1.0))?;
        let new_product = graph.mul(product, now)?;
        graph.update(product, new_product)?;
        // 1 - x of a scalar.
        let without = |x: NodeId| graph.offset(graph.scale(x, -1.0)?, 1.0);
        let of_gradient = graph.div(without(now)?, without(new_product)?)?;
        let ahead = without(graph.mul(new_product, next)?)?;
        let of_mean = graph.div(next, ahead)?;

        let mean = update.moment("exp_avg", name, parameter)?;
        let square = update.moment("exp_avg_sq", name, parameter)?;
        let new_mean = update.blend(mean, gradient, self.beta1)?;
        let new_square = update.blend(square, graph.square(gradient)?, self.beta2)?;
        graph.update(mean, new_mean)?;
        graph.update(square, new_square)?;
        let inverse_root = graph.rsqrt(update.correction(self.beta2)?)?;
        let root = graph.mul(graph.sqrt(new_square)?, inverse_root)?;
        let below = graph.offset(root, self.epsilon)?;
        let above = graph.add(graph.mul(gradient, of_gradient)?, graph.mul(new_mean, of_mean)?)?;
        let change = graph.mul(graph.div(above, below)?, update.rate)?;
        graph.sub(kept, change)
    }
}
