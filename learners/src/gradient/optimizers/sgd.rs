//! Stochastic gradient descent, with or without momentum.

use super::{BELOW_ONE, Optimizer, OptimizerEntry, Update, coupled, rate};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::{Dimension, Settings};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "sgd",
    summary: "g ← g + decay · p, v ← momentum · v + (1 - dampening) g, p ← p - rate · v; v = g at the first step; without momentum p ← p - rate · g",
    source: "Robbins and Monro, \"A Stochastic Approximation Method\", 1951; momentum: Polyak, 1964, in PyTorch's form: the rate multiplies the velocity, not the gradient",
    dimensions: &[rate(1e-3), momentum(0.0), DAMPENING, nesterov(false), coupled(0.0)],
    make,
};

pub(super) const fn momentum(default: f64) -> Dimension {
    Dimension::float("momentum", "share of the last update that is kept", (0.0, 1.0), default)
}

pub(super) const DAMPENING: Dimension = Dimension::float(
    "dampening",
    "share of the gradient that does not enter the velocity",
    BELOW_ONE,
    0.0,
);

pub(super) const fn nesterov(default: bool) -> Dimension {
    let doc = "whether the step looks ahead along the velocity: p ← p - rate (g + momentum · v)";
    Dimension::bool("nesterov", doc, default)
}

pub(super) fn make(settings: &Settings) -> Box<dyn Optimizer> {
    Box::new(Sgd {
        momentum: settings.float("momentum"),
        dampening: settings.float("dampening"),
        nesterov: settings.bool("nesterov"),
        decay: settings.float("weight_decay"),
    })
}

struct Sgd {
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    decay: f64,
}

impl Optimizer for Sgd {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let gradient = update.coupled(gradient, parameter, self.decay)?;
        let mut step = gradient;
        if self.momentum != 0.0 || update.momentum.is_some() {
            let velocity = update.moment("momentum_buffer", name, parameter)?;
            let kept = update.kept(velocity, self.momentum)?;
            let share = match self.dampening {
                0.0 => gradient,
                dampening => {
                    let share = move |count| if count == 1 { 1.0 } else { 1.0 - dampening };
                    graph.mul(gradient, update.clock("share", share)?)?
                }
            };
            let new = graph.add(kept, share)?;
            graph.update(velocity, new)?;
            step = match self.nesterov {
                true => graph.add(gradient, update.kept(new, self.momentum)?)?,
                false => new,
            };
        }
        graph.sub(parameter, graph.mul(step, update.rate)?)
    }

    fn takes_momentum(&self) -> bool {
        true
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        match *self {
            Sgd { momentum: 0.0, decay, .. } => Some((Rule::Sgd { decay }, &[])),
            Sgd { momentum, dampening: 0.0, nesterov: false, decay } => {
                Some((Rule::Momentum { momentum, decay }, &["momentum_buffer"]))
            }
            _ => None,
        }
    }
}
