//! Losses of labels that are there or not.

use super::Reduction;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const UNIT: Draw = Draw::Uniform(0.1, 0.9);

pub(in crate::compositions) const ALL: &[Composition] = &[
    Composition::new(
        "binary_cross_entropy_with_logits",
        "y = -w (v t ln σ(x) + (1 - t) ln(1 - σ(x))), reduced",
        || {
            vec![
                Case::new("plain", &[(&[2, 3], DRAW), (&[2, 3], UNIT)], |graph, x| {
                    let [x, t] = [x[0], x[1]];
                    graph.binary_cross_entropy_with_logits(x, t, None, None, Reduction::Mean)
                }),
                Case::new(
                    "both weights",
                    &[(&[2, 3], DRAW), (&[2, 3], UNIT), (&[3], UNIT), (&[2, 1], UNIT)],
                    |graph, x| {
                        let [w, v] = [Some(x[2]), Some(x[3])];
                        let none = Reduction::None;
                        graph.binary_cross_entropy_with_logits(x[0], x[1], w, v, none)
                    },
                ),
            ]
        },
    )
    .rule("logits however far out stay finite", || {
        vec![
            Expectation::new(
                "far out",
                vec![
                    Tensor::from_f64(&[3], vec![800.0, -800.0, 800.0]),
                    Tensor::from_f64(&[3], vec![1.0, 0.25, 0.0]),
                    Tensor::from_f64(&[], vec![2.0]),
                ],
                |graph, x| {
                    let weight = Some(graph.detach(x[2])?);
                    let sum = Reduction::Sum;
                    graph.binary_cross_entropy_with_logits(x[0], x[1], None, weight, sum)
                },
                &[400.0 + 800.0],
            )
            .gradients(&[&[0.0, -0.5, 1.0], &[-800.0, 1600.0, -800.0], &[0.0]]),
        ]
    }),
    Composition::new(
        "binary_cross_entropy",
        "y = mean of -(t ln σ(x) + (1 - t) ln(1 - σ(x)))",
        || {
            vec![Case::new("matrix", &[(&[2, 3], DRAW), (&[2, 3], UNIT)], |graph, x| {
                graph.binary_cross_entropy(x[0], x[1])
            })]
        },
    ),
    Composition::new(
        "focal",
        "y = -αₜ (1 - pₜ)^γ ln pₜ with pₜ = σ(x) for t = 1 and 1 - σ(x) for t = 0, reduced",
        || {
            vec![
                Case::new("balanced", &[(&[2, 3], DRAW), (&[2, 3], UNIT)], |graph, x| {
                    graph.focal(x[0], x[1], Some(0.25), 2.0, Reduction::None)
                }),
                Case::new("γ = 1/2", &[(&[4], DRAW), (&[4], UNIT)], |graph, x| {
                    graph.focal(x[0], x[1], None, 0.5, Reduction::Mean)
                }),
                Case::new("γ = 0", &[(&[4], DRAW), (&[4], UNIT)], |graph, x| {
                    graph.focal(x[0], x[1], None, 0.0, Reduction::Sum)
                }),
            ]
        },
    )
    .rule(
        "logits however far out stay finite, and what is certain and right has gradient 0",
        || {
            vec![
                Expectation::new(
                    "far out",
                    vec![
                        Tensor::from_f64(&[2], vec![800.0, -800.0]),
                        Tensor::from_f64(&[2], vec![1.0, 1.0]),
                    ],
                    |graph, x| {
                        let target = graph.detach(x[1])?;
                        graph.focal(x[0], target, None, 0.5, Reduction::None)
                    },
                    &[0.0, 800.0],
                )
                .gradients(&[&[0.0, -1.0], &[0.0, 0.0]]),
            ]
        },
    ),
];

impl Graph {
    /// The cross-entropy of σ(x) with the label t: -w (v t ln σ(x) +
    /// (1 - t) ln(1 - σ(x))), with `weight` w and `positive_weight` v, both 1
    /// if there are none. As -ln σ(x) is softplus(-x) and -ln(1 - σ(x)) is
    /// softplus(x) = x + softplus(-x), nothing overflows. The shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(
        &self,
        x: NodeId,
        target: NodeId,
        weight: Option<NodeId>,
        positive_weight: Option<NodeId>,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let mut each = match positive_weight {
            None => {
                let cost = self.softplus(x)?;
                let product = self.mul(target, x)?;
                self.sub(cost, product)?
            }
            Some(positive_weight) => {
                // (1 - t) x + (1 + (v - 1) t) softplus(-x)
                let one = self.scalar(1.0)?;
                let absent = self.sub(one, target)?;
                let line = self.mul(absent, x)?;
                let surplus = self.sub(positive_weight, one)?;
                let surplus = self.mul(surplus, target)?;
                let factor = self.add(one, surplus)?;
                let negated = self.neg(x)?;
                let cost = self.softplus(negated)?;
                let cost = self.mul(factor, cost)?;
                self.add(line, cost)?
            }
        };
        if let Some(weight) = weight {
            each = self.mul(each, weight)?;
        }
        self.reduce_losses(each, reduction)
    }

    /// [`Graph::binary_cross_entropy_with_logits`] without weights, averaged
    /// over all elements.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn binary_cross_entropy(
        &self,
        outputs: NodeId,
        targets: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.binary_cross_entropy_with_logits(outputs, targets, None, None, Reduction::Mean)
    }

    /// The focal loss of logits, -αₜ (1 - pₜ)^γ ln pₜ: what is classified well
    /// already weighs less (Lin et al., "Focal Loss for Dense Object
    /// Detection", 2017). αₜ is `alpha` for positives and 1 - `alpha` for
    /// negatives, 1 for both if there is none. Targets between 0 and 1 mix the
    /// factors of the two labels.
    ///
    /// # Errors
    /// Shapes that do not broadcast, a negative `gamma`.
    #[track_caller]
    pub fn focal(
        &self,
        x: NodeId,
        target: NodeId,
        alpha: Option<f64>,
        gamma: f64,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        if !(gamma.is_finite() && gamma >= 0.0) {
            let message = format!("gamma must be a number of at least 0, not {gamma}");
            return Err(self.error("focal", &[x, target], message));
        }
        let none = Reduction::None;
        let mut each = self.binary_cross_entropy_with_logits(x, target, None, None, none)?;
        if gamma > 0.0 {
            // 1 - pₜ = t σ(-x) + (1 - t) σ(x), without cancellation.
            let negated = self.neg(x)?;
            let missed = self.sigmoid(negated)?;
            let missed = self.mul(target, missed)?;
            let one = self.scalar(1.0)?;
            let absent = self.sub(one, target)?;
            let alarmed = self.sigmoid(x)?;
            let alarmed = self.mul(absent, alarmed)?;
            let doubt = self.add(missed, alarmed)?;
            // A power of 0 has no derivative below γ = 1; in f32 as in f64
            // this bound is far under what can count.
            let tiny = self.scalar(1e-30)?;
            let certain = self.greater(tiny, doubt)?;
            let doubt = self.select(certain, tiny, doubt)?;
            let exponent = self.scalar(gamma)?;
            let factor = self.pow(doubt, exponent)?;
            let zero = self.scalar(0.0)?;
            let factor = self.select(certain, zero, factor)?;
            each = self.mul(factor, each)?;
        }
        if let Some(alpha) = alpha {
            // 1 - α + (2α - 1) t
            let slope = self.scale(target, 2.0 * alpha - 1.0)?;
            let factor = self.offset(slope, 1.0 - alpha)?;
            each = self.mul(factor, each)?;
        }
        self.reduce_losses(each, reduction)
    }
}
