//! Dropout.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};

pub(super) const ALL: &[Composition] = &[Composition::new(
    "dropout",
    "y = x b / (1 - rate) with b = 1 at the probability 1 - rate, else 0",
    || {
        let inputs: [(&[usize], Draw); 3] = [
            (&[4, 5], Draw::Uniform(-1.0, 1.0)),
            (&[2], Draw::Index(100)),
            (&[], Draw::Index(100)),
        ];
        vec![
            Case::new("a third", &inputs, |graph, x| {
                let x0 = graph.square(x[0])?;
                graph.dropout(x0, 0.3, x[1], x[2])
            }),
            Case::new("nothing dropped", &inputs, |graph, x| graph.dropout(x[0], 0.0, x[1], x[2])),
        ]
    },
)];

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
