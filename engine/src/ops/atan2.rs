//! `atan2`: angle of a point of the plane, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = the angle of the point of width b and height a
pub static ATAN2: Binary = Binary {
    info: OpInfo {
        name: "atan2",
        formula: "y = the angle of the point (b, a) from the positive axis of b, in (-π, π]",
        gradient: Gradient::Product("c · b / (a² + b²) to a, -c · a / (a² + b²) to b"),
        rule: Some(
            "signs of zero count, as in C: ±0 over b < 0 or -0 is ±π, over b > 0 or +0 it is ±0; at the origin the derivatives are 0",
        ),
        kernels: || vec![elementwise::ATAN2.status()],
        cases: || binary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.atan2(x[0], x[1])),
    },
    kernel: &elementwise::ATAN2,
    vjp: |graph, vjp| {
        let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
        let squares = [graph.square(a)?, graph.square(b)?];
        let norm = graph.add(squares[0], squares[1])?;
        // 0 instead of 0/0 at the origin, where there is no derivative.
        let (zero, one) = (graph.scalar(0.0)?, graph.scalar(1.0)?);
        let origin = graph.equal(norm, zero)?;
        let norm = graph.select(origin, one, norm)?;
        let share = graph.div(vjp.cotangent, norm)?;
        let to_a = vjp.needs[0].then(|| graph.mul(share, b));
        let to_b = vjp.needs[1].then(|| {
            let product = graph.mul(share, a)?;
            graph.neg(product)
        });
        Ok([to_a.transpose()?, to_b.transpose()?])
    },
};

impl Graph {
    /// The angle of the point of width `b` and height `a`, element by element;
    /// shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn atan2(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&ATAN2, &[a, b])
    }
}
