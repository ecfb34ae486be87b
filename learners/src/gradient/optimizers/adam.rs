//! Adam, with epsilon outside the root as in the paper and in PyTorch.

use super::{DECOUPLED, Optimizer, OptimizerEntry, Update, beta1, beta2, coupled, epsilon, rate};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::{Dimension, Settings};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adam",
    summary: "m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) g², p ← p - rate · m̂ / (√v̂ + ε)",
    source: "Kingma and Ba, \"Adam: A Method for Stochastic Optimization\", 2014, algorithm 1",
    dimensions: &[
        rate(1e-3),
        beta1(0.9),
        beta2(0.999),
        epsilon(1e-8),
        coupled(0.0),
        DECOUPLED,
        amsgrad(false),
    ],
    make: |settings| make(settings, settings.bool("decoupled_weight_decay")),
};

pub(super) const fn amsgrad(default: bool) -> Dimension {
    let doc = "whether the largest mean squared gradient so far stands in place of the last";
    Dimension::bool("amsgrad", doc, default)
}

pub(super) fn make(settings: &Settings, decoupled: bool) -> Box<dyn Optimizer> {
    Box::new(Adam {
        beta1: settings.float("beta1"),
        beta2: settings.float("beta2"),
        epsilon: settings.float("epsilon"),
        decay: settings.float("weight_decay"),
        decoupled,
        amsgrad: settings.bool("amsgrad"),
    })
}

/// Adam with its settings; AdamW where decay is decoupled.
pub(super) struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub decay: f64,
    pub decoupled: bool,
    pub amsgrad: bool,
}

impl Optimizer for Adam {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let first = match update.momentum {
            Some(beta) => update.correction_of(graph.log(beta)?)?,
            None => update.correction(self.beta1)?,
        };
        let second = update.correction(self.beta2)?;
        let rate = graph.div(update.rate, first)?;
        let inverse_root = graph.rsqrt(second)?;
        let (gradient, parameter, kept) = match self.decoupled {
            true => (gradient, parameter, update.decayed(parameter, self.decay)?),
            false => (update.coupled(gradient, parameter, self.decay)?, parameter, parameter),
        };
        let mean = update.moment("exp_avg", name, parameter)?;
        let square = update.moment("exp_avg_sq", name, parameter)?;
        let new_mean = match update.momentum {
            Some(beta) => {
                let share = graph.sub(graph.scalar(1.0)?, beta)?;
                graph.add(graph.mul(mean, beta)?, graph.mul(gradient, share)?)?
            }
            None => update.blend(mean, gradient, self.beta1)?,
        };
        let new_square = update.blend(square, graph.square(gradient)?, self.beta2)?;
        graph.update(mean, new_mean)?;
        graph.update(square, new_square)?;
        let mut below = new_square;
        if self.amsgrad {
            let largest = update.moment("max_exp_avg_sq", name, parameter)?;
            below = graph.maximum(largest, new_square)?;
            graph.update(largest, below)?;
        }
        let root = graph.mul(graph.sqrt(below)?, inverse_root)?;
        let below = graph.offset(root, self.epsilon)?;
        let ratio = graph.div(new_mean, below)?;
        graph.sub(kept, graph.mul(ratio, rate)?)
    }

    fn takes_momentum(&self) -> bool {
        true
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Adam { beta1, beta2, epsilon, decay, decoupled, amsgrad } = *self;
        let known = !amsgrad && (decoupled || decay == 0.0);
        let rule = Rule::Adam { beta1, beta2, epsilon, decay };
        known.then_some((rule, &["exp_avg", "exp_avg_sq"]))
    }
}
