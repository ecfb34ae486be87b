//! Muon: momentum made orthogonal, for matrices.

use super::adam::Adam;
use super::sgd::{momentum, nesterov};
use super::{Optimizer, OptimizerEntry, POSITIVE, Update, decoupled, rate};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "muon",
    summary: "b ← momentum · b + (1 - momentum) g, u = (1 - momentum) g + momentum · b, X = u / ‖u‖, ns_steps times X ← a X + (b S + c S²) X with S = X Xᵀ, p ← (1 - rate · decay) p - rate · scale · X; vectors by adamw",
    source: "Jordan et al., \"Muon: An optimizer for hidden layers in neural networks\", 2024, in PyTorch's form but not rounded to bfloat16; a convolution's weights are the matrix [outputs, the rest]; a, b, c = 3.4445, -4.775, 2.0315",
    dimensions: &[
        rate(1e-3),
        decoupled(0.1),
        momentum(0.95),
        nesterov(true),
        Dimension::float("epsilon", "smallest norm to divide by", (0.0, 1.0), 1e-7),
        Dimension::int("ns_steps", "Newton-Schulz iterations", (1, 99), 5),
        Dimension::choice(
            "adjust_lr_fn",
            "scale: √max(1, rows / columns), or 0.2 √max(rows, columns) for the size of AdamW's updates, or √(rows / columns)",
            &["original", "match_rms_adamw", "spectral_unclamped"],
            "original",
        ),
        Dimension::float(
            "vector_rate",
            "rate of vectors, as a multiple of the rate",
            POSITIVE,
            1.0,
        ),
    ],
    make: |settings| {
        Box::new(Muon {
            decay: settings.float("weight_decay"),
            momentum: settings.float("momentum"),
            nesterov: settings.bool("nesterov"),
            epsilon: settings.float("epsilon"),
            iterations: settings.usize("ns_steps"),
            scale: match settings.text("adjust_lr_fn") {
                "match_rms_adamw" => |rows, columns| 0.2 * rows.max(columns).sqrt(),
                "spectral_unclamped" => |rows, columns| (rows / columns).sqrt(),
                _ => |rows, columns| (rows / columns).max(1.0).sqrt(),
            },
            vector_rate: settings.float("vector_rate"),
        })
    },
};

struct Muon {
    decay: f64,
    momentum: f64,
    nesterov: bool,
    epsilon: f64,
    iterations: usize,
    scale: fn(f64, f64) -> f64,
    vector_rate: f64,
}

/// The quintic whose slope at 0 is steep and whose values in [0, 1] stay near 1.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.775, 2.0315];

impl Muon {
    /// Every singular value of a matrix brought near 1.
    fn orthogonal(&self, update: &Update<'_>, matrix: NodeId) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let shape = graph.shape(matrix);
        let turned = shape[0] > shape[1];
        let flip = |x: NodeId| if turned { graph.permute(x, &[1, 0]) } else { Ok(x) };
        let norm = graph.maximum(update.norm(matrix)?, graph.scalar(self.epsilon)?)?;
        let mut x = flip(graph.div(matrix, norm)?)?;
        let [a, b, c] = COEFFICIENTS;
        for _ in 0..self.iterations {
            let gram = graph.matmul(x, graph.permute(x, &[1, 0])?)?;
            let square = graph.matmul(gram, gram)?;
            let inner = graph.add_scaled(graph.scale(gram, b)?, square, c)?;
            x = graph.add_scaled(graph.matmul(inner, x)?, x, a)?;
        }
        flip(x)
    }
}

impl Optimizer for Muon {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let shape = graph.shape(parameter);
        if shape.len() < 2 || shape.contains(&0) {
            let adam = Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: self.decay,
                decoupled: true,
                amsgrad: false,
            };
            let rate = graph.scale(update.rate, self.vector_rate)?;
            return adam.build(&Update { rate, ..*update }, name, parameter, gradient);
        }
        let buffer = update.moment("momentum_buffer", name, parameter)?;
        let new = update.blend(buffer, gradient, self.momentum)?;
        graph.update(buffer, new)?;
        let step = match self.nesterov {
            true => update.blend(new, gradient, self.momentum)?,
            false => new,
        };
        let rows = shape[0];
        let columns = shape[1..].iter().product::<usize>();
        let step = self.orthogonal(update, graph.reshape(step, &[rows, columns])?)?;
        let step = graph.reshape(step, &shape)?;
        let rate = graph.scale(update.rate, (self.scale)(rows as f64, columns as f64))?;
        graph.sub(update.decayed(parameter, self.decay)?, graph.mul(step, rate)?)
    }
}
