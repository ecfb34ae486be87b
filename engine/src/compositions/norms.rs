//! Normalization.

use super::standardize::batch_axes;
use crate::check::values::Expectation;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::ops::AveragePool2d;
use crate::ops::norm::{Norm, Over};
use crate::tensor::Tensor;

/// The state slots of a batch norm's running statistics.
#[derive(Clone, Copy, Debug)]
pub struct RunningStatistics {
    /// Mean of each channel.
    pub mean: NodeId,
    /// Variance of each channel (with Bessel's correction, as in PyTorch).
    pub variance: NodeId,
    /// Weight of the newest batch, in (0, 1].
    pub momentum: f64,
}

/// Groups of at most so many values are standardized twice; see
/// [`Graph::standardize`].
pub(super) const FEW: usize = 32;
/// Rows of at most so many values are normed by one kernel: 4 MiB.
const LONGEST: usize = 1 << 20;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "standardize",
        "y = (x - mean) / √(variance + epsilon) over some axes",
        || {
            vec![
                Case::new("few values", &[(&[3, 4], DRAW)], |g, x| g.standardize(x[0], &[1], 0.1)),
                Case::new("many values", &[(&[2, 5, 8], DRAW)], |g, x| {
                    g.standardize(x[0], &[1, 2], 0.1)
                }),
            ]
        },
    )
    .rule("without any spread 0; without epsilon as well, not a number", || {
        let same = || vec![Tensor::from_f64(&[1, 2], vec![3.0, 3.0])];
        vec![
            Expectation::new(
                "no spread",
                same(),
                |g, x| g.standardize(x[0], &[1], 0.25),
                &[0.0; 2],
            )
            .gradients(&[&[0.0; 2]]),
            Expectation::new(
                "no epsilon",
                same(),
                |g, x| g.standardize(x[0], &[1], 0.0),
                &[f64::NAN; 2],
            ),
        ]
    }),
    Composition::new(
        "layer_norm",
        "y = (x - mean) / √(variance + epsilon) · w + b over the last dimensions",
        || {
            let shapes: [(&[usize], Draw); 3] =
                [(&[2, 3, 2], DRAW), (&[3, 2], DRAW), (&[3, 2], DRAW)];
            vec![
                Case::new("two dimensions", &shapes, |g, x| {
                    g.layer_norm_over(x[0], &[3, 2], Some(x[1]), Some(x[2]), 0.1)
                }),
                Case::new("one dimension", &[(&[3, 4], DRAW), (&[4], DRAW)], |g, x| {
                    g.layer_norm(x[0], x[1], x[1], 0.1)
                }),
            ]
        },
    ),
    Composition::new(
        "rms_norm",
        "y = x / √(mean of x² + epsilon) · w over the last dimensions",
        || {
            vec![Case::new("with weight", &[(&[2, 3, 2], DRAW), (&[3, 2], DRAW)], |g, x| {
                g.rms_norm(x[0], &[3, 2], Some(x[1]), Some(0.1))
            })]
        },
    )
    .rounding(
        1.0,
        1e-6,
        "the gradient to x is what is left of c w / rms after its part along x is taken away; of \
         a single value nothing is left but rounding",
    ),
    Composition::new(
        "group_norm",
        "y = (x - mean) / √(variance + epsilon) · w + b over each group of channels",
        || {
            let shapes: [(&[usize], Draw); 3] = [(&[2, 4, 3], DRAW), (&[4], DRAW), (&[4], DRAW)];
            vec![Case::new("two groups", &shapes, |g, x| {
                g.group_norm(x[0], 2, Some(x[1]), Some(x[2]), 0.1)
            })]
        },
    ),
    Composition::new(
        "instance_norm",
        "y = (x - mean) / √(variance + epsilon) · w + b over each channel of each example",
        || {
            let shapes: [(&[usize], Draw); 2] = [(&[2, 2, 3, 2], DRAW), (&[2], DRAW)];
            vec![Case::new("with weight", &shapes, |g, x| {
                g.instance_norm(x[0], Some(x[1]), None, 0.1)
            })]
        },
    ),
    Composition::new(
        "batch_norm",
        "y = (x - mean) / √(variance + epsilon) · w + b over each channel of the batch",
        || {
            let shapes: [(&[usize], Draw); 3] = [(&[3, 2, 2], DRAW), (&[2], DRAW), (&[2], DRAW)];
            vec![
                Case::new("sequences", &shapes, |g, x| {
                    g.batch_norm_of(x[0], Some(x[1]), Some(x[2]), 0.1)
                }),
                Case::new("vectors, plain", &[(&[4, 3], DRAW)], |g, x| {
                    g.batch_norm_of(x[0], None, None, 0.1)
                }),
            ]
        },
    ),
    Composition::new(
        "batch_norm_evaluation",
        "y = (x - m) / √(v + epsilon) · w + b with the running statistics m and v",
        || {
            let shapes: [(&[usize], Draw); 4] =
                [(&[2, 2, 3], DRAW), (&[2], DRAW), (&[2], Draw::Uniform(0.5, 1.5)), (&[2], DRAW)];
            vec![Case::new("with weight", &shapes, |g, x| {
                let running = RunningStatistics { mean: x[1], variance: x[2], momentum: 0.1 };
                g.batch_norm_evaluation(x[0], x[3], None, running, 0.1)
            })]
        },
    ),
    Composition::new(
        "local_response_norm",
        "y = x / (k + α · mean of x² over the neighbouring channels)^β",
        || {
            vec![
                Case::new("odd width", &[(&[2, 4, 3], DRAW)], |g, x| {
                    g.local_response_norm(x[0], 3, 0.5, 0.75, 1.0)
                }),
                Case::new("even width", &[(&[1, 3, 2, 2], DRAW)], |g, x| {
                    g.local_response_norm(x[0], 2, 0.5, 0.75, 2.0)
                }),
            ]
        },
    ),
];

