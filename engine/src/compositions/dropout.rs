//! Dropout.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::Composition;

pub(super) const ALL: &[Composition] = &[];

impl Graph {
    /// `x` with each element zeroed with probability `rate` and the others
    /// divided by 1 - `rate` (Srivastava et al., "Dropout", JMLR 2014, in its
    /// inverted form). `seed` and `step` as in [`Graph::random_uniform`].
    ///
    /// # Errors
    /// A rate outside [0, 1).
    #[track_caller]
    pub fn dropout(
        &self,
        x: NodeId,
        rate: f64,
        seed: NodeId,
        step: NodeId,
    ) -> Result<NodeId, GraphError> {
        if !(0.0..1.0).contains(&rate) {
            let message = format!("the rate must be at least 0 and below 1, not {rate}");
            return Err(self.error("dropout", &[x], message));
        }
        if rate == 0.0 {
            return Ok(x);
        }
        let draw = self.random_uniform(&self.shape(x), seed, step)?;
        let rate_node = self.scalar(rate)?;
        let kept = self.greater_equal(draw, rate_node)?;
        let weight = self.scale(kept, 1.0 / (1.0 - rate))?;
        self.mul(x, weight)
    }
}
