//! LARS: a rate for each tensor, in proportion to its weights.

use super::sgd::{DAMPENING, momentum, nesterov};
use super::{Optimizer, OptimizerEntry, POSITIVE, Update, coupled, rate};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "lars",
    summary: "g ← η ‖p‖ / (‖g‖ + decay ‖p‖) · (g + decay · p), v ← momentum · v + (1 - dampening) g, p ← p - rate · v; vectors as they are",
    source: "You, Gitman and Ginsburg, \"Large Batch Training of Convolutional Networks\", 2017, in the form of pytorch_optimizer; η is trust_coefficient",
    dimensions: &[
        rate(1e-3),
        coupled(0.0),
        momentum(0.9),
        DAMPENING,
        Dimension::float("trust_coefficient", "step over weight, both as norms", POSITIVE, 1e-3),
        nesterov(false),
    ],
    make: |settings| {
        Box::new(Lars {
            decay: settings.float("weight_decay"),
            momentum: settings.float("momentum"),
            dampening: settings.float("dampening"),
            trust: settings.float("trust_coefficient"),
            nesterov: settings.bool("nesterov"),
        })
    },
};

struct Lars {
    decay: f64,
    momentum: f64,
    dampening: f64,
    trust: f64,
    nesterov: bool,
}

impl Optimizer for Lars {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let mut gradient = gradient;
        if graph.shape(parameter).len() > 1 {
            let (weight, size) = (update.norm(parameter)?, update.norm(gradient)?);
            let below = graph.add_scaled(size, weight, self.decay)?;
            let ratio = graph.div(graph.scale(weight, self.trust)?, below)?;
            let both = graph.greater(graph.mul(weight, below)?, graph.scalar(0.0)?)?;
            let trust = graph.select(both, ratio, graph.scalar(1.0)?)?;
            gradient = graph.mul(update.coupled(gradient, parameter, self.decay)?, trust)?;
        }
        let mut step = gradient;
        if self.momentum > 0.0 {
            let velocity = update.moment("momentum_buffer", name, parameter)?;
            let kept = graph.scale(velocity, self.momentum)?;
            let new = graph.add_scaled(kept, gradient, 1.0 - self.dampening)?;
            graph.update(velocity, new)?;
            step = match self.nesterov {
                true => graph.add_scaled(gradient, new, self.momentum)?,
                false => new,
            };
        }
        graph.sub(parameter, graph.mul(step, update.rate)?)
    }
}
