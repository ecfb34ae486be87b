//! Losses of classes and of labels.

use super::Reduction;
use crate::check::values::Expectation;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const UNIT: Draw = Draw::Uniform(0.1, 0.9);

pub(in crate::compositions) const ALL: &[Composition] = &[
    Composition::new(
        "negative_log_likelihood",
        "y = -w[t] x[t] for log-probabilities x and the class t, reduced; the mean is over Σ w[t]",
        || {
            vec![
                Case::new(
                    "weights, mean",
                    &[(&[4, 3], DRAW), (&[4], Draw::Index(3)), (&[3], UNIT)],
                    |graph, x| {
                        let options = ClassLoss { weight: Some(x[2]), ..ClassLoss::default() };
                        graph.negative_log_likelihood(x[0], x[1], &options)
                    },
                ),
                Case::new(
                    "one ignored, none",
                    &[(&[2, 3, 2], DRAW), (&[2, 2], Draw::Index(3))],
                    |graph, x| {
                        let options = ClassLoss {
                            ignore: Some(1),
                            reduction: Reduction::None,
                            ..ClassLoss::default()
                        };
                        graph.negative_log_likelihood(x[0], x[1], &options)
                    },
                ),
            ]
        },
    )
    .rule(
        "an ignored sample has loss and gradient 0 and no part in the mean; a mean of none is NaN; a class that does not exist gives NaN",
        likelihood_rules,
    ),
    Composition::new(
        "cross_entropy",
        "y = negative_log_likelihood(log_softmax(x)), for classes or their probabilities",
        || {
            vec![
                Case::new("plain", &[(&[3, 4], DRAW), (&[3], Draw::Index(4))], |graph, x| {
                    graph.cross_entropy(x[0], x[1], &ClassLoss::default())
                }),
                Case::new(
                    "everything",
                    &[(&[2, 3, 2], DRAW), (&[2, 2], Draw::Index(3)), (&[3], UNIT)],
                    |graph, x| {
                        let options = ClassLoss {
                            weight: Some(x[2]),
                            ignore: Some(0),
                            smoothing: 0.2,
                            reduction: Reduction::Sum,
                        };
                        graph.cross_entropy(x[0], x[1], &options)
                    },
                ),
                Case::new(
                    "probabilities",
                    &[(&[2, 3], DRAW), (&[2, 3], UNIT), (&[3], UNIT)],
                    |graph, x| {
                        let options = ClassLoss {
                            weight: Some(x[2]),
                            smoothing: 0.1,
                            ..ClassLoss::default()
                        };
                        graph.cross_entropy(x[0], x[1], &options)
                    },
                ),
            ]
        },
    )
    .rule("as negative_log_likelihood's; the mean over probabilities is over the samples", || {
        let third = 1.0 / 3.0;
        vec![
            Expectation::new(
                "one of two ignored",
                vec![Tensor::from_f64(&[2, 3], vec![0.0; 6]), Tensor::from_i32(&[2], vec![-100, 2])],
                |graph, x| {
                    let options = ClassLoss { ignore: Some(-100), ..ClassLoss::default() };
                    graph.cross_entropy(x[0], x[1], &options)
                },
                &[3f64.ln()],
            )
            .gradients(&[&[0.0, 0.0, 0.0, third, third, third - 1.0]]),
            Expectation::new(
                "a half smoothed away",
                vec![Tensor::from_f64(&[3], vec![0.0; 3]), Tensor::from_i32(&[], vec![0])],
                |graph, x| {
                    let options = ClassLoss { smoothing: 0.5, ..ClassLoss::default() };
                    graph.cross_entropy(x[0], x[1], &options)
                },
                &[3f64.ln()],
            )
            .gradients(&[&[third - 0.5 - 0.5 / 3.0, third - 0.5 / 3.0, third - 0.5 / 3.0]]),
        ]
    }),
    Composition::new(
        "axis_cross_entropy",
        "y = mean over samples of Σ over axes of -Σ t log_softmax(x) / Σ t",
        || {
            vec![Case::new("two axes", &[(&[3, 5], DRAW), (&[3, 5], UNIT)], |graph, x| {
                graph.axis_cross_entropy(x[0], x[1], &[3, 2])
            })]
        },
    )
    .rule("a sample without a target in an axis counts nothing there", || {
        vec![
            Expectation::new(
                "no target",
                vec![
                    Tensor::from_f64(&[1, 4], vec![0.0; 4]),
                    Tensor::from_f64(&[1, 4], vec![0.0, 0.0, 0.0, 1.0]),
                ],
                |graph, x| {
                    let target = graph.detach(x[1])?;
                    graph.axis_cross_entropy(x[0], target, &[2, 2])
                },
                &[2f64.ln()],
            )
            .gradients(&[&[0.0, 0.0, 0.5, -0.5], &[0.0; 4]]),
        ]
    }),
];

