//! Scaling, means, and the bookkeeping of reduced dimensions.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Composition;
use crate::shape::broadcast;

pub(super) const ALL: &[Composition] = &[];

impl Graph {
    /// `x` times a number.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn scale(&self, x: NodeId, factor: f64) -> Result<NodeId, GraphError> {
        let factor = self.scalar(factor)?;
        self.mul(x, factor)
    }

    /// `x` plus a number.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn offset(&self, x: NodeId, amount: f64) -> Result<NodeId, GraphError> {
        let amount = self.scalar(amount)?;
        self.add(x, amount)
    }

    /// The sum of all elements, without dimensions.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sum_all(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let axes: Vec<_> = (0..self.shape(x).len()).collect();
        self.sum(x, &axes)
    }

    /// The mean over `axes`, which are dropped. The mean of nothing is NaN.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn mean(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let sum = self.sum(x, axes)?;
        let shape = self.shape(x);
        let count: usize = axes.iter().map(|axis| shape[*axis]).product();
        self.scale(sum, 1.0 / count as f64)
    }

    /// The mean of all elements, without dimensions.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn mean_all(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let axes: Vec<_> = (0..self.shape(x).len()).collect();
        self.mean(x, &axes)
    }

    /// A reduced tensor with its `axes` back as dimensions of size 1, so that it
    /// broadcasts against `shape`, the shape before the reduction.
    ///
    /// # Errors
    /// `reduced` is not a reduction of `shape` over `axes`.
    #[track_caller]
    pub fn restore_axes(
        &self,
        reduced: NodeId,
        shape: &[usize],
        axes: &[usize],
    ) -> Result<NodeId, GraphError> {
        let mut kept = shape.to_vec();
        for axis in axes {
            kept[*axis] = 1;
        }
        self.reshape(reduced, &kept)
    }

    /// `x` summed down to `shape`, which broadcasts to the shape of `x`: the
    /// adjoint of broadcasting.
    ///
    /// # Errors
    /// `shape` does not broadcast to the shape of `x`.
    #[track_caller]
    pub fn sum_to(&self, x: NodeId, shape: &[usize]) -> Result<NodeId, GraphError> {
        let from = self.shape(x);
        if from == shape {
            return Ok(x);
        }
        if broadcast(shape, &from).as_ref() != Some(&from) {
            let message = format!("{shape:?} does not broadcast to its shape");
            return Err(self.error("sum_to", &[x], message));
        }
        let missing = from.len().saturating_sub(shape.len());
        let stretched =
            |axis: &usize| *axis < missing || (shape[*axis - missing] == 1 && from[*axis] != 1);
        let axes: Vec<_> = (0..from.len()).filter(stretched).collect();
        let sum = self.sum(x, &axes)?;
        self.reshape(sum, shape)
    }
}
