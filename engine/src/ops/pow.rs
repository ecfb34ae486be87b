//! `pow`: power of two tensors, element by element, with broadcasting.

use super::pointwise::{Binary, binary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

/// y = aᵇ
pub static POW: Binary = Binary {
    info: OpInfo {
        name: "pow",
        formula: "y = aᵇ",
        gradient: Gradient::Product(
            "c · b · aᵇ⁻¹ to a (0 where b = 0), c · y · ln a to b (0 where a = 0 ≤ b)",
        ),
        rule: Some(
            "x⁰ = 1 for every x, NaN included; a < 0 with b not an integer gives NaN; the derivative in a at b = 0 and the one in b at a = 0 ≤ b are 0",
        ),
        kernels: || vec![elementwise::POW.status()],
        cases: || binary_cases(Draw::Uniform(0.5, 2.0), |graph, x| graph.pow(x[0], x[1])),
    },
    kernel: &elementwise::POW,
    vjp: |graph, vjp| {
        let [a, b] = [vjp.inputs[0], vjp.inputs[1]];
        let zero = graph.scalar(0.0)?;
        let to_a = vjp.needs[0].then(|| {
            // 0 · aᵇ⁻¹ would be NaN for b = 0 where a is 0 or NaN: the power is
            // taken of 1 there, so that further derivatives are numbers too.
            let one = graph.scalar(1.0)?;
            let constant = graph.equal(b, zero)?;
            let magnitude = graph.abs(a)?;
            let regular = graph.greater(magnitude, zero)?;
            let edge = graph.select(regular, zero, constant)?;
            let base = graph.select(edge, one, a)?;
            let less = graph.sub(b, one)?;
            let power = graph.pow(base, less)?;
            let slope = graph.mul(b, power)?;
            let slope = graph.select(edge, zero, slope)?;
            graph.mul(vjp.cotangent, slope)
        });
        let to_b = vjp.needs[1].then(|| {
            // Likewise, y · ln 1 = 0 where a = 0 ≤ b.
            let one = graph.scalar(1.0)?;
            let power = graph.greater_equal(b, zero)?;
            let origin = graph.equal(a, zero)?;
            let edge = graph.mul(origin, power)?;
            let base = graph.select(edge, one, a)?;
            let log = graph.log(base)?;
            let slope = graph.mul(vjp.output, log)?;
            graph.mul(vjp.cotangent, slope)
        });
        Ok([to_a.transpose()?, to_b.transpose()?])
    },
};

impl Graph {
    /// y = aᵇ, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn pow(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        self.append(&POW, &[a, b])
    }
}
