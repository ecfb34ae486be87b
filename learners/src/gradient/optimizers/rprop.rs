//! Resilient propagation.

use super::{Optimizer, OptimizerEntry, POSITIVE, Update, rate};
use speck_engine::{GraphError, Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "rprop",
    summary: "s ← s · (η₊ where g has kept its sign, η₋ where not) in bounds, p ← p - s sign(g), but where the sign changed p stays and g counts as 0 in the next step; s starts at the rate",
    source: "Riedmiller and Braun, \"A direct adaptive method for faster backpropagation learning: the RPROP algorithm\", 1993, without weight backtracking, as in PyTorch; the rate is the first step only, so a schedule has no effect",
    dimensions: &[
        rate(1e-2),
        Dimension::float("eta_minus", "what a step shrinks by", (1e-6, 0.999_999), 0.5),
        Dimension::float("eta_plus", "what a step grows by", (1.000_001, 1e6), 1.2),
        Dimension::float("smallest_step", "the smallest step", POSITIVE, 1e-6),
        Dimension::float("largest_step", "the largest step", POSITIVE, 50.0),
    ],
    make: |settings| {
        Box::new(Rprop {
            first: settings.float("rate"),
            factors: [settings.float("eta_minus"), settings.float("eta_plus")],
            bounds: [settings.float("smallest_step"), settings.float("largest_step")],
        })
    },
};

struct Rprop {
    first: f64,
    factors: [f64; 2],
    bounds: [f64; 2],
}

impl Optimizer for Rprop {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let last = update.moment("prev", name, parameter)?;
        let initial = Initial::Constant(self.first);
        let step = update.slot("step_size", name, &graph.shape(parameter), initial)?;
        // 1 where the sign was kept, -1 where it changed, 0 where either is 0.
        let kept = graph.mul(graph.sign(gradient)?, graph.sign(last)?)?;
        let zero = graph.scalar(0.0)?;
        let (grows, shrinks) = (graph.greater(kept, zero)?, graph.greater(zero, kept)?);
        let [minus, plus] = self.factors;
        // 1 + (η₊ - 1) [grows] + (η₋ - 1) [shrinks]
        let factor = graph.offset(graph.scale(grows, plus - 1.0)?, 1.0)?;
        let factor = graph.add_scaled(factor, shrinks, minus - 1.0)?;
        let [smallest, largest] = self.bounds;
        let new_step = graph.clip(graph.mul(step, factor)?, smallest, largest)?;
        let gradient = graph.select(shrinks, zero, gradient)?;
        graph.update(last, gradient)?;
        graph.update(step, new_step)?;
        graph.sub(parameter, graph.mul(graph.sign(gradient)?, new_step)?)
    }
}
