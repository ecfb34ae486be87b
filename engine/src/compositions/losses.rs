//! Losses over the 64 + 64 outputs. Each is a mean over samples.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];

impl Graph {
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
            let product = self.mul(target, log)?;
            let likelihood = self.sum(product, &[1])?;
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

    /// Binary cross-entropy of logits, averaged over all elements:
    /// softplus(y) - t y, which is -t log σ(y) - (1 - t) log(1 - σ(y)) without
    /// overflow.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn binary_cross_entropy(
        &self,
        outputs: NodeId,
        targets: NodeId,
    ) -> Result<NodeId, GraphError> {
        let cost = self.softplus(outputs)?;
        let product = self.mul(targets, outputs)?;
        let each = self.sub(cost, product)?;
        self.mean_all(each)
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
        let difference = self.sub(outputs, targets)?;
        let square = self.square(difference)?;
        self.mean_all(square)
    }
}
