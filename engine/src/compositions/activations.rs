//! Smooth activations, and gates made of them.

use super::elementary::{at, of_one};
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;
use std::f64::consts::FRAC_2_PI;

const INF: f64 = f64::INFINITY;
const SIGNED: Draw = Draw::Uniform(-2.0, 2.0);

/// α and λ of SELU, the fixed point of mean 0 and variance 1 (Klambauer et al.,
/// "Self-normalizing neural networks", 2017).
const SELU: (f64, f64) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
/// How far SELU's negative part reaches down.
const SELU_FLOOR: f64 = SELU.0 * SELU.1;

pub(super) const ALL: &[Composition] = &[
    Composition::new("elu", "y = x where x > 0, else α (eˣ - 1)", || {
        of_one(Draw::Distinct, |graph, x| graph.elu(x[0], 0.7))
    })
    .rule("the derivative at 0 is that of the left side, α", || {
        vec![at(
            "at 0 and far out",
            &[&[-INF, -0.0, 0.0, 2.0, 1e4]],
            |graph, x| graph.elu(x[0], 0.5),
            &[-0.5, 0.0, 0.0, 2.0, 1e4],
            &[&[0.0, 0.5, 0.5, 1.0, 1.0]],
        )]
    }),
    Composition::new("celu", "y = x where x > 0, else α (exp(x / α) - 1)", || {
        of_one(Draw::Distinct, |graph, x| graph.celu(x[0], 0.7))
    })
    .rule("smooth at 0 for α > 0: both sides have the derivative 1", || {
        vec![at(
            "at 0 and far out",
            &[&[-INF, 0.0, 2.0, 1e4]],
            |graph, x| graph.celu(x[0], 0.5),
            &[-0.5, 0.0, 2.0, 1e4],
            &[&[0.0, 1.0, 1.0, 1.0]],
        )]
    }),
    Composition::new("selu", "y = λ x where x > 0, else λ α (eˣ - 1)", || {
        of_one(Draw::Distinct, |graph, x| graph.selu(x[0]))
    })
    .rule("the derivative at 0 is that of the left side, λ α", || {
        vec![at(
            "at 0 and far out",
            &[&[-INF, 0.0, 1.0]],
            |graph, x| graph.selu(x[0]),
            &[-SELU_FLOOR, 0.0, SELU.1],
            &[&[0.0, SELU_FLOOR, SELU.1]],
        )]
    }),
    Composition::new("gelu_tanh", "y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2", || {
        of_one(SIGNED, |graph, x| graph.gelu_tanh(x[0]))
    }),
    Composition::new("silu", "y = x sigmoid(x)", || of_one(SIGNED, |graph, x| graph.silu(x[0]))),
    Composition::new("mish", "y = x tanh(ln(1 + eˣ))", || {
        of_one(SIGNED, |graph, x| graph.mish(x[0]))
    }),
    Composition::new("logsigmoid", "y = -ln(1 + e⁻ˣ)", || {
        of_one(SIGNED, |graph, x| graph.logsigmoid(x[0]))
    }),
    Composition::new("softplus_above", "y = x where β x > t, else ln(1 + exp(β x)) / β", || {
        of_one(Draw::Distinct, |graph, x| graph.softplus_above(x[0], 3.0, 0.2))
    })
    .rule("where β x = t the curve still holds, with derivative sigmoid(β x)", || {
        vec![at(
            "at the threshold and above",
            &[&[-INF, 0.0, 0.5, 1e4]],
            |graph, x| graph.softplus_above(x[0], 2.0, 0.0),
            &[0.0, std::f64::consts::LN_2 / 2.0, 0.5, 1e4],
            &[&[0.0, 0.5, 1.0, 1.0]],
        )]
    }),
    Composition::new("softsign", "y = x / (1 + |x|)", || {
        of_one(Draw::Distinct, |graph, x| graph.softsign(x[0]))
    })
    .rule("the derivative at 0 is 1", || {
        vec![at(
            "at 0",
            &[&[-1.0, 0.0, 3.0]],
            |graph, x| graph.softsign(x[0]),
            &[-0.5, 0.0, 0.75],
            &[&[0.25, 1.0, 0.0625]],
        )]
    }),
    Composition::new("tanhshrink", "y = x - tanh x", || {
        of_one(SIGNED, |graph, x| graph.tanhshrink(x[0]))
    }),
    Composition::new("softmin", "yᵢ = exp(-xᵢ) / Σⱼ exp(-xⱼ) along an axis", || {
        vec![
            Case::new("rows", &[(&[3, 4], SIGNED)], |graph, x| graph.softmin(x[0], 1)),
            Case::new("empty", &[(&[0, 4], SIGNED)], |graph, x| graph.softmin(x[0], 1)),
        ]
    }),
    Composition::new("glu", "y = a sigmoid(b), a and b the halves of x along an axis", || {
        vec![
            Case::new("rows", &[(&[3, 4], SIGNED)], |graph, x| graph.glu(x[0], 1)),
            Case::new("columns", &[(&[2, 3, 2], SIGNED)], |graph, x| graph.glu(x[0], 0)),
            Case::new("empty", &[(&[0, 4], SIGNED)], |graph, x| graph.glu(x[0], 1)),
        ]
    }),
    Composition::new("squash", "y = s |s| / (1 + |s|²), |s| the norm along an axis", || {
        vec![
            Case::new("rows", &[(&[3, 4], SIGNED)], |graph, x| graph.squash(x[0], 1)),
            Case::new("columns", &[(&[3, 2], SIGNED)], |graph, x| graph.squash(x[0], 0)),
            Case::new("empty", &[(&[0, 4], SIGNED)], |graph, x| graph.squash(x[0], 1)),
        ]
    })
    .rule("a vector of zeros gives zeros, with derivative 0", || {
        let tensor = Tensor::from_f64(&[2, 2], vec![0.0, 0.0, 3.0, 4.0]);

        // d/ds of s·f with f = n/(1 + n²), f' = (1 - n²)/(1 + n²)², n = 5: the
        // cotangent (1, 1) gives f + s (s·1) f'/n.
        let (f, slope) = (5.0 / 26.0, -24.0 / 676.0 * 7.0 / 5.0);
        let expectation = Expectation::new(
            "a vector of zeros beside one of length 5",
            vec![tensor],
            |graph, x| graph.squash(x[0], 1),
            &[0.0, 0.0, 3.0 * f, 4.0 * f],
        );
        vec![expectation.gradients(&[&[0.0, 0.0, f + 3.0 * slope, f + 4.0 * slope]])]
    }),
];

