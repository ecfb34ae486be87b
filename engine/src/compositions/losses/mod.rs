//! Losses, one file a kind.

pub(super) mod binary;
pub(super) mod classification;
pub(super) mod divergence;
pub(super) mod overlap;
pub(super) mod regression;

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};

pub(super) const ALL: &[Composition] =
    &[Composition::new("weighted_loss", "y = w l, reduced; the mean is Σ w l / Σ w", || {
        let (draw, unit) = (Draw::Uniform(-1.0, 1.0), Draw::Uniform(0.5, 1.5));
        vec![
            Case::new("mean", &[(&[2, 3], draw), (&[2, 3], unit)], |graph, x| {
                graph.weighted_loss(x[0], x[1], Reduction::Mean)
            }),
            Case::new("broadcast, sum", &[(&[2, 3], draw), (&[3], unit)], |graph, x| {
                graph.weighted_loss(x[0], x[1], Reduction::Sum)
            }),
        ]
    })];

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// They are the result.
    None,
    /// Their mean; NaN of nothing. A loss with weights for the classes divides
    /// by the weights that counted.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum over the size of the first dimension, for losses that are a
    /// sum over the others.
    BatchMean,
}

impl Graph {
    /// The losses `each` times their weights; the mean is weighted. The shapes
    /// broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    #[track_caller]
    pub fn weighted_loss(
        &self,
        each: NodeId,
        weight: NodeId,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        let weighted = self.mul(each, weight)?;
        if reduction != Reduction::Mean {
            return self.reduce_losses(weighted, reduction);
        }
        let sum = self.sum_all(weighted)?;
        let full = self.expand(weight, &self.shape(weighted))?;
        let count = self.sum_all(full)?;
        self.div(sum, count)
    }

    /// The losses `each`, reduced.
    ///
    /// # Errors
    /// `each` is not floating-point.
    #[track_caller]
    pub(super) fn reduce_losses(
        &self,
        each: NodeId,
        reduction: Reduction,
    ) -> Result<NodeId, GraphError> {
        match reduction {
            Reduction::None => Ok(each),
            Reduction::Mean => self.mean_all(each),
            Reduction::Sum => self.sum_all(each),
            Reduction::BatchMean => {
                let sum = self.sum_all(each)?;
                // A batch of nothing has nothing to divide.
                let samples = self.shape(each).first().copied().unwrap_or(1).max(1);
                self.scale(sum, 1.0 / samples as f64)
            }
        }
    }
}
