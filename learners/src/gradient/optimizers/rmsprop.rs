//! RMSprop, in PyTorch's form: epsilon is added to the root.

use super::sgd::momentum;
use super::{BELOW_ONE, Optimizer, OptimizerEntry, Update, coupled, epsilon, rate};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "rmsprop",
    summary: "v ← α v + (1-α) g², s = g / (√v + ε), p ← p - rate · s; centered: a ← α a + (1-α) g, √(v - a²) in place of √v; momentum: b ← momentum · b + s, p ← p - rate · b",
    source: "Hinton, lecture 6 of \"Neural Networks for Machine Learning\", 2012; centered: Graves, \"Generating Sequences With Recurrent Neural Networks\", 2013",
    dimensions: &[
        rate(1e-2),
        Dimension::float("alpha", "decay of the mean squared gradient", BELOW_ONE, 0.99),
        epsilon(1e-8),
        coupled(0.0),
        momentum(0.0),
        Dimension::bool(
            "centered",
            "whether the square of the mean gradient is taken off the mean square",
            false,
        ),
    ],
    make: |settings| {
        Box::new(Rmsprop {
            alpha: settings.float("alpha"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            momentum: settings.float("momentum"),
            centered: settings.bool("centered"),
        })
    },
};

struct Rmsprop {
    alpha: f64,
    epsilon: f64,
    decay: f64,
    momentum: f64,
    centered: bool,
}

impl Optimizer for Rmsprop {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let gradient = update.coupled(gradient, parameter, self.decay)?;
        let square = update.moment("square_avg", name, parameter)?;
        let new = update.blend(square, graph.square(gradient)?, self.alpha)?;
        graph.update(square, new)?;
        let mut variance = new;
        if self.centered {
            let mean = update.moment("grad_avg", name, parameter)?;
            let new_mean = update.blend(mean, gradient, self.alpha)?;
            graph.update(mean, new_mean)?;
            variance = graph.sub(new, graph.square(new_mean)?)?;
        }
        let below = graph.offset(graph.sqrt(variance)?, self.epsilon)?;
        let mut step = graph.div(gradient, below)?;
        if self.momentum > 0.0 || update.momentum.is_some() {
            let buffer = update.moment("momentum_buffer", name, parameter)?;
            step = graph.add(update.kept(buffer, self.momentum)?, step)?;
            graph.update(buffer, step)?;
        }
        graph.sub(parameter, graph.mul(step, update.rate)?)
    }

    fn takes_momentum(&self) -> bool {
        true
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Rmsprop { alpha, epsilon, decay, momentum, centered } = *self;
        let known = decay == 0.0 && momentum == 0.0 && !centered;
        known.then_some((Rule::Rmsprop { alpha, epsilon }, &["square_avg"]))
    }
}
