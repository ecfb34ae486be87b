//! `gelu`: the Gaussian error linear unit, and its slope times a cotangent.
//!
//! As a chain of a product, an error function, a sum and a product it lost all
//! digits where Φ is small, and its gradient computed Φ a second time beside an
//! exponential that Φ contains; see `formula.rs` of the kernels.

use super::pointwise::{Binary, Unary, binary_cases, unary_cases};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Draw, Gradient, OpInfo};
use speck_kernels::elementwise;

const DRAW: Draw = Draw::Uniform(-2.0, 2.0);

/// y = x Φ(x), Φ the normal distribution function
pub static GELU: Unary = Unary {
    info: OpInfo {
        name: "gelu",
        formula: "y = x Φ(x), Φ the normal distribution function",
        gradient: Gradient::Product("gelu_gradient"),
        rule: None,
        kernels: || vec![elementwise::GELU.status()],
        cases: || unary_cases(DRAW, |graph, x| graph.gelu(x[0])),
    },
    kernel: &elementwise::GELU,
    flops: 2,
    vjp: |graph, vjp| graph.append(&GRADIENT, &[vjp.inputs[0], vjp.cotangent]),
};

/// y = (Φ(x) + x φ(x)) c
pub static GRADIENT: Binary = Binary {
    info: OpInfo {
        name: "gelu_gradient",
        formula: "y = (Φ(a) + a φ(a)) b, φ the normal density",
        gradient: Gradient::Product("c b (2 - a²) φ(a) to a, c (Φ(a) + a φ(a)) to b"),
        rule: None,
        kernels: || vec![elementwise::GELU_GRADIENT.status()],
        cases: || binary_cases(DRAW, |graph, x| graph.append(&GRADIENT, &[x[0], x[1]])),
    },
    kernel: &elementwise::GELU_GRADIENT,
    vjp: |graph, vjp| {
        let [x, c] = [vjp.inputs[0], vjp.inputs[1]];
        let to_x = || {
            let square = graph.square(x)?;
            let density = graph.exp(graph.scale(square, -0.5)?)?;
            let root = (std::f64::consts::TAU).sqrt();
            let bend = graph.scale(graph.offset(graph.neg(square)?, 2.0)?, root.recip())?;
            let slope = graph.mul(graph.mul(density, bend)?, c)?;
            graph.mul(vjp.cotangent, slope)
        };
        let to_x = vjp.needs[0].then(to_x).transpose()?;
        let to_c = vjp.needs[1].then(|| graph.append(&GRADIENT, &[x, vjp.cotangent]));
        Ok([to_x, to_c.transpose()?])
    },
};

impl Graph {
    /// The Gaussian error linear unit x Φ(x), with the exact normal distribution
    /// function Φ (Hendrycks and Gimpel, 2016).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn gelu(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(&GELU, &[x])
    }
}
