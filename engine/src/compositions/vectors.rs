//! Norms of vectors along dimensions, and what is divided by them.

use super::statistics::vector;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::broadcast;
use crate::tensor::Tensor;

const INFINITY: f64 = f64::INFINITY;

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "vector_norm",
        "y = (Σ |x|ᵖ)^(1/p) over the axes, which are dropped; p = 0 counts, p = ±∞ is the extreme of |x|",
        || {
            let draw = Draw::Distinct;
            vec![
                Case::new("p = 2", &[(&[3, 4], draw)], |graph, x| {
                    graph.vector_norm(x[0], 2.0, &[1])
                }),
                Case::new("p = 1", &[(&[5], draw)], |graph, x| graph.vector_norm(x[0], 1.0, &[0])),
                Case::new("p = 3.5", &[(&[2, 3], draw)], |graph, x| {
                    graph.vector_norm(x[0], 3.5, &[0, 1])
                }),
                Case::new("p = 1/2", &[(&[4], Draw::Uniform(0.5, 1.5))], |graph, x| {
                    graph.vector_norm(x[0], 0.5, &[0])
                }),
                Case::new("p = -2", &[(&[4], Draw::Uniform(-1.5, -0.5))], |graph, x| {
                    graph.vector_norm(x[0], -2.0, &[0])
                }),
                Case::new("p = ∞", &[(&[5], Draw::Uniform(-1.5, -0.5))], |graph, x| {
                    graph.vector_norm(x[0], INFINITY, &[0])
                }),
                Case::new("p = -∞", &[(&[5], Draw::Uniform(0.5, 1.5))], |graph, x| {
                    graph.vector_norm(x[0], -INFINITY, &[0])
                }),
            ]
        },
    )
    .rule(
        "the gradient at an element of 0 is 0 for every p, and 0 everywhere where the norm is 0; for p = ±∞ ties share it equally; p = 0 has gradient 0",
        norm_rules,
    ),
    Composition::new(
        "normalize",
        "y = x / max(‖x‖ₚ, ε), the norm over the axes",
        || {
            let draw = Draw::Distinct;
            vec![
                Case::new("p = 2", &[(&[3, 4], draw)], |graph, x| {
                    graph.normalize(x[0], 2.0, &[1], 1e-12)
                }),
                Case::new("p = 3", &[(&[2, 3], draw)], |graph, x| {
                    graph.normalize(x[0], 3.0, &[0], 1e-12)
                }),
                Case::new("below ε", &[(&[4], draw)], |graph, x| {
                    graph.normalize(x[0], 2.0, &[0], 1e3)
                }),
            ]
        },
    )
    .rule("where the norm is below ε it counts as the constant ε; at ε as the norm", || {
        vec![
            Expectation::new(
                "zero",
                vector(&[0.0, 0.0]),
                |graph, x| graph.normalize(x[0], 2.0, &[0], 0.5),
                &[0.0, 0.0],
            )
            .gradients(&[&[2.0, 2.0]]),
            Expectation::new(
                "at ε",
                vector(&[3.0, 4.0]),
                |graph, x| graph.normalize(x[0], 2.0, &[0], 5.0),
                &[0.6, 0.8],
            )
            // c / n - x (c · x) / n³ with c = (1, 1), n = 5.
            .gradients(&[&[0.2 - 21.0 / 125.0, 0.2 - 28.0 / 125.0]]),
        ]
    }),
    Composition::new(
        "cosine_similarity",
        "y = Σ a b / (max(‖a‖, ε) max(‖b‖, ε)) along an axis, which is dropped; shapes broadcast",
        || {
            let draw = Draw::Distinct;
            vec![
                Case::new("rows", &[(&[2, 3], draw), (&[2, 3], draw)], |graph, x| {
                    graph.cosine_similarity(x[0], x[1], 1, 1e-8)
                }),
                Case::new("broadcast", &[(&[1, 2, 3], draw), (&[2, 1, 3], draw)], |graph, x| {
                    graph.cosine_similarity(x[0], x[1], 2, 1e-8)
                }),
            ]
        },
    )
    .rounding(
        1.0,
        1e-6,
        "the gradient to a is what is left of c b / (‖a‖ ‖b‖) after its part along a is taken \
         away; of a single value nothing is left but rounding",
    )
    .rule(
        "below ε the value is taken at ε and the norm is differentiated as if it were not (as in PyTorch); at zero it has gradient 0",
        || {
            let pair = |a: &[f64], b: &[f64]| {
                vec![Tensor::from_f64(&[2], a.to_vec()), Tensor::from_f64(&[2], b.to_vec())]
            };
            let build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError> =
                |graph, x| graph.cosine_similarity(x[0], x[1], 0, 10.0);
            vec![
                // â = a/10, b̂ = b/10; da = b̂/10 - (a · b̂)/100 · a/‖a‖.
                Expectation::new("below ε", pair(&[3.0, 4.0], &[1.0, 0.0]), build, &[0.03]).gradients(&[
                    &[0.01 - 0.003 * 0.6, -0.003 * 0.8],
                    &[0.03 - 0.003, 0.04],
                ]),
                Expectation::new("zero", pair(&[0.0, 0.0], &[6.0, 8.0]), build, &[0.0])
                    .gradients(&[&[0.06, 0.08], &[0.0, 0.0]]),
            ]
        },
    ),
];

