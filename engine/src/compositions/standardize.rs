//! Standardization: what norms and statistics are made of.

use super::norms::FEW;
use crate::graph::{Graph, GraphError, NodeId};

/// Channels of at least so many pixels have their moments taken in one pass.
const FEWEST_PIXELS: usize = 16;

impl Graph {
    /// (x - mean) / √(variance + epsilon), the statistics being those of the
    /// values along `axes` (the variance without Bessel's correction).
    ///
    /// Of few values, say two, the gradient is far smaller than what it is the
    /// difference of: in single precision nothing would be left of it. So up to
    /// 32 values are standardized twice, which changes no value. Centring
    /// twice in the backward pass as in the forward one leaves no mean behind,
    /// and with s² = variance + epsilon, z = x̂ / s and q² = mean of z² +
    /// epsilon / s², which is 1, the gradient of z / q contains what rounding
    /// left along z and takes it away in the second step back.
    ///
    /// # Errors
    /// Axes that do not exist.
    #[track_caller]
    pub fn standardize(
        &self,
        x: NodeId,
        axes: &[usize],
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let (centred, variance) = self.centre(x, axes)?;
        self.standardize_centred(centred, variance, epsilon, axes)
    }

    #[track_caller]
    pub(super) fn standardize_centred(
        &self,
        centred: NodeId,
        variance: NodeId,
        epsilon: f64,
        axes: &[usize],
    ) -> Result<NodeId, GraphError> {
        let y = self.divide_by_deviation(centred, variance, epsilon, axes)?;
        if self.count(y, axes) > FEW {
            return Ok(y);
        }
        let (y, _) = self.centre(y, axes)?;
        Ok(y)
    }

    /// x / √(m + epsilon), m being the mean of x² along `axes`.
    #[track_caller]
    pub(super) fn divide_by_deviation(
        &self,
        x: NodeId,
        mean: NodeId,
        epsilon: f64,
        axes: &[usize],
    ) -> Result<NodeId, GraphError> {
        let inverse = self.rsqrt(self.offset(mean, epsilon)?)?;
        let y = self.mul(x, inverse)?;
        if self.count(y, axes) > FEW {
            return Ok(y);
        }
        let left = self.scale(self.square(inverse)?, epsilon)?;
        let one = self.add(self.mean_square(y, axes)?, left)?;
        self.mul(y, self.rsqrt(one)?)
    }

    /// x / √(mean of x² + epsilon) along `axes`.
    #[track_caller]
    pub(crate) fn divide_by_root_mean_square(
        &self,
        x: NodeId,
        axes: &[usize],
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let mean = self.mean_square(x, axes)?;
        self.divide_by_deviation(x, mean, epsilon, axes)
    }

    /// Each group of channels standardized.
    #[track_caller]
    pub(crate) fn standardize_groups(
        &self,
        x: NodeId,
        groups: usize,
        epsilon: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        if groups == shape[1] && shape.len() > 2 {
            return self.standardize(x, &(2..shape.len()).collect::<Vec<_>>(), epsilon);
        }
        let each = shape[1] / groups.max(1) * shape[2..].iter().product::<usize>();
        let y = self.reshape(x, &[shape[0], groups, each])?;
        self.reshape(self.standardize(y, &[2], epsilon)?, &shape)
    }

    /// x minus its mean over `axes`, and the variance over them, which keeps its
    /// axes as dimensions of size 1.
    #[track_caller]
    pub(super) fn centre(&self, x: NodeId, axes: &[usize]) -> Result<(NodeId, NodeId), GraphError> {
        let [_, centred, variance] = self.centred(x, axes)?;
        Ok((centred, variance))
    }

    /// The mean, x minus its mean, and the variance. By two passes, for the
    /// variance of centred values does not cancel; or, of channels large enough,
    /// by the kernel that takes both in one.
    #[track_caller]
    pub(super) fn centred(&self, x: NodeId, axes: &[usize]) -> Result<[NodeId; 3], GraphError> {
        let shape = self.shape(x);
        let pixels = shape.iter().skip(2).product::<usize>();
        if axes == batch_axes(&shape) && pixels >= FEWEST_PIXELS && self.count(x, axes) > FEW {
            let [mean, variance] = self.channel_moments(x)?;
            return Ok([mean, self.sub(x, mean)?, variance]);
        }
        let mean = self.mean(x, axes)?;
        let mean = self.restore_axes(mean, &shape, axes)?;
        let centred = self.sub(x, mean)?;
        Ok([mean, centred, self.mean_square(centred, axes)?])
    }

    /// [`Graph::moments`] made of means.
    #[track_caller]
    pub(crate) fn plain_moments(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let axes = batch_axes(&shape);
        let mean = self.mean(x, &axes)?;
        let centred = self.sub(x, self.restore_axes(mean, &shape, &axes)?)?;
        let variance = self.mean(self.square(centred)?, &axes)?;
        self.concat(&[mean, variance], 0)
    }

    /// The mean of x² over `axes`, which stay as dimensions of size 1.
    #[track_caller]
    pub(super) fn mean_square(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let mean = self.mean(self.square(x)?, axes)?;
        self.restore_axes(mean, &self.shape(x), axes)
    }

    pub(super) fn count(&self, x: NodeId, axes: &[usize]) -> usize {
        let shape = self.shape(x);
        axes.iter().map(|axis| shape[*axis]).product()
    }
}

/// Every axis but that of the channels.
pub(super) fn batch_axes(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).filter(|axis| *axis != 1).collect()
}
