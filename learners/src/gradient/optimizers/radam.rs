//! RAdam: Adam whose variance is rectified in the first steps.

use super::{DECOUPLED, Optimizer, OptimizerEntry, Update, beta1, beta2, coupled, epsilon, rate};
use speck_engine::{GraphError, NodeId};

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "radam",
    summary: "m and v as adam, ρₜ = ρ - 2 t β₂ᵗ / (1-β₂ᵗ), ρ = 2 / (1-β₂) - 1; where ρₜ > 5: p ← p - rate · m̂ rₜ / √v̂, rₜ² = (ρₜ-4) (ρₜ-2) ρ / ((ρ-4) (ρ-2) ρₜ); before that p ← p - rate · m̂",
    source: "Liu et al., \"On the Variance of the Adaptive Learning Rate and Beyond\", 2019; epsilon is added to √v as in PyTorch",
    dimensions: &[rate(1e-3), beta1(0.9), beta2(0.999), epsilon(1e-8), coupled(0.0), DECOUPLED],
    make: |settings| {
        Box::new(Radam {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            decoupled: settings.bool("decoupled_weight_decay"),
        })
    },
};

struct Radam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
    decoupled: bool,
}

/// ρₜ and ρ. In f32 the difference of the two terms of ρₜ, both near 2000, would
/// have three digits: it is taken in f64, outside the program.
pub(super) fn length(beta2: f64, count: u64) -> (f64, f64) {
    let limit = 2.0 / (1.0 - beta2) - 1.0;
    let power = beta2.powf(count as f64);
    (limit - 2.0 * count as f64 * power / (1.0 - power), limit)
}

/// √(1-β₂ᵗ) rₜ, or nothing in the steps before.
fn rectified(beta2: f64, count: u64) -> Option<f64> {
    let (length, limit) = length(beta2, count);
    let above = (length - 4.0) * (length - 2.0) * limit;
    let below = (limit - 4.0) * (limit - 2.0) * length;
    let correction = 1.0 - beta2.powf(count as f64);
    (length > 5.0).then(|| (correction * above / below).sqrt())
}

impl Optimizer for Radam {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let (gradient, kept) = update.decay(gradient, parameter, self.decay, self.decoupled)?;
        let mean = update.moment("exp_avg", name, parameter)?;
        let square = update.moment("exp_avg_sq", name, parameter)?;
        let new_mean = update.blend(mean, gradient, self.beta1)?;
        let new_square = update.blend(square, graph.square(gradient)?, self.beta2)?;
        graph.update(mean, new_mean)?;
        graph.update(square, new_square)?;
        let beta2 = self.beta2;
        let above = move |count| rectified(beta2, count).unwrap_or(0.0);
        let plain = move |count| if rectified(beta2, count).is_some() { 0.0 } else { 1.0 };
        let (above, plain) = (update.clock("rectified", above)?, update.clock("plain", plain)?);
        let below = graph.offset(graph.sqrt(new_square)?, self.epsilon)?;
        let factor = graph.add(graph.div(above, below)?, plain)?;
        let rate = graph.div(update.rate, update.correction(self.beta1)?)?;
        let change = graph.mul(graph.mul(new_mean, factor)?, rate)?;
        graph.sub(kept, change)
    }
}
