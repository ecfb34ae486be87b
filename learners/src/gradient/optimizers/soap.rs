//! SOAP: Adam in the eigenvectors of Shampoo's preconditioners.

use super::shampoo::{LARGEST, along, unfolded};
use super::{BELOW_ONE, Optimizer, OptimizerEntry, Update, beta1, beta2, decoupled, epsilon, rate};
use speck_engine::{Graph, GraphError, Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "soap",
    summary: "H_d ← β H_d + (1-β) G_d G_dᵀ of each dimension d, Q_d its eigenvectors each precondition_frequency-th update, m ← β₁ m + (1-β₁) g, v ← β₂ v + (1-β₂) (g along all Q_d)², p ← (1 - rate · decay) p - rate · (m̂ along all Q_d / (√v̂ + ε)) along all Q_dᵀ",
    source: "Vyas et al., \"SOAP: Improving and Stabilizing Shampoo using Adam\", 2024, algorithm 3; eigenvectors are found anew by Jacobi's method where the paper makes one step of power iteration, and no update is skipped; a convolution's weights are the matrix [outputs, the rest]; vectors and dimensions above largest_dimension are not turned",
    dimensions: &[
        rate(3e-3),
        beta1(0.95),
        beta2(0.95),
        Dimension::float(
            "shampoo_beta",
            "decay of the mean outer products; 1 for that of beta2",
            (0.0, 1.0),
            1.0,
        ),
        epsilon(1e-8),
        decoupled(0.01),
        Dimension::int(
            "precondition_frequency",
            "updates from one computation of eigenvectors to the next",
            (1, 1_000_000),
            10,
        ),
        LARGEST,
    ],
    make: |settings| {
        let beta2 = settings.float("beta2");
        Box::new(Soap {
            beta1: settings.float("beta1"),
            beta2,
            beta: Some(settings.float("shampoo_beta"))
                .filter(|b| *b < BELOW_ONE.1)
                .unwrap_or(beta2),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            period: settings.usize("precondition_frequency") as u64,
            largest: settings.usize("largest_dimension"),
        })
    },
};

struct Soap {
    beta1: f64,
    beta2: f64,
    beta: f64,
    epsilon: f64,
    decay: f64,
    period: u64,
    largest: usize,
}

impl Soap {
    /// The eigenvectors, as rows, of the mean outer product along an axis.
    fn basis(
        &self,
        update: &Update<'_>,
        name: &str,
        matrix: NodeId,
        axis: usize,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let n = graph.shape(matrix)[axis];
        let zero = Initial::Constant(0.0);
        let mean = update.slot(&format!("gg_{axis}"), name, &[n, n], zero.clone())?;
        let basis = update.slot(&format!("q_{axis}"), name, &[n, n], zero)?;
        let own = unfolded(graph, matrix, axis)?;
        let outer = graph.matmul_with(own, own, false, true)?;
        let new = update.blend(mean, outer, self.beta)?;
        graph.update(mean, new)?;
        if !update.due {
            return Ok(basis);
        }
        let vectors = graph.narrow(graph.symmetric_eigen(new)?, 0, 1, 1, n)?;
        graph.update(basis, vectors)?;
        Ok(vectors)
    }
}

/// A matrix along the eigenvectors of some of its axes, or back.
fn turned(
    graph: &Graph,
    x: NodeId,
    bases: &[(usize, NodeId)],
    back: bool,
) -> Result<NodeId, GraphError> {
    let mut x = x;
    for (axis, basis) in bases {
        let basis = if back { graph.permute(*basis, &[1, 0])? } else { *basis };
        x = along(graph, basis, x, *axis)?;
    }
    Ok(x)
}

impl Optimizer for Soap {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let shape = graph.shape(parameter);
        let matrix = match shape.len() {
            0 | 1 => shape.clone(),
            _ => vec![shape[0], shape[1..].iter().product()],
        };
        let flat = graph.reshape(gradient, &matrix)?;
        let mut bases = Vec::new();
        for axis in 0..if matrix.len() == 2 { 2 } else { 0 } {
            if (2..=self.largest).contains(&matrix[axis]) {
                bases.push((axis, self.basis(update, name, flat, axis)?));
            }
        }
        let mean = update.moment("exp_avg", name, parameter)?;
        let square = update.slot("exp_avg_sq", name, &matrix, Initial::Constant(0.0))?;
        let new_mean = update.blend(mean, gradient, self.beta1)?;
        graph.update(mean, new_mean)?;
        let seen = turned(graph, flat, &bases, false)?;
        let new_square = update.blend(square, graph.square(seen)?, self.beta2)?;
        graph.update(square, new_square)?;
        let inverse_root = graph.rsqrt(update.correction(self.beta2)?)?;
        let root = graph.mul(graph.sqrt(new_square)?, inverse_root)?;
        let below = graph.offset(root, self.epsilon)?;
        let mean = turned(graph, graph.reshape(new_mean, &matrix)?, &bases, false)?;
        let step = turned(graph, graph.div(mean, below)?, &bases, true)?;
        let rate = graph.div(update.rate, update.correction(self.beta1)?)?;
        let step = graph.mul(graph.reshape(step, &shape)?, rate)?;
        graph.sub(update.decayed(parameter, self.decay)?, step)
    }

    fn due(&self, count: u64) -> bool {
        (count - 1).is_multiple_of(self.period)
    }
}
