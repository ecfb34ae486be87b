//! LAMB: Adam with a trust ratio for each tensor.

use super::radam::length;
use super::{
    FIXED_DECAY, Optimizer, OptimizerEntry, POSITIVE, Update, beta1, beta2, decoupled, epsilon,
    rate,
};
use speck_engine::{GraphError, NodeId};
use speck_models::Dimension;

pub(super) const ENTRY: OptimizerEntry = OptimizerEntry {
    name: "lamb",
    summary: "m and v as adam, u = m / (√v + ε), p ← (1 - rate · decay) p, p ← p - rate / (1-β₁ᵗ) · min(‖p‖, 10) / (‖u‖ + ε) · u",
    source: "You et al., \"Large Batch Optimization for Deep Learning: Training BERT in 76 minutes\", 2019, in the form of pytorch_optimizer: v is not corrected, the decay is decoupled",
    dimensions: &[
        rate(1e-3),
        beta1(0.9),
        beta2(0.999),
        epsilon(1e-6),
        decoupled(0.0),
        DECOUPLE,
        FIXED_DECAY,
        Dimension::bool("rectify", "whether the variance is rectified as in radam", false),
        Dimension::bool(
            "degenerated_to_sgd",
            "with rectify: whether the mean gradient is stepped along before the variance is known",
            false,
        ),
        Dimension::int("n_sma_threshold", "with rectify: averaged steps to begin at", (0, 1000), 5),
        Dimension::bool(
            "grad_averaging",
            "whether a new gradient enters the mean with the weight 1 - beta1 instead of 1",
            true,
        ),
        Dimension::bool("pre_norm", "whether gradients are first brought to max_grad_norm", false),
        Dimension::float("max_grad_norm", "norm of all gradients; 0 for any", POSITIVE, 1.0),
        Dimension::bool("adam", "whether every trust ratio is 1", false),
    ],
    make: |settings| {
        Box::new(Lamb {
            beta1: settings.float("beta1"),
            beta2: settings.float("beta2"),
            epsilon: settings.float("epsilon"),
            decay: settings.float("weight_decay"),
            decoupled: settings.bool("weight_decouple"),
            fixed: settings.bool("fixed_decay"),
            rectify: settings.bool("rectify"),
            degenerate: settings.bool("degenerated_to_sgd"),
            threshold: settings.int("n_sma_threshold") as f64,
            averaging: settings.bool("grad_averaging"),
            largest: Some(settings.float("max_grad_norm"))
                .filter(|norm| settings.bool("pre_norm") && *norm > 0.0),
            adam: settings.bool("adam"),
        })
    },
};

pub(super) const DECOUPLE: Dimension = Dimension::bool(
    "weight_decouple",
    "whether weight decay acts beside the gradient's step instead of on it",
    true,
);

struct Lamb {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    decay: f64,
    decoupled: bool,
    fixed: bool,
    rectify: bool,
    degenerate: bool,
    threshold: f64,
    averaging: bool,
    largest: Option<f64>,
    adam: bool,
}

/// ‖x‖ has no bound in the paper; in its code it has this one.
const LARGEST_WEIGHT: f64 = 10.0;

impl Lamb {
    /// What the rate is multiplied by, apart from bias correction: negative where
    /// no step is made yet. And whether the variance is known.
    fn rectified(&self) -> impl Fn(u64) -> (f64, bool) + use<> {
        let (beta2, threshold, degenerate) = (self.beta2, self.threshold, self.degenerate);
        move |count| {
            let (length, limit) = length(beta2, count);
            let correction = 1.0 - beta2.powf(count as f64);
            let square = correction * (length - 4.0) / (limit - 4.0) * (length - 2.0) / length
                * limit
                / (limit - 2.0);
            match (length >= threshold, degenerate) {
                (true, _) => (square.sqrt(), true),
                (false, true) => (1.0, false),
                (false, false) => (-1.0, false),
            }
        }
    }
}

impl Optimizer for Lamb {
    fn build(
        &self,
        update: &Update<'_>,
        name: &str,
        parameter: NodeId,
        gradient: NodeId,
    ) -> Result<NodeId, GraphError> {
        let graph = update.graph;
        let mut gradient = gradient;
        if let Some(largest) = self.largest {
            let norm = graph.offset(update.gradient_norm()?, self.epsilon)?;
            let share = graph.div(graph.scalar(largest)?, norm)?;
            let share = graph.minimum(share, graph.scalar(1.0)?)?;
            gradient = graph.mul(gradient, share)?;
        }
        let kept = match (self.decoupled, self.fixed) {
            (true, true) => graph.scale(parameter, 1.0 - self.decay)?,
            (true, false) => update.decayed(parameter, self.decay)?,
            (false, _) => parameter,
        };
        let mean = update.moment("exp_avg", name, parameter)?;
        let square = update.moment("exp_avg_sq", name, parameter)?;
        let new_mean = match self.averaging {
            true => update.blend(mean, gradient, self.beta1)?,
            false => graph.add(graph.scale(mean, self.beta1)?, gradient)?,
        };
        let new_square = update.blend(square, graph.square(gradient)?, self.beta2)?;
        graph.update(mean, new_mean)?;
        graph.update(square, new_square)?;
        let rate = graph.div(update.rate, update.correction(self.beta1)?)?;
        let below = graph.offset(graph.sqrt(new_square)?, self.epsilon)?;
        let mut step = graph.div(new_mean, below)?;
        let mut rate = rate;
        // What the trust ratio looks at.
        let measured;
        if self.rectify {
            let [factor, known] = [self.rectified(), self.rectified()];
            let factor = update.clock("factor", move |count| factor(count).0.max(0.0))?;
            let known = update.clock("known", move |count| f64::from(u8::from(known(count).1)))?;
            step = graph.select(known, step, new_mean)?;
            rate = graph.mul(rate, factor)?;
            measured = graph.sub(kept, graph.mul(step, rate)?)?;
        } else {
            if !self.decoupled && self.decay > 0.0 {
                step = graph.add_scaled(step, kept, self.decay)?;
            }
            measured = step;
        }
        if !self.adam {
            let weight = update.norm(kept)?;
            let weight = graph.minimum(weight, graph.scalar(LARGEST_WEIGHT)?)?;
            let size = update.norm(measured)?;
            let ratio = graph.div(weight, graph.offset(size, self.epsilon)?)?;
            let both = graph.greater(graph.mul(weight, size)?, graph.scalar(0.0)?)?;
            let trust = graph.select(both, ratio, graph.scalar(1.0)?)?;
            rate = graph.mul(rate, trust)?;
        }
        graph.sub(kept, graph.mul(step, rate)?)
    }
}