fn norm_rules() -> Vec<Expectation> {
    vec![
        Expectation::new(
            "p = 2 at zero",
            vector(&[0.0, 0.0]),
            |graph, x| graph.vector_norm(x[0], 2.0, &[0]),
            &[0.0],
        )
        .gradients(&[&[0.0, 0.0]]),
        Expectation::new(
            "p = 2 with a zero",
            vector(&[0.0, -3.0]),
            |graph, x| graph.vector_norm(x[0], 2.0, &[0]),
            &[3.0],
        )
        .gradients(&[&[0.0, -1.0]]),
        Expectation::new(
            "p = 1/2 with a zero",
            vector(&[0.0, 4.0]),
            |graph, x| graph.vector_norm(x[0], 0.5, &[0]),
            &[4.0],
        )
        .gradients(&[&[0.0, 1.0]]),
        Expectation::new(
            "p = 4 at zero",
            vector(&[0.0, 0.0]),
            |graph, x| graph.vector_norm(x[0], 4.0, &[0]),
            &[0.0],
        )
        .gradients(&[&[0.0, 0.0]]),
        Expectation::new(
            "p = -1 with a zero",
            vector(&[0.0, 4.0]),
            |graph, x| graph.vector_norm(x[0], -1.0, &[0]),
            &[0.0],
        )
        .gradients(&[&[0.0, 0.0]]),
        Expectation::new(
            "p = ∞ with a tie",
            vector(&[-2.0, 1.0, 2.0]),
            |graph, x| graph.vector_norm(x[0], INFINITY, &[0]),
            &[2.0],
        )
        .gradients(&[&[-0.5, 0.0, 0.5]]),
        Expectation::new(
            "p = -∞ with a tie",
            vector(&[-2.0, 1.0, -1.0]),
            |graph, x| graph.vector_norm(x[0], -INFINITY, &[0]),
            &[1.0],
        )
        .gradients(&[&[0.0, 0.5, -0.5]]),
        Expectation::new(
            "p = 0",
            vector(&[-2.0, 0.0, 3.0]),
            |graph, x| graph.vector_norm(x[0], 0.0, &[0]),
            &[2.0],
        )
        .gradients(&[&[0.0, 0.0, 0.0]]),
        Expectation::new(
            "nothing",
            vector(&[]),
            |graph, x| graph.vector_norm(x[0], 2.0, &[0]),
            &[0.0],
        ),
    ]
}