impl Graph {
    /// The exponential linear unit: x where x > 0, else α (eˣ - 1) (Clevert,
    /// Unterthiner and Hochreiter, 2015).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn elu(&self, x: NodeId, alpha: f64) -> Result<NodeId, GraphError> {
        self.elu_scaled(x, alpha, 1.0)
    }

    /// The continuously differentiable exponential linear unit: x where x > 0,
    /// else α (exp(x/α) - 1) (Barron, 2017).
    ///
    /// # Errors
    /// An `alpha` of 0, or `x` is not floating-point.
    #[track_caller]
    pub fn celu(&self, x: NodeId, alpha: f64) -> Result<NodeId, GraphError> {
        if alpha == 0.0 {
            return Err(self.error("celu", &[x], "alpha must not be 0".to_owned()));
        }
        self.elu_scaled(x, alpha, alpha.recip())
    }

    /// x where x > 0, else α (exp(rate · x) - 1).
    #[track_caller]
    fn elu_scaled(&self, x: NodeId, alpha: f64, rate: f64) -> Result<NodeId, GraphError> {
        let zero = self.scalar(0.0)?;
        let positive = self.greater(x, zero)?;
        // The exponential of a large x would be infinite, and 0 · ∞ its gradient.
        let negative = self.select(positive, zero, x)?;
        let scaled = if rate == 1.0 { negative } else { self.scale(negative, rate)? };
        let curve = self.expm1(scaled)?;
        let curve = self.scale(curve, alpha)?;
        self.select(positive, x, curve)
    }

    /// The self-normalizing unit: λ times [`Graph::elu`] with the α and λ of
    /// Klambauer et al., 2017.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn selu(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let elu = self.elu(x, SELU.0)?;
        self.scale(elu, SELU.1)
    }

    /// The Gaussian error linear unit with the approximation
    /// Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 (Hendrycks and Gimpel,
    /// 2016).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn gelu_tanh(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let square = self.square(x)?;
        let bend = self.scale(square, 0.044_715)?;
        let bend = self.offset(bend, 1.0)?;
        let argument = self.mul(x, bend)?;
        let argument = self.scale(argument, FRAC_2_PI.sqrt())?;
        let tanh = self.tanh(argument)?;
        let shifted = self.offset(tanh, 1.0)?;
        let probability = self.scale(shifted, 0.5)?;
        self.mul(x, probability)
    }

    /// The sigmoid linear unit x sigmoid(x) (Elfwing, Uchibe and Doya, 2017).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn silu(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let gate = self.sigmoid(x)?;
        self.mul(x, gate)
    }

    /// x tanh(ln(1 + eˣ)) (Misra, 2019).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn mish(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let softplus = self.softplus(x)?;
        let gate = self.tanh(softplus)?;
        self.mul(x, gate)
    }

    /// ln sigmoid(x) = -ln(1 + e⁻ˣ).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn logsigmoid(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let negative = self.neg(x)?;
        let softplus = self.softplus(negative)?;
        self.neg(softplus)
    }

    /// Softplus of sharpness β, ln(1 + exp(β x)) / β, and x itself where β x is
    /// above `threshold`.
    ///
    /// # Errors
    /// A `beta` of 0, or `x` is not floating-point.
    #[track_caller]
    pub fn softplus_above(
        &self,
        x: NodeId,
        beta: f64,
        threshold: f64,
    ) -> Result<NodeId, GraphError> {
        if beta == 0.0 {
            return Err(self.error("softplus_above", &[x], "beta must not be 0".to_owned()));
        }
        let scaled = self.scale(x, beta)?;
        let threshold = self.scalar(threshold)?;
        let linear = self.greater(scaled, threshold)?;
        let curve = self.softplus(scaled)?;
        let curve = self.scale(curve, beta.recip())?;
        self.select(linear, x, curve)
    }

    /// x / (1 + |x|).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn softsign(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let magnitude = self.abs(x)?;
        let divisor = self.offset(magnitude, 1.0)?;
        self.div(x, divisor)
    }

    /// x - tanh x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn tanhshrink(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let tanh = self.tanh(x)?;
        self.sub(x, tanh)
    }

    /// The softmax of -x along `axis`.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn softmin(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let negative = self.neg(x)?;
        self.softmax(negative, axis)
    }

    /// The gated linear unit: the first half of `x` along `axis` times the
    /// sigmoid of the second (Dauphin et al., 2016).
    ///
    /// # Errors
    /// `axis` does not exist or its length is odd.
    #[track_caller]
    pub fn glu(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let length = self.shape(x).get(axis).copied().filter(|length| length % 2 == 0);
        let Some(length) = length else {
            let message = format!("axis {axis} must exist and have an even length");
            return Err(self.error("glu", &[x], message));
        };
        let half = length / 2;
        let value = self.narrow(x, axis, 0, 1, half)?;
        let gate = self.narrow(x, axis, half, 1, half)?;
        let gate = self.sigmoid(gate)?;
        self.mul(value, gate)
    }

    /// Vectors along `axis` shortened to below 1 and left in their direction:
    /// ‖s‖² / (1 + ‖s‖²) · s / ‖s‖ (Sabour, Frosst and Hinton, "Dynamic routing
    /// between capsules", 2017).
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn squash(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let squares = self.square(x)?;
        let norm = self.sum(squares, &[axis])?;
        let norm = self.restore_axes(norm, &shape, &[axis])?;
        // The root has no derivative at 0; there the factor is 0 and flat.
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let nothing = self.equal(norm, zero)?;
        let safe = self.select(nothing, one, norm)?;
        let length = self.sqrt(safe)?;
        let divisor = self.offset(safe, 1.0)?;
        let factor = self.div(length, divisor)?;
        let factor = self.select(nothing, zero, factor)?;
        self.mul(x, factor)
    }
}
