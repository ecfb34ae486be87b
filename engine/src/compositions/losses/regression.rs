//! Losses of a difference.

use super::Reduction;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Distinct;

fn pair(a: &[f64], b: &[f64]) -> Vec<Tensor> {
    vec![Tensor::from_f64(&[a.len()], a.to_vec()), Tensor::from_f64(&[b.len()], b.to_vec())]
}

pub(in crate::compositions) const ALL: &[Composition] = &[
    Composition::new("squared_error", "y = (x - t)², reduced", || {
        vec![
            Case::new("mean", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                graph.squared_error(x[0], x[1], Reduction::Mean)
            }),
            Case::new("broadcast, none", &[(&[2, 3], DRAW), (&[3], DRAW)], |graph, x| {
                graph.squared_error(x[0], x[1], Reduction::None)
            }),
            Case::new("batch mean", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                graph.squared_error(x[0], x[1], Reduction::BatchMean)
            }),
        ]
    }),
    Composition::new("absolute_error", "y = |x - t|, reduced", || {
        vec![Case::new("sum", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
            graph.absolute_error(x[0], x[1], Reduction::Sum)
        })]
    })
    .rule("the gradient at x = t is 0", || {
        vec![
            Expectation::new(
                "equal",
                pair(&[2.0, 5.0], &[2.0, 4.0]),
                |graph, x| graph.absolute_error(x[0], x[1], Reduction::Sum),
                &[1.0],
            )
            .gradients(&[&[0.0, 1.0], &[0.0, -1.0]]),
        ]
    }),
    Composition::new(
        "huber",
        "y = (x - t)² / 2 where |x - t| ≤ δ, else δ (|x - t| - δ/2), reduced",
        || {
            vec![
                Case::new("both sides", &[(&[3, 3], DRAW), (&[3, 3], DRAW)], |graph, x| {
                    graph.huber(x[0], x[1], 0.045, Reduction::None)
                }),
                Case::new("inside", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                    graph.huber(x[0], x[1], 10.0, Reduction::Mean)
                }),
            ]
        },
    )
    .rule("the two halves meet at δ with one slope, δ; at x = t the curvature is 1", || {
        vec![
            Expectation::new(
                "at δ, and far beyond",
                pair(&[3.0, f64::INFINITY], &[1.0, 0.0]),
                |graph, x| graph.huber(x[0], x[1], 2.0, Reduction::None),
                &[2.0, f64::INFINITY],
            )
            .gradients(&[&[2.0, 2.0], &[-2.0, -2.0]]),
            Expectation::new(
                "the gradient at x = t",
                pair(&[3.0], &[3.0]),
                |graph, x| {
                    let loss = graph.huber(x[0], x[1], 2.0, Reduction::Sum)?;
                    Ok(graph.gradient(loss, &[x[0]])?[0])
                },
                &[0.0],
            )
            .gradients(&[&[1.0], &[-1.0]]),
        ]
    }),
    Composition::new(
        "smooth_l1",
        "y = (x - t)² / 2β where |x - t| < β, else |x - t| - β/2, reduced",
        || {
            vec![
                Case::new("both sides", &[(&[3, 3], DRAW), (&[3, 3], DRAW)], |graph, x| {
                    graph.smooth_l1(x[0], x[1], 0.045, Reduction::None)
                }),
                Case::new("absolute", &[(&[2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                    graph.smooth_l1(x[0], x[1], 0.0, Reduction::Sum)
                }),
            ]
        },
    )
    .rule("the two halves meet at β with slope 1; β = 0 is the absolute error", || {
        vec![
            Expectation::new(
                "at β",
                pair(&[3.0, 1.5], &[1.0, 1.0]),
                |graph, x| graph.smooth_l1(x[0], x[1], 2.0, Reduction::None),
                &[1.0, 0.0625],
            )
            .gradients(&[&[1.0, 0.25], &[-1.0, -0.25]]),
            Expectation::new(
                "β = 0 at x = t",
                pair(&[3.0, 1.0], &[3.0, 2.0]),
                |graph, x| graph.smooth_l1(x[0], x[1], 0.0, Reduction::None),
                &[0.0, 1.0],
            )
            .gradients(&[&[0.0, -1.0], &[0.0, 1.0]]),
        ]
    }),
    Composition::new("hinge", "y = max(0, 1 - t x) for t = ±1, reduced", || {
        vec![Case::new("both sides", &[(&[4], DRAW), (&[4], DRAW)], |graph, x| {
            let far = graph.scale(x[0], 50.0)?;
            let zero = graph.scalar(0.0)?;
            let positive = graph.greater(x[1], zero)?;
            let signs = graph.scale(positive, 2.0)?;
            let signs = graph.offset(signs, -1.0)?;
            graph.hinge(far, signs, Reduction::None)
        })]
    })
    .rule("the gradient at t x = 1 is 0", || {
        vec![
            Expectation::new(
                "at the hinge, and inside",
                pair(&[-1.0, -0.5], &[-1.0, 1.0]),
                |graph, x| graph.hinge(x[0], x[1], Reduction::None),
                &[0.0, 1.5],
            )
            .gradients(&[&[0.0, -1.0], &[0.0, 0.5]]),
        ]
    }),
];

impl Graph {
    /// (x - t)². The shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn squared_error(
        &self,
        x: NodeId,
        target: NodeId,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let difference = self.sub(x, target)?;
        let square = self.square(difference)?;
        self.reduce_losses(square, reduction)
    }

    /// Mean squared error over all elements.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn mean_squared_error(
        &self,
        outputs: NodeId,
        targets: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.squared_error(outputs, targets, Reduction::Mean)
    }

    /// |x - t|. The shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn absolute_error(
        &self,
        x: NodeId,
        target: NodeId,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let difference = self.sub(x, target)?;
        let size = self.abs(difference)?;
        self.reduce_losses(size, reduction)
    }

    /// (x - t)²/2 up to a difference of `delta`, and on from there along the
    /// tangent (Huber, "Robust Estimation of a Location Parameter", 1964). The
    /// shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, a `delta` that is not above 0.
    #[track_caller]
    pub fn huber(
        &self,
        x: NodeId,
        target: NodeId,
        delta: f64,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        if delta.is_nan() || delta <= 0.0 {
            let message = format!("delta must be above 0, not {delta}");
            return Err(self.error("huber", &[x, target], message));
        }
        let difference = self.sub(x, target)?;
        if delta.is_infinite() {
            let square = self.square(difference)?;
            let half = self.scale(square, 0.5)?;
            return self.reduce_losses(half, reduction);
        }
        let size = self.abs(difference)?;
        let bound = self.scalar(delta)?;
        let inside = self.greater_equal(bound, size)?;
        // The square of a large difference may overflow where it is not used.
        let zero = self.scalar(0.0)?;
        let near = self.select(inside, difference, zero)?;
        let square = self.square(near)?;
        let half = self.scale(square, 0.5)?;
        let beyond = self.offset(size, -0.5 * delta)?;
        let line = self.scale(beyond, delta)?;
        let each = self.select(inside, half, line)?;
        self.reduce_losses(each, reduction)
    }

    /// [`Graph::huber`] over its `beta`: slope 1 in the far (Girshick, "Fast
    /// R-CNN", 2015); the absolute error for a `beta` of 0.
    ///
    /// # Errors
    /// Shapes that do not broadcast, a negative `beta`.
    #[track_caller]
    pub fn smooth_l1(
        &self,
        x: NodeId,
        target: NodeId,
        beta: f64,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        if beta == 0.0 {
            return self.absolute_error(x, target, reduction);
        }
        if !(beta.is_finite() && beta > 0.0) {
            let message = format!("beta must be a number of at least 0, not {beta}");
            return Err(self.error("smooth_l1", &[x, target], message));
        }
        let each = self.huber(x, target, beta, Reduction::None)?;
        let each = self.scale(each, 1.0 / beta)?;
        self.reduce_losses(each, reduction)
    }

    /// max(0, 1 - t x) for targets of 1 and -1: the margin of a support vector
    /// machine (Cortes and Vapnik, 1995). The shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn hinge(
        &self,
        x: NodeId,
        target: NodeId,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let margin = self.mul(x, target)?;
        let one = self.scalar(1.0)?;
        let missing = self.sub(one, margin)?;
        let each = self.relu(missing)?;
        self.reduce_losses(each, reduction)
    }
}
