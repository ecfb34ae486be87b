//! Random draws, reparameterized where the distribution has a gradient.
//!
//! Each draw is a fixed function of its parameters and of noise that depends on
//! no parameter ([`Graph::random_uniform`], [`Graph::random_normal`], with
//! `seed` and `step` as there), so its gradient is the function's (Kingma and
//! Welling, "Auto-Encoding Variational Bayes", 2014). What is discrete has no
//! such gradient; it is relaxed, or passes the gradient of a stand-in straight
//! through.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::broadcast;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const POSITIVE: Draw = Draw::Uniform(0.5, 1.5);
const SEED: (&[usize], Draw) = (&[2], Draw::Index(100));
const STEP: (&[usize], Draw) = (&[], Draw::Index(100));

pub(super) const ALL: &[Composition] = &[
    Composition::new("sample_normal", "y = mean + deviation n, n ~ normal(0, 1)", || {
        vec![Case::new(
            "a row of deviations",
            &[(&[3, 4], DRAW), (&[4], POSITIVE), SEED, STEP],
            |graph, x| graph.sample_normal(x[0], x[1], x[2], x[3]),
        )]
    }),
    Composition::new("sample_uniform", "y = low + (high - low) u, u ~ uniform in [0, 1)", || {
        vec![Case::new(
            "one bound for all",
            &[(&[3, 4], DRAW), (&[], POSITIVE), SEED, STEP],
            |graph, x| graph.sample_uniform(x[0], x[1], x[2], x[3]),
        )]
    }),
    Composition::new("sample_exponential", "y = -ln(1 - u) / rate, u ~ uniform in [0, 1)", || {
        vec![Case::new("rates", &[(&[3, 4], POSITIVE), SEED, STEP], |graph, x| {
            graph.sample_exponential(x[0], x[1], x[2])
        })]
    }),
    Composition::new(
        "sample_bernoulli",
        "y = 1 where u < p, else 0, u ~ uniform in [0, 1)",
        || {
            vec![Case::new(
                "probabilities",
                &[(&[3, 4], Draw::Uniform(0.1, 0.9)), SEED, STEP],
                |graph, x| graph.sample_bernoulli(x[0], x[1], x[2]),
            )]
        },
    ),
    Composition::new(
        "sample_bernoulli_through",
        "y = sample_bernoulli(p), differentiated as if it were p",
        || {
            vec![Case::new(
                "probabilities",
                &[(&[3, 4], Draw::Uniform(0.1, 0.9)), SEED, STEP],
                |graph, x| graph.sample_bernoulli_through(x[0], x[1], x[2]),
            )]
        },
    )
    .stated("c to p: the gradient of the mean in place of that of the draw"),
    Composition::new(
        "sample_relaxed_bernoulli",
        "y = σ((logit + ln u - ln(1 - u)) / temperature), u ~ uniform in (0, 1)",
        || {
            vec![Case::new("logits", &[(&[3, 4], DRAW), SEED, STEP], |graph, x| {
                graph.sample_relaxed_bernoulli(x[0], 0.7, x[1], x[2])
            })]
        },
    ),
    Composition::new("random_gumbel", "y = -ln(-ln u), u ~ uniform in (0, 1)", || {
        vec![Case::new("matrix", &[SEED, STEP], |graph, x| {
            graph.random_gumbel(&[3, 4], x[0], x[1])
        })]
    }),
    Composition::new(
        "sample_categorical",
        "y = argmax(logits + g) along an axis, g ~ Gumbel: i with probability softmax(logits)ᵢ",
        || {
            vec![Case::new("rows", &[(&[3, 4], DRAW), SEED, STEP], |graph, x| {
                graph.sample_categorical(x[0], 1, x[1], x[2])
            })]
        },
    ),
    Composition::new(
        "gumbel_softmax",
        "y = softmax((logits + g) / temperature) along an axis, g ~ Gumbel",
        || {
            vec![
                Case::new("rows", &[(&[3, 4], DRAW), SEED, STEP], |graph, x| {
                    graph.gumbel_softmax(x[0], 1, 0.7, x[1], x[2])
                }),
                Case::new("columns", &[(&[3, 4], DRAW), SEED, STEP], |graph, x| {
                    graph.gumbel_softmax(x[0], 0, 1.5, x[1], x[2])
                }),
            ]
        },
    ),
    Composition::new(
        "gumbel_softmax_through",
        "y = the one-hot vector of the largest of gumbel_softmax, differentiated as gumbel_softmax",
        || {
            vec![Case::new("rows", &[(&[3, 4], DRAW), SEED, STEP], |graph, x| {
                graph.gumbel_softmax_through(x[0], 1, 0.7, x[1], x[2])
            })]
        },
    )
    .stated("the gradient of the relaxed draw in place of that of the one-hot vector"),
];

impl Graph {
    /// Normal draws of the given means and standard deviations, which
    /// broadcast; both get a gradient.
    ///
    /// # Errors
    /// Shapes that do not broadcast; as [`Graph::random_normal`].
    #[track_caller]
    pub fn sample_normal(
        &self,
        mean: NodeId,
        deviation: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_of_both("sample_normal", mean, deviation)?;
        let noise = self.random_normal(&shape, seed, step)?;
        let spread = self.mul(deviation, noise)?;
        self.add(mean, spread)
    }