impl Graph {
    /// (Σ |x|ᵖ)^(1/p) over `axes`, which are dropped, for any p: 0 counts the
    /// elements that are not 0, ∞ and -∞ give the largest and the smallest |x|.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice; `order` NaN; a negative
    /// or infinite `order` over nothing, for which there is no norm.
    #[track_caller]
    pub fn vector_norm(&self, x: NodeId, order: f64, axes: &[usize]) -> Result<NodeId, GraphError> {
        let count = self.extent("vector_norm", x, axes)?;
        if order.is_nan() || (count == 0 && (order < 0.0 || order.is_infinite())) {
            let message = format!("there is no norm of order {order} over {count} elements");
            return Err(self.error("vector_norm", &[x], message));
        }
        if order == 0.0 {
            return self.count_nonzero(x, axes);
        }
        if order == 1.0 || count == 1 {
            // The size of a single element, whatever the order: exactly.
            let size = self.abs(x)?;
            return self.sum(size, axes);
        }
        if order == 2.0 {
            let square = self.square(x)?;
            let sum = self.sum(square, axes)?;
            return self.root_or_zero(sum);
        }
        let size = self.abs(x)?;
        if order.is_infinite() {
            return if order > 0.0 { self.max(size, axes) } else { self.min(size, axes) };
        }
        // Powers are taken of what is not 0; there they have derivatives.
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let edge = if order > 0.0 { zero } else { self.scalar(INFINITY)? };
        let is_zero = self.equal(size, zero)?;
        let safe = self.select(is_zero, one, size)?;
        let exponent = self.scalar(order)?;
        let power = self.pow(safe, exponent)?;
        let power = self.select(is_zero, edge, power)?;
        let sum = self.sum(power, axes)?;
        let vanishes = self.equal(sum, edge)?;
        let safe = self.select(vanishes, one, sum)?;
        let inverse = self.scalar(1.0 / order)?;
        let norm = self.pow(safe, inverse)?;
        self.select(vanishes, zero, norm)
    }

    /// x / max(‖x‖, `epsilon`), with the norm of the given order over `axes`.
    ///
    /// # Errors
    /// As [`Graph::vector_norm`].
    #[track_caller]
    pub fn normalize(
        &self,
        x: NodeId,
        order: f64,
        axes: &[usize],
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let norm = self.vector_norm(x, order, axes)?;
        let least = self.scalar(epsilon)?;
        let below = self.greater(least, norm)?;
        let norm = self.select(below, least, norm)?;
        let norm = self.restore_axes(norm, &self.shape(x), axes)?;
        self.div(x, norm)
    }

    /// The cosine of the angle between `a` and `b` along `axis` of the shape
    /// they broadcast to; it is dropped. Norms below `epsilon` count as
    /// `epsilon`. Each is divided by its own norm first: their product may
    /// overflow where the cosine does not.
    ///
    /// # Errors
    /// Shapes that do not broadcast, an axis that does not exist.
    #[track_caller]
    pub fn cosine_similarity(
        &self,
        a: NodeId,
        b: NodeId,
        axis: usize,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let Some(shape) = broadcast(&self.shape(a), &self.shape(b)) else {
            let message = "the shapes do not broadcast".to_owned();
            return Err(self.error("cosine_similarity", &[a, b], message));
        };
        // A 0-d tensor is its own only element.
        let axes: &[usize] = if shape.is_empty() && axis == 0 { &[] } else { &[axis] };
        let mut directions = [a, b];
        for x in &mut directions {
            let full = self.expand(*x, &shape)?;
            let norm = self.vector_norm(full, 2.0, axes)?;
            let least = self.scalar(epsilon)?;
            let clamped = self.maximum(norm, least)?;
            let norm = self.straight_through(clamped, norm)?;
            let norm = self.restore_axes(norm, &shape, axes)?;
            *x = self.div(full, norm)?;
        }
        let product = self.mul(directions[0], directions[1])?;
        self.sum(product, axes)
    }
}
