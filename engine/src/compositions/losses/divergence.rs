//! Divergences between distributions.

use super::Reduction;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

pub(in crate::compositions) const ALL: &[Composition] = &[
    Composition::new(
        "kl_divergence",
        "y = t (ln t - x) for a target t, or exp(t) (t - x) for a target ln t, reduced",
        || {
            let (log, draw) = (Draw::Uniform(-2.0, 0.0), Draw::Uniform(0.2, 1.0));
            vec![
                Case::new("probabilities", &[(&[2, 3], log), (&[2, 3], draw)], |graph, x| {
                    graph.kl_divergence(x[0], x[1], false, Reduction::Mean)
                }),
                Case::new("logarithms", &[(&[2, 3], log), (&[2, 3], log)], |graph, x| {
                    graph.kl_divergence(x[0], x[1], true, Reduction::BatchMean)
                }),
            ]
        },
    )
    .rule("0 ln 0 = 0; the gradient of t ln t is taken as 0 at t = 0", || {
        vec![
            Expectation::new(
                "a target of 0",
                vec![
                    Tensor::from_f64(&[2], vec![-1.0, -2.0]),
                    Tensor::from_f64(&[2], vec![0.0, 1.0]),
                ],
                |graph, x| graph.kl_divergence(x[0], x[1], false, Reduction::Sum),
                &[2.0],
            )
            .gradients(&[&[0.0, -1.0], &[1.0, 3.0]]),
        ]
    }),
    Composition::new(
        "jensen_shannon",
        "y = Σ (p ln(p/m) + q ln(q/m)) / 2 over the axes, m = (p + q) / 2, reduced",
        || {
            let draw = Draw::Uniform(0.2, 1.0);
            vec![Case::new("rows", &[(&[2, 3], draw), (&[2, 3], draw)], |graph, x| {
                graph.jensen_shannon(x[0], x[1], &[1], Reduction::None)
            })]
        },
    )
    .rule(
        "0 ln 0 = 0, a term with gradient 0; distributions that never meet are ln 2 apart",
        || {
            vec![
                Expectation::new(
                    "apart",
                    vec![
                        Tensor::from_f64(&[3], vec![1.0, 0.0, 0.0]),
                        Tensor::from_f64(&[3], vec![0.0, 1.0, 0.0]),
                    ],
                    |graph, x| graph.jensen_shannon(x[0], x[1], &[0], Reduction::Sum),
                    &[std::f64::consts::LN_2],
                )
                .gradients(&[
                    &[0.5 * std::f64::consts::LN_2, -0.5, 0.0],
                    &[-0.5, 0.5 * std::f64::consts::LN_2, 0.0],
                ]),
            ]
        },
    ),
];

impl Graph {
    /// The Kullback–Leibler divergence, term by term, of a distribution with
    /// the logarithms `log_probabilities` from `target`, which is given by
    /// probabilities or (`log_target`) by their logarithms. The shapes
    /// broadcast; [`Reduction::BatchMean`] is the divergence as defined,
    /// averaged over samples.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn kl_divergence(
        &self,
        log_probabilities: NodeId,
        target: NodeId,
        log_target: bool,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let each = if log_target {
            let difference = self.sub(target, log_probabilities)?;
            let probability = self.exp(target)?;
            self.mul(probability, difference)?
        } else {
            let one = self.scalar(1.0)?;
            let entropy = self.relative_entropy(target, one)?;
            let cross = self.mul(target, log_probabilities)?;
            self.sub(entropy, cross)?
        };
        self.reduce_losses(each, reduction)
    }

    /// The Jensen–Shannon divergence of two distributions, given by their
    /// probabilities over `axes` (Lin, "Divergence Measures Based on the
    /// Shannon Entropy", 1991), in nats: 0 to ln 2. Reduced over what the axes
    /// leave.
    ///
    /// # Errors
    /// Shapes that do not broadcast, an axis that does not exist.
    #[track_caller]
    pub fn jensen_shannon(
        &self,
        p: NodeId,
        q: NodeId,
        axes: &[usize],
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let sum = self.add(p, q)?;
        let middle = self.scale(sum, 0.5)?;
        let first = self.relative_entropy(p, middle)?;
        let second = self.relative_entropy(q, middle)?;
        let both = self.add(first, second)?;
        let total = self.sum(both, axes)?;
        let each = self.scale(total, 0.5)?;
        self.reduce_losses(each, reduction)
    }

    /// p ln(p / base), which is 0 with gradient 0 where p = 0. The logarithm is
    /// of the quotient, so that what is equal cancels exactly.
    #[track_caller]
    fn relative_entropy(&self, p: NodeId, base: NodeId) -> Result<NodeId, GraphError> {
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let absent = self.equal(p, zero)?;
        let present = self.select(absent, one, p)?;
        let base = self.select(absent, one, base)?;
        let ratio = self.div(present, base)?;
        let log = self.log(ratio)?;
        let product = self.mul(present, log)?;
        self.select(absent, zero, product)
    }
}