impl Graph {
    /// Layer norm over the last dimension (Ba, Kiros and Hinton, 2016):
    /// (x - mean) / √(variance + epsilon) · weight + bias.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn layer_norm(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: NodeId,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let last = &shape[shape.len().saturating_sub(1)..];
        self.layer_norm_over(x, last, Some(weight), Some(bias), epsilon)
    }

    /// [`Graph::layer_norm`] over the last dimensions, whose sizes are given;
    /// weight and bias, if any, have those sizes.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn layer_norm_over(
        &self,
        x: NodeId,
        sizes: &[usize],
        weight: Option<NodeId>,
        bias: Option<NodeId>,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let axes = self.last_axes("layer_norm", x, sizes)?;
        if self.has_kernel(x, &axes) {
            let weight = self.weights_or("layer_norm", weight, sizes, 1.0)?;
            let bias = self.weights_or("layer_norm", bias, sizes, 0.0)?;
            let norm = Norm { over: Over::Last(sizes.len()), centred: true, epsilon };
            return self.norm(x, weight, Some(bias), norm);
        }
        let mut y = self.standardize(x, &axes, epsilon)?;
        if let Some(weight) = weight {
            y = self.mul(y, self.of_sizes("layer_norm", weight, sizes)?)?;
        }
        if let Some(bias) = bias {
            y = self.add(y, self.of_sizes("layer_norm", bias, sizes)?)?;
        }
        Ok(y)
    }

    /// x / √(mean of x² + epsilon) · weight over the last dimensions, whose
    /// sizes are given (Zhang and Sennrich, "Root Mean Square Layer
    /// Normalization", 2019). Without `epsilon` it is the distance from 1 to
    /// the next number of the graph's type.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn rms_norm(
        &self,
        x: NodeId,
        sizes: &[usize],
        weight: Option<NodeId>,
        epsilon: Option<f64>,
    ) -> Result<NodeId, GraphError> {
        let axes = self.last_axes("rms_norm", x, sizes)?;
        let epsilon = epsilon.unwrap_or(match self.float() {
            DType::F32 => f64::from(f32::EPSILON),
            _ => f64::EPSILON,
        });
        if self.has_kernel(x, &axes) {
            let weight = self.weights_or("rms_norm", weight, sizes, 1.0)?;
            let norm = Norm { over: Over::Last(sizes.len()), centred: false, epsilon };
            return self.norm(x, weight, None, norm);
        }
        let y = self.divide_by_root_mean_square(x, &axes, epsilon)?;
        match weight {
            Some(weight) => self.mul(y, self.of_sizes("rms_norm", weight, sizes)?),
            None => Ok(y),
        }
    }

    /// Group norm (Wu and He, 2018): each example's channels, the second
    /// dimension, in `groups` groups, each standardized; then weight and bias
    /// of each channel.
    ///
    /// # Errors
    /// Sizes that do not fit, or channels that are not a multiple of `groups`.
    #[track_caller]
    pub fn group_norm(
        &self,
        x: NodeId,
        groups: usize,
        weight: Option<NodeId>,
        bias: Option<NodeId>,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let (Some(channels), true) = (shape.get(1), groups > 0) else {
            let message = "takes two dimensions or more, and a group".to_owned();
            return Err(self.error("group_norm", &[x], message));
        };
        if channels % groups != 0 {
            let message = format!("{channels} channels are not {groups} equal groups");
            return Err(self.error("group_norm", &[x], message));
        }
        self.norm_groups("group_norm", x, groups, [weight, bias], epsilon)
    }

    #[track_caller]
    fn norm_groups(
        &self,
        op: &str,
        x: NodeId,
        groups: usize,
        [weight, bias]: [Option<NodeId>; 2],
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let each = shape[1..].iter().product::<usize>() / groups.max(1);
        if !(FEW + 1..=LONGEST).contains(&each) {
            let y = self.standardize_groups(x, groups, epsilon)?;
            return self.channel_affine(y, weight, bias);
        }
        let weight = self.weights_or(op, weight, &shape[1..2], 1.0)?;
        let bias = self.weights_or(op, bias, &shape[1..2], 0.0)?;
        let norm = Norm { over: Over::Groups(groups), centred: true, epsilon };
        self.norm(x, weight, Some(bias), norm)
    }

    /// Instance norm (Ulyanov, Vedaldi and Lempitsky, 2016): each channel of
    /// each example standardized; then weight and bias of each channel. With
    /// running statistics instead it is [`Graph::batch_norm_evaluation`].
    ///
    /// # Errors
    /// Sizes that do not fit, or fewer than three dimensions.
    #[track_caller]
    pub fn instance_norm(
        &self,
        x: NodeId,
        weight: Option<NodeId>,
        bias: Option<NodeId>,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let rank = self.shape(x).len();
        if rank < 3 {
            let message = "takes three dimensions or more".to_owned();
            return Err(self.error("instance_norm", &[x], message));
        }
        let channels = self.shape(x)[1];
        self.norm_groups("instance_norm", x, channels, [weight, bias], epsilon)
    }

    /// Batch norm over every dimension but the second (Ioffe and Szegedy, 2015),
    /// with the statistics of the batch; the running statistics get their new
    /// values as state updates.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn batch_norm(
        &self,
        x: NodeId,
        weight: impl Into<Option<NodeId>>,
        bias: impl Into<Option<NodeId>>,
        running: RunningStatistics,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let axes = batch_axes(&shape);
        let [mean, centred, variance] = self.centred(x, &axes)?;
        let count: usize = axes.iter().map(|axis| shape[*axis]).product();
        let channels = self.shape(running.mean);
        let mean = self.reshape(mean, &channels)?;
        let unbiased = self.reshape(variance, &channels)?;
        let unbiased = self.scale(unbiased, count as f64 / (count.max(2) - 1) as f64)?;
        for (slot, new) in [(running.mean, mean), (running.variance, unbiased)] {
            let old = self.scale(slot, 1.0 - running.momentum)?;
            let share = self.scale(new, running.momentum)?;
            let blended = self.add(old, share)?;
            self.update(slot, blended)?;
        }
        self.channel_scaled(centred, variance, epsilon, [weight.into(), bias.into()])
    }

    /// [`Graph::batch_norm`] without running statistics.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn batch_norm_of(
        &self,
        x: NodeId,
        weight: Option<NodeId>,
        bias: Option<NodeId>,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let (centred, variance) = self.centre(x, &batch_axes(&shape))?;
        self.channel_scaled(centred, variance, epsilon, [weight, bias])
    }

    /// Batch norm with the running statistics, for evaluation.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn batch_norm_evaluation(
        &self,
        x: NodeId,
        weight: impl Into<Option<NodeId>>,
        bias: impl Into<Option<NodeId>>,
        running: RunningStatistics,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let mean = self.on_channels(running.mean, x)?;
        let variance = self.on_channels(running.variance, x)?;
        let centred = self.sub(x, mean)?;
        let scale = self.channel_scale(variance, epsilon, weight.into(), x)?;
        self.channel_affine(self.mul(centred, scale)?, None, bias)
    }

    /// Centred values over the root of their variance, times weight, plus bias. The
    /// factors of a channel are multiplied first: there are fewer of them.
    #[track_caller]
    fn channel_scaled(
        &self,
        centred: NodeId,
        variance: NodeId,
        epsilon: f64,
        [weight, bias]: [Option<NodeId>; 2],
    ) -> Result<NodeId, GraphError> {
        let axes = batch_axes(&self.shape(centred));
        if self.count(centred, &axes) <= FEW {
            let y = self.standardize_centred(centred, variance, epsilon, &axes)?;
            return self.channel_affine(y, weight, bias);
        }
        let scale = self.channel_scale(variance, epsilon, weight, centred)?;
        self.channel_affine(self.mul(centred, scale)?, None, bias)
    }

    /// weight / √(variance + epsilon).
    #[track_caller]
    fn channel_scale(
        &self,
        variance: NodeId,
        epsilon: f64,
        weight: Option<NodeId>,
        like: NodeId,
    ) -> Result<NodeId, GraphError> {
        let inverse = self.rsqrt(self.offset(variance, epsilon)?)?;
        let Some(weight) = weight else { return Ok(inverse) };
        self.mul(inverse, self.on_channels(weight, like)?)
    }

    /// Local response norm (Krizhevsky, Sutskever and Hinton, 2012): x divided
    /// by (k + alpha · the mean of x² over `width` channels)^beta. Channels are
    /// the second dimension; the window reaches ⌊width/2⌋ before the channel,
    /// and those that are not there count as 0.
    ///
    /// # Errors
    /// Fewer than three dimensions, or a width of 0.
    #[track_caller]
    pub fn local_response_norm(
        &self,
        x: NodeId,
        width: usize,
        alpha: f64,
        beta: f64,
        k: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let (&[batch, channels, ref rest @ ..], true) = (shape.as_slice(), width > 0) else {
            let message = "takes two dimensions or more, and a width".to_owned();
            return Err(self.error("local_response_norm", &[x], message));
        };
        let pixels = rest.iter().product();
        let padded = channels + width - 1;
        let square = self.embed(self.square(x)?, 1, width / 2, 1, padded)?;
        let square = self.reshape(square, &[batch, 1, padded, pixels])?;
        let windows =
            AveragePool2d { kernel: [width, 1], stride: [1, 1], ..AveragePool2d::default() };
        let mean = self.reshape(self.average_pool2d(square, windows)?, &shape)?;
        let base = self.offset(self.scale(mean, alpha)?, k)?;
        self.div(x, self.pow(base, self.scalar(beta)?)?)
    }

    /// x · weight + bias with one weight and one bias a channel, the second
    /// dimension of `x`, where there are any.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn channel_affine(
        &self,
        x: NodeId,
        weight: impl Into<Option<NodeId>>,
        bias: impl Into<Option<NodeId>>,
    ) -> Result<NodeId, GraphError> {
        let mut y = x;
        if let Some(weight) = weight.into() {
            y = self.mul(y, self.on_channels(weight, x)?)?;
        }
        if let Some(bias) = bias.into() {
            y = self.add(y, self.on_channels(bias, x)?)?;
        }
        Ok(y)
    }

    /// A vector of one value a channel, shaped to broadcast along the second
    /// dimension of `like`; one dimension without elements has no channels.
    ///
    /// # Errors
    /// Another number of channels.
    #[track_caller]
    pub fn on_channels(&self, vector: NodeId, like: NodeId) -> Result<NodeId, GraphError> {
        let mut shape = vec![1; self.shape(like).len()];
        if self.shape(like) == [0] {
            shape = vec![0];
        }
        if let (Some(channels), Some(size)) = (shape.get_mut(1), self.shape(like).get(1)) {
            *channels = *size;
        }
        self.reshape(vector, &shape)
    }

    /// Whether the norm over `axes`, the last ones, is one kernel: rows are short
    /// enough for a cache, and long enough to be standardized once.
    fn has_kernel(&self, x: NodeId, axes: &[usize]) -> bool {
        (FEW + 1..=LONGEST).contains(&self.count(x, axes))
    }

    /// Weights of these sizes, or as many constants.
    #[track_caller]
    fn weights_or(
        &self,
        op: &str,
        weights: Option<NodeId>,
        sizes: &[usize],
        value: f64,
    ) -> Result<NodeId, GraphError> {
        match weights {
            Some(weights) => self.of_sizes(op, weights, sizes),
            None => self.expand(self.scalar(value)?, sizes),
        }
    }

    /// The last axes, which have the sizes given.
    #[track_caller]
    fn last_axes(&self, op: &str, x: NodeId, sizes: &[usize]) -> Result<Vec<usize>, GraphError> {
        let shape = self.shape(x);
        if !shape.ends_with(sizes) || sizes.is_empty() {
            let message = format!("the last dimensions should be {sizes:?}");
            return Err(self.error(op, &[x], message));
        }
        Ok((shape.len() - sizes.len()..shape.len()).collect())
    }

    #[track_caller]
    fn of_sizes(&self, op: &str, x: NodeId, sizes: &[usize]) -> Result<NodeId, GraphError> {
        if self.shape(x) == sizes {
            return Ok(x);
        }
        Err(self.error(op, &[x], format!("weight and bias should be {sizes:?}")))
    }
}
