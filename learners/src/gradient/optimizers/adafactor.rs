//! Adafactor: second moments of a matrix from those of its rows and columns.

use super::{Optimizer, OptimizerEntry, Update, decoupled, rate};
use speck_engine::{DType, GraphError, Initial, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "adafactor",
    summary: "β = 1 - t^beta2_decay, r ← β r + (1-β) mean of g² along rows, c likewise along columns, v = r c / mean(r), u = g / √max(v, ε₁²), p ← (1 - rate · decay) p - max(ε₂, rms(p)) min(rate, 1/√t) / max(1, rms(u) / d) · u; a vector has v ← β v + (1-β) g²",
    source: "Shazeer and Stern, \"Adafactor: Adaptive Learning Rates with Sublinear Memory Cost\", 2018, in PyTorch's form; the last two dimensions are rows and columns",
    dimensions: &[
        rate(1e-2),
        Dimension::float("beta2_decay", "power of the step in 1 - β₂", (-100.0, 0.0), -0.8),
        Dimension::float(
            "epsilon1",
            "smallest root of a second moment; 0 for the rounding of the numbers computed with",
            (0.0, 1.0),
            0.0,
        ),
        Dimension::float("epsilon2", "smallest root mean square of weights", (0.0, 1.0), 1e-3),
        Dimension::float("d", "root mean square above which an update is cut", (1.0, 1e6), 1.0),
        decoupled(0.0),
    ],
    make: |settings| {
        Box::new(Adafactor {
            power: settings.float("beta2_decay"),
            epsilons: [settings.float("epsilon1"), settings.float("epsilon2")],
            largest: settings.float("d"),
            decay: settings.float("weight_decay"),
        })
    },
};

struct Adafactor {
    power: f64,
    epsilons: [f64; 2],
    largest: f64,
    decay: f64,
}

impl Optimizer for Adafactor {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let [first, second] = self.epsilons;
        let first = match (first, graph.float()) {
            (0.0, DType::F64) => f64::EPSILON,
            (0.0, _) => f64::from(f32::EPSILON),
            (given, _) => given,
        };
        let shape = graph.shape(parameter);
        let elements = shape.iter().product::<usize>() as f64;
        let power = self.power;
        let share = update.clock("share", move |count| (count as f64).powf(power))?;
        // slot + share (value - slot)
        let lerp = |slot: NodeId, value: NodeId| {
            let new = graph.add(slot, graph.mul(graph.sub(value, slot)?, share)?)?;
            graph.update(slot, new)?;
            Ok(new)
        };
        let square = graph.square(gradient)?;
        let zero = Initial::Constant(0.0);
        let variance = match shape.len() {
            0 | 1 => lerp(update.moment("variance", name, parameter)?, square)?,
            rank => {
                // [.., rows, 1] and [.., 1, columns]
                let along = |axis: usize, kind: &str| -> Result<(NodeId, Vec<usize>), GraphError> {
                    let mut kept = shape.clone();
                    kept[axis] = 1;
                    let mean = graph.reshape(graph.mean(square, &[axis])?, &kept)?;
                    let slot = update.slot(kind, name, &kept, zero.clone())?;
                    Ok((lerp(slot, mean)?, kept))
                };
                let (rows, mut kept) = along(rank - 1, "row_var")?;
                let (columns, _) = along(rank - 2, "col_var")?;
                kept[rank - 2] = 1;
                let mean = graph.reshape(graph.mean(rows, &[rank - 2])?, &kept)?;
                let mean = graph.maximum(mean, graph.scalar(first)?)?;
                graph.div(graph.mul(rows, columns)?, mean)?
            }
        };
        let variance = graph.maximum(variance, graph.scalar(first * first)?)?;
        let step = graph.mul(graph.rsqrt(variance)?, gradient)?;
        let size = graph.scale(update.norm(step)?, 1.0 / (elements.sqrt() * self.largest))?;
        let size = graph.maximum(size, graph.scalar(1.0)?)?;
        let fall = update.clock("fall", |count| 1.0 / (count as f64).sqrt())?;
        let weight = graph.scale(update.norm(parameter)?, 1.0 / elements.sqrt())?;
        let weight = graph.maximum(weight, graph.scalar(second)?)?;
        let rate = graph.mul(weight, graph.minimum(update.rate, fall)?)?;
        let rate = graph.div(rate, size)?;
        graph.sub(update.decayed(parameter, self.decay)?, graph.mul(step, rate)?)
    }
}