    /// Uniform draws between bounds, which broadcast; both get a gradient.
    ///
    /// # Errors
    /// Shapes that do not broadcast; as [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_uniform(
        &self,
        low: NodeId,
        high: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape_of_both("sample_uniform", low, high)?;
        let noise = self.random_uniform(&shape, seed, step)?;
        let range = self.sub(high, low)?;
        let part = self.mul(range, noise)?;
        self.add(low, part)
    }

    /// Exponential draws of the given rates, by inversion: the mean is 1/rate.
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_exponential(
        &self,
        rate: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noise = self.random_uniform(&self.shape(rate), seed, step)?;
        let one = self.scalar(1.0)?;
        // In (0, 1], exactly: the logarithm is finite.
        let rest = self.sub(one, noise)?;
        let log = self.log(rest)?;
        let unit = self.neg(log)?;
        self.div(unit, rate)
    }

    /// 1 with the given probabilities, else 0. No gradient.
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_bernoulli(
        &self,
        probability: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noise = self.random_uniform(&self.shape(probability), seed, step)?;
        self.greater(probability, noise)
    }

    /// [`Graph::sample_bernoulli`] with the gradient of the probability
    /// (Bengio, Léonard and Courville, 2013).
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_bernoulli_through(
        &self,
        probability: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let hard = self.sample_bernoulli(probability, seed, step)?;
        self.straight_through(hard, probability)
    }

    /// Draws in (0, 1) that are near 0 or 1 the more, the lower the temperature
    /// (binary concrete: Maddison, Mnih and Teh, "The Concrete Distribution",
    /// 2017). Above a half with probability σ(logit), at every temperature.
    ///
    /// # Errors
    /// A temperature that is not above 0; as [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_relaxed_bernoulli(
        &self,
        logits: NodeId,
        temperature: f64,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.check_temperature("sample_relaxed_bernoulli", logits, temperature)?;
        let noise = self.open_uniform(&self.shape(logits), seed, step)?;
        let one = self.scalar(1.0)?;
        let rest = self.sub(one, noise)?;
        let ratio = self.div(noise, rest)?;
        let logistic = self.log(ratio)?;
        let noisy = self.add(logits, logistic)?;
        let sharp = self.scale(noisy, 1.0 / temperature)?;
        self.sigmoid(sharp)
    }

    /// Independent draws of the standard Gumbel distribution.
    ///
    /// # Errors
    /// As [`Graph::random_uniform`].
    #[track_caller]
    pub fn random_gumbel(
        &self,
        shape: &[usize],
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noise = self.open_uniform(shape, seed, step)?;
        let log = self.log(noise)?;
        let waiting = self.neg(log)?;
        let log = self.log(waiting)?;
        self.neg(log)
    }

    /// Along `axis`, which is dropped, the `i32` index of a class drawn with
    /// the probabilities softmax(logits) (the Gumbel-max trick). No gradient.
    ///
    /// # Errors
    /// As [`Graph::argmax`] and [`Graph::random_uniform`].
    #[track_caller]
    pub fn sample_categorical(
        &self,
        logits: NodeId,
        axis: usize,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noisy = self.with_gumbel(logits, seed, step)?;
        self.argmax(noisy, axis)
    }

    /// Draws of probability vectors along `axis` that are near one-hot the
    /// more, the lower the temperature (Jang, Gu and Poole, "Categorical
    /// Reparameterization with Gumbel-Softmax", 2017; Maddison et al., 2017).
    ///
    /// # Errors
    /// A temperature that is not above 0, an axis that does not exist; as
    /// [`Graph::random_uniform`].
    #[track_caller]
    pub fn gumbel_softmax(
        &self,
        logits: NodeId,
        axis: usize,
        temperature: f64,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.check_temperature("gumbel_softmax", logits, temperature)?;
        let noisy = self.with_gumbel(logits, seed, step)?;
        let sharp = self.scale(noisy, 1.0 / temperature)?;
        self.softmax(sharp, axis)
    }

    /// The one-hot vector of the largest element of [`Graph::gumbel_softmax`],
    /// with the gradient of that ("straight-through" in Jang et al.).
    ///
    /// # Errors
    /// As [`Graph::gumbel_softmax`].
    #[track_caller]
    pub fn gumbel_softmax_through(
        &self,
        logits: NodeId,
        axis: usize,
        temperature: f64,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let soft = self.gumbel_softmax(logits, axis, temperature, seed, step)?;
        let shape = self.shape(soft);
        let winner = self.argmax(soft, axis)?;
        let winner = self.cast(winner)?;
        let winner = self.restore_axes(winner, &shape, &[axis])?;
        let mut along = vec![1; shape.len()];
        along[axis] = shape[axis];
        let places = self.iota(shape[axis])?;
        let places = self.reshape(places, &along)?;
        let hard = self.equal(winner, places)?;
        self.straight_through(hard, soft)
    }

    #[track_caller]
    fn with_gumbel(
        &self,
        logits: NodeId,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noise = self.random_gumbel(&self.shape(logits), seed, step)?;
        self.add(logits, noise)
    }

    /// Uniform draws without 0, which is drawn as 2⁻²⁵, half of the smallest
    /// other draw. (Half a step added to every draw would make 1 of the largest
    /// in f32.)
    #[track_caller]
    fn open_uniform(
        &self,
        shape: &[usize],
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        let noise = self.random_uniform(shape, seed, step)?;
        let least = self.scalar(2f64.powi(-25))?;
        self.maximum(noise, least)
    }

    #[track_caller]
    fn check_temperature(
        &self,
        op: &str,
        logits: NodeId,
        temperature: f64,
    ) -> Result<(), GraphError> {
        if temperature.is_finite() && temperature > 0.0 {
            return Ok(());
        }
        let message = format!("the temperature must be above 0, not {temperature}");
        Err(self.error(op, &[logits], message))
    }

    #[track_caller]
    fn shape_of_both(&self, op: &str, a: NodeId, b: NodeId) -> Result<Vec<usize>, GraphError> {
        match broadcast(&self.shape(a), &self.shape(b)) {
            Some(shape) => Ok(shape),
            None => Err(self.error(op, &[a, b], "the shapes do not broadcast".to_owned())),
        }
    }
}