fn likelihood_rules() -> Vec<Expectation> {
    let scores = || Tensor::from_f64(&[2, 3], vec![-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
    vec![
        Expectation::new(
            "one ignored",
            vec![scores(), Tensor::from_i32(&[2], vec![-100, 2])],
            |graph, x| {
                let options = ClassLoss { ignore: Some(-100), ..ClassLoss::default() };
                graph.negative_log_likelihood(x[0], x[1], &options)
            },
            &[6.0],
        )
        .gradients(&[&[0.0, 0.0, 0.0, 0.0, 0.0, -1.0]]),
        Expectation::new(
            "all ignored",
            vec![scores(), Tensor::from_i32(&[2], vec![-100, -100])],
            |graph, x| {
                let options = ClassLoss { ignore: Some(-100), ..ClassLoss::default() };
                graph.negative_log_likelihood(x[0], x[1], &options)
            },
            &[f64::NAN],
        ),
        Expectation::new(
            "all ignored, summed",
            vec![scores(), Tensor::from_i32(&[2], vec![-100, -100])],
            |graph, x| {
                let options = ClassLoss {
                    ignore: Some(-100),
                    reduction: Reduction::Sum,
                    ..ClassLoss::default()
                };
                graph.negative_log_likelihood(x[0], x[1], &options)
            },
            &[0.0],
        )
        .gradients(&[&[0.0; 6]]),
        Expectation::new(
            "weights count in the mean",
            vec![
                scores(),
                Tensor::from_i32(&[2], vec![0, 1]),
                Tensor::from_f64(&[3], vec![1.0, 3.0, 5.0]),
            ],
            |graph, x| {
                let weight = Some(graph.detach(x[2])?);
                let options = ClassLoss { weight, ..ClassLoss::default() };
                graph.negative_log_likelihood(x[0], x[1], &options)
            },
            &[(1.0 + 15.0) / 4.0],
        )
        .gradients(&[&[-0.25, 0.0, 0.0, 0.0, -0.75, 0.0], &[0.0; 3]]),
        Expectation::new(
            "a class that does not exist",
            vec![scores(), Tensor::from_i32(&[2], vec![3, 0])],
            |graph, x| {
                let options = ClassLoss { reduction: Reduction::None, ..ClassLoss::default() };
                graph.negative_log_likelihood(x[0], x[1], &options)
            },
            &[f64::NAN, 4.0],
        ),
    ]
}

/// What a loss over classes takes besides scores and targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassLoss {
    /// A weight for each class.
    pub weight: Option<NodeId>,
    /// Targets of this index do not count; it need not be a class. It says
    /// nothing of targets given as probabilities.
    pub ignore: Option<i32>,
    /// The share of a target's mass that is spread evenly over the classes
    /// (Szegedy et al., "Rethinking the Inception Architecture", 2016).
    pub smoothing: f64,
    /// What becomes of the losses of the samples.
    pub reduction: Reduction,
}

impl Graph {
    /// The score that the target's class has, negated. The classes are the
    /// second dimension of `log_probabilities`, or the only one; `targets`
    /// (i32) has the other dimensions.
    ///
    /// # Errors
    /// Shapes that do not fit, smoothing outside [0, 1].
    #[track_caller]
    pub fn negative_log_likelihood(
        &self,
        log_probabilities: NodeId,
        targets: NodeId,
        options: &ClassLoss,
    ) -> Result<NodeId, GraphError> {
        let scores = log_probabilities;
        let axis = self.class_axis("negative_log_likelihood", scores, options)?;
        let shape = self.shape(scores);
        let classes = shape[axis];
        let mut places = shape.clone();
        places.remove(axis);
        if self.shape(targets) != places || self.ty(targets).dtype != DType::I32 {
            let message = format!("the targets must be i32 classes of shape {places:?}");
            return Err(self.error("negative_log_likelihood", &[scores, targets], message));
        }
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let ignored = match options.ignore {
            Some(label) => {
                let labels = self.cast(targets)?;
                let label = self.scalar(f64::from(label))?;
                Some(self.equal(labels, label)?)
            }
            None => None,
        };
        // What is ignored may lie outside of the classes, where a gather gives
        // NaN; it is put aside before anything is made of it.
        let counted = |graph: &Graph, x| match ignored {
            Some(ignored) => graph.select(ignored, zero, x),
            None => Ok(x),
        };
        let mut index_shape = shape;
        index_shape[axis] = 1;
        let index = self.reshape(targets, &index_shape)?;
        let picked = self.gather(scores, axis, index)?;
        let picked = self.reshape(picked, &places)?;
        let picked = counted(self, picked)?;
        let mut each = self.neg(picked)?;
        let mut counts = ignored.map(|_| counted(self, one)).transpose()?;
        if let Some(weight) = options.weight {
            let flat = self.reshape(targets, &[places.iter().product()])?;
            let own = self.gather(weight, 0, flat)?;
            let own = self.reshape(own, &places)?;
            let own = counted(self, own)?;
            each = self.mul(own, each)?;
            counts = Some(own);
        }
        if options.smoothing > 0.0 {
            let weighted = self.weigh_classes(scores, axis, options)?;
            let total = self.sum(weighted, &[axis])?;
            let spread = self.scale(total, -options.smoothing / classes as f64)?;
            let spread = counted(self, spread)?;
            let sharp = self.scale(each, 1.0 - options.smoothing)?;
            each = self.add(sharp, spread)?;
        }
        match (options.reduction, counts) {
            (Reduction::Mean, Some(counts)) => {
                let sum = self.sum_all(each)?;
                let count = self.sum_all(counts)?;
                self.div(sum, count)
            }
            (reduction, _) => self.reduce_losses(each, reduction),
        }
    }

    /// The cross-entropy of the softmax of `logits` with `targets`: i32 classes
    /// as in [`Graph::negative_log_likelihood`], or probabilities of the shape
    /// of the logits, whose mean is over samples whatever the weights.
    ///
    /// # Errors
    /// Shapes that do not fit, smoothing outside [0, 1].
    #[track_caller]
    pub fn cross_entropy(
        &self,
        logits: NodeId,
        targets: NodeId,
        options: &ClassLoss,
    ) -> Result<NodeId, GraphError> {
        let axis = self.class_axis("cross_entropy", logits, options)?;
        let log = self.log_softmax(logits, axis)?;
        if self.ty(targets).dtype == DType::I32 {
            return self.negative_log_likelihood(log, targets, options);
        }
        if self.shape(targets) != self.shape(logits) {
            let message = "probabilities must have the shape of the logits".to_owned();
            return Err(self.error("cross_entropy", &[logits, targets], message));
        }
        let mut targets = targets;
        if options.smoothing > 0.0 {
            let sharp = self.scale(targets, 1.0 - options.smoothing)?;
            let even = options.smoothing / self.shape(logits)[axis] as f64;
            targets = self.offset(sharp, even)?;
        }
        let weighted = self.weigh_classes(log, axis, options)?;
        let likelihood = self.likelihood(weighted, targets, axis)?;
        let each = self.neg(likelihood)?;
        self.reduce_losses(each, options.reduction)
    }

    /// Per-axis softmax cross-entropy: for each axis of the screen,
    /// -Σ t log softmax(y) / Σ t, summed over the axes, averaged over samples.
    /// `axes` are the lengths of the axes, which follow each other in the
    /// outputs [samples, Σ axes]; several targets in an axis share its mass.
    ///
    /// # Errors
    /// Shapes of outputs and targets that differ or do not hold the axes.
    #[track_caller]
    pub fn axis_cross_entropy(
        &self,
        outputs: NodeId,
        targets: NodeId,
        axes: &[usize],
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(outputs);
        if shape.len() != 2 || shape[1] != axes.iter().sum() || self.shape(targets) != shape {
            let message = format!("outputs and targets must be [samples, {axes:?} in all]");
            return Err(self.error("axis_cross_entropy", &[outputs, targets], message));
        }
        let mut start = 0;
        let mut total: Option<NodeId> = None;
        for length in axes {
            let logits = self.narrow(outputs, 1, start, 1, *length)?;
            let target = self.narrow(targets, 1, start, 1, *length)?;
            let log = self.log_softmax(logits, 1)?;
            let likelihood = self.likelihood(log, target, 1)?;
            // A sample without a target in the axis counts nothing, not NaN.
            let mass = self.sum(target, &[1])?;
            let tiny = self.scalar(1e-12)?;
            let mass = self.maximum(mass, tiny)?;
            let normalised = self.div(likelihood, mass)?;
            let mean = self.mean_all(normalised)?;
            let loss = self.neg(mean)?;
            total = Some(match total {
                Some(total) => self.add(total, loss)?,
                None => loss,
            });
            start += length;
        }
        total.ok_or_else(|| self.error("axis_cross_entropy", &[outputs], "no axes".to_owned()))
    }

    /// The dimension of the classes, once the options fit the scores.
    #[track_caller]
    fn class_axis(
        &self,
        op: &str,
        scores: NodeId,
        options: &ClassLoss,
    ) -> Result<usize, GraphError> {
        let shape = self.shape(scores);
        let axis = usize::from(shape.len() > 1);
        let Some(classes) = shape.get(axis) else {
            let message = "the scores have no dimension of classes".to_owned();
            return Err(self.error(op, &[scores], message));
        };
        if !(0.0..=1.0).contains(&options.smoothing) {
            let message = format!("smoothing must be in [0, 1], not {}", options.smoothing);
            return Err(self.error(op, &[scores], message));
        }
        match options.weight {
            Some(weight) if self.shape(weight) != [*classes] => {
                let message = format!("there must be {classes} weights");
                Err(self.error(op, &[scores, weight], message))
            }
            _ => Ok(axis),
        }
    }

    /// `scores` times the weights of their classes.
    #[track_caller]
    fn weigh_classes(
        &self,
        scores: NodeId,
        axis: usize,
        options: &ClassLoss,
    ) -> Result<NodeId, GraphError> {
        let Some(weight) = options.weight else { return Ok(scores) };
        let mut along = vec![1; self.shape(scores).len()];
        along[axis] = self.shape(scores)[axis];
        let weight = self.reshape(weight, &along)?;
        self.mul(scores, weight)
    }

    /// Σ t x along an axis.
    #[track_caller]
    fn likelihood(&self, x: NodeId, target: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let product = self.mul(target, x)?;
        self.sum(product, &[axis])
    }
}
