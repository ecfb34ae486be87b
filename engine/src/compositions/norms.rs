//! Normalization.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];

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
        let last = self.shape(x).len().saturating_sub(1);
        let (centred, variance) = self.centre(x, &[last])?;
        let normalised = self.divide_by_deviation(centred, variance, epsilon)?;
        let scaled = self.mul(normalised, weight)?;
        self.add(scaled, bias)
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
        weight: NodeId,
        bias: NodeId,
        running: RunningStatistics,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let axes: Vec<_> = (0..shape.len()).filter(|axis| *axis != 1).collect();
        let mean = self.mean(x, &axes)?;
        let (centred, variance) = self.centre(x, &axes)?;
        let count: usize = axes.iter().map(|axis| shape[*axis]).product();
        let unbiased = self.reshape(variance, &self.shape(mean))?;
        let unbiased = self.scale(unbiased, count as f64 / (count.max(2) - 1) as f64)?;
        for (slot, new) in [(running.mean, mean), (running.variance, unbiased)] {
            let old = self.scale(slot, 1.0 - running.momentum)?;
            let share = self.scale(new, running.momentum)?;
            let blended = self.add(old, share)?;
            self.update(slot, blended)?;
        }
        let normalised = self.divide_by_deviation(centred, variance, epsilon)?;
        self.channel_affine(normalised, weight, bias)
    }

    /// Batch norm with the running statistics, for evaluation.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn batch_norm_evaluation(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: NodeId,
        running: RunningStatistics,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let mean = self.on_channels(running.mean, x)?;
        let variance = self.on_channels(running.variance, x)?;
        let centred = self.sub(x, mean)?;
        let normalised = self.divide_by_deviation(centred, variance, epsilon)?;
        self.channel_affine(normalised, weight, bias)
    }

    /// x · weight + bias with one weight and one bias a channel, the second
    /// dimension of `x`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn channel_affine(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: NodeId,
    ) -> Result<NodeId, GraphError> {
        let weight = self.on_channels(weight, x)?;
        let bias = self.on_channels(bias, x)?;
        let scaled = self.mul(x, weight)?;
        self.add(scaled, bias)
    }

    /// A vector of one value a channel, shaped to broadcast along the second
    /// dimension of `like`.
    ///
    /// # Errors
    /// Another number of channels.
    #[track_caller]
    pub fn on_channels(&self, vector: NodeId, like: NodeId) -> Result<NodeId, GraphError> {
        let mut shape = vec![1; self.shape(like).len()];
        if let (Some(channels), Some(size)) = (shape.get_mut(1), self.shape(like).get(1)) {
            *channels = *size;
        }
        self.reshape(vector, &shape)
    }

    /// x minus its mean over `axes`, and the variance over them; the variance
    /// keeps its axes as dimensions of size 1. Two passes: the variance of
    /// centred values does not cancel.
    #[track_caller]
    fn centre(&self, x: NodeId, axes: &[usize]) -> Result<(NodeId, NodeId), GraphError> {
        let shape = self.shape(x);
        let mean = self.mean(x, axes)?;
        let mean = self.restore_axes(mean, &shape, axes)?;
        let centred = self.sub(x, mean)?;
        let square = self.square(centred)?;
        let variance = self.mean(square, axes)?;
        Ok((centred, self.restore_axes(variance, &shape, axes)?))
    }

    #[track_caller]
    fn divide_by_deviation(
        &self,
        centred: NodeId,
        variance: NodeId,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shifted = self.offset(variance, epsilon)?;
        let inverse = self.rsqrt(shifted)?;
        self.mul(centred, inverse)
    }
}
