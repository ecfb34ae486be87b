//! RMSprop (Hinton, lecture 6 of "Neural Networks for Machine Learning", 2012), in
//! PyTorch's form: epsilon is added to the root.

use super::{Optimizer, OptimizerEntry, Update};
use speck_engine::kernels::rows::rule::Rule;
use speck_engine::{GraphError, NodeId};
use speck_models::Settings;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "rmsprop",
    summary: "v ← α v + (1-α) g², p ← p - rate · g / (√v + ε), l2 · p added to g",
    make: |settings: &Settings| {
        Box::new(Rmsprop {
            alpha: settings.float("alpha"),
            epsilon: settings.float("epsilon"),
            coupled: settings.float("l2"),
        })
    },
};

struct Rmsprop {
    alpha: f64,
    epsilon: f64,
    coupled: f64,
}

impl Optimizer for Rmsprop {
    fn build(
        &self,
        update: &Update<'_>,
        parameters: &[(String, NodeId)],
        gradients: &[NodeId],
    ) -> Result<(), GraphError> {
        let graph = update.graph;
        for ((name, parameter), gradient) in parameters.iter().zip(gradients) {
            let square = update.moment("square_avg", name, *parameter)?;
            let kept = graph.scale(square, self.alpha)?;
            let gradient = update.coupled(*gradient, *parameter, self.coupled)?;
            let squared = graph.square(gradient)?;
            let share = graph.scale(squared, 1.0 - self.alpha)?;
            let new = graph.add(kept, share)?;
            let root = graph.sqrt(new)?;
            let below = graph.offset(root, self.epsilon)?;
            let ratio = graph.div(gradient, below)?;
            let change = graph.mul(ratio, update.rate)?;
            graph.update(square, new)?;
            graph.update(*parameter, graph.sub(*parameter, change)?)?;
        }
        Ok(())
    }

    fn rows(&self) -> Option<(Rule, &'static [&'static str])> {
        let Rmsprop { alpha, epsilon, coupled } = *self;
        (coupled == 0.0).then_some((Rule::Rmsprop { alpha, epsilon }, &["square_avg"]))
    }
}
