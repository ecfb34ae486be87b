//! Adadelta.

use super::{BELOW_ONE, Optimizer, OptimizerEntry, Update, coupled, rate};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adadelta",
    summary: "v ← ρ v + (1-ρ) g², d = √(u + ε) / √(v + ε) · g, u ← ρ u + (1-ρ) d², p ← p - rate · d",
    source: "Zeiler, \"ADADELTA: An Adaptive Learning Rate Method\", 2012",
    dimensions: &[
        rate(1.0),
        Dimension::float("rho", "decay of the mean squares", BELOW_ONE, 0.9),
        Dimension::float("epsilon", "added below both roots", (0.0, 1.0), 1e-6),
        coupled(0.0),
    ],
    make: |settings| {
        Box::new(Adadelta {
            rho: settings.float("rho"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
        })
    },
};

struct Adadelta {
    rho: f64,
    epsilon: f64,
    decay: f64,
}

impl Optimizer for Adadelta {
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
        let moved = update.moment("acc_delta", name, parameter)?;
        let new_square = update.blend(square, graph.square(gradient)?, self.rho)?;
        graph.update(square, new_square)?;
        let root = |x: NodeId| graph.sqrt(graph.offset(x, self.epsilon)?);
        let ratio = graph.div(root(moved)?, root(new_square)?)?;
        let step = graph.mul(ratio, gradient)?;
        graph.update(moved, update.blend(moved, graph.square(step)?, self.rho)?)?;
        graph.sub(parameter, graph.mul(step, update.rate)?)
    }
}
