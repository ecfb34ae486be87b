//! Steps with a gradient of their own.
//!
//! A spiking neuron fires or does not: its output is a step of what it has
//! gathered, and the derivative of a step is 0. Training replaces it by the
//! derivative of something smooth, the surrogate (review: Neftci, Mostafa and
//! Zenke, 2019). Here the value is the step, and the gradient that of a proxy:
//! the antiderivative of the surrogate derivative, as ordinary nodes, so that
//! the backward pass can be printed, priced and differentiated like any other.

use super::elementary::at;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use std::f64::consts::{FRAC_1_PI, FRAC_1_SQRT_2, FRAC_PI_2, PI};

/// What stands for the derivative of a step from 0 to 1 at x = 0. `k`, the
/// slope, makes the bump around 0 narrower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// 1 / (1 + k|x|)², the derivative of x / (1 + k|x|) (Zenke and Ganguli,
    /// "SuperSpike", 2018).
    FastSigmoid(f64),
    /// k/2 / (1 + (π/2 · k x)²), the derivative of arctan(π/2 · k x) / π (Fang
    /// et al., "Incorporating learnable membrane time constant to enhance
    /// learning of spiking neural networks", 2021).
    Arctan(f64),
    /// max(0, 1 - k|x|) (Esser et al., "Convolutional networks for fast,
    /// energy-efficient neuromorphic computing", 2016; Bellec et al., "Long
    /// short-term memory and learning-to-learn in networks of spiking neurons",
    /// 2018).
    Triangle(f64),
    /// k s (1 - s) with s = sigmoid(k x).
    Sigmoid(f64),
    /// The normal density of standard deviation 1/k.
    Gaussian(f64),
    /// 1: the gradient passes straight through (Bengio, Léonard and Courville,
    /// 2013).
    Identity,
    /// 1 where |x| ≤ 1, else 0: straight through the hard tanh (Courbariaux et
    /// al., "Binarized neural networks", 2016).
    Clipped,
}

impl Surrogate {
    /// The names, in the order of the variants.
    pub const NAMES: &[&str] =
        &["fast_sigmoid", "arctan", "triangle", "sigmoid", "gaussian", "identity", "clipped"];

    /// The surrogate of that name; the last two have no use for the slope.
    pub fn named(name: &str, slope: f64) -> Option<Self> {
        Some(match name {
            "fast_sigmoid" => Surrogate::FastSigmoid(slope),
            "arctan" => Surrogate::Arctan(slope),
            "triangle" => Surrogate::Triangle(slope),
            "sigmoid" => Surrogate::Sigmoid(slope),
            "gaussian" => Surrogate::Gaussian(slope),
            "identity" => Surrogate::Identity,
            "clipped" => Surrogate::Clipped,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Surrogate::FastSigmoid(_) => "fast_sigmoid",
            Surrogate::Arctan(_) => "arctan",
            Surrogate::Triangle(_) => "triangle",
            Surrogate::Sigmoid(_) => "sigmoid",
            Surrogate::Gaussian(_) => "gaussian",
            Surrogate::Identity => "identity",
            Surrogate::Clipped => "clipped",
        }
    }

    /// Its slope; 1 where it has none.
    pub fn slope(self) -> f64 {
        match self {
            Surrogate::FastSigmoid(k)
            | Surrogate::Arctan(k)
            | Surrogate::Triangle(k)
            | Surrogate::Sigmoid(k)
            | Surrogate::Gaussian(k) => k,
            Surrogate::Identity | Surrogate::Clipped => 1.0,
        }
    }
}

pub(super) const ALL: &[Composition] = &[Composition::new(
    "surrogate_step",
    "y = 1 where x > 0, else 0, differentiated as if it were a smooth step",
    || {
        vec![Case::new("matrix", &[(&[3, 4], Draw::Distinct)], |graph, x| {
            graph.surrogate_step(x[0], Surrogate::FastSigmoid(2.0))
        })]
    },
)
.stated("the derivative of the surrogate's proxy in place of that of the step, which is 0")
.rule("0 at x = 0 and for NaN; the surrogate derivative is taken at x itself", values)];

/// Every surrogate at, near and far from the step.
fn values() -> Vec<Expectation> {
    let x: &[f64] = &[-2.0, -1.0, -0.25, 0.0, 0.25, 1.0, 2.0];
    let step = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let slopes = |slope: fn(f64) -> f64| x.iter().map(|x| slope(*x)).collect::<Vec<_>>();
    let same = |name, build, slope| at(name, &[x], build, &step, &[&slopes(slope)]);
    vec![
        same(
            "fast sigmoid",
            |graph, x| graph.surrogate_step(x[0], Surrogate::FastSigmoid(2.0)),
            |x| (1.0 + 2.0 * x.abs()).powi(-2),
        ),
        same(
            "arctan",
            |graph, x| graph.surrogate_step(x[0], Surrogate::Arctan(2.0)),
            |x| 1.0 / (1.0 + (PI * x).powi(2)),
        ),
        same(
            "triangle",
            |graph, x| graph.surrogate_step(x[0], Surrogate::Triangle(2.0)),
            |x| (1.0 - 2.0 * x.abs()).max(0.0),
        ),
        same(
            "sigmoid",
            |graph, x| graph.surrogate_step(x[0], Surrogate::Sigmoid(2.0)),
            |x| 0.5 / x.cosh().powi(2),
        ),
        same(
            "gaussian",
            |graph, x| graph.surrogate_step(x[0], Surrogate::Gaussian(2.0)),
            |x| (2.0 / PI).sqrt() * (-2.0 * x * x).exp(),
        ),
        same("identity", |graph, x| graph.surrogate_step(x[0], Surrogate::Identity), |_| 1.0),
        same(
            "clipped",
            |graph, x| graph.surrogate_step(x[0], Surrogate::Clipped),
            |x| if x.abs() <= 1.0 { 1.0 } else { 0.0 },
        ),
        at(
            "the rims of the triangle, NaN and infinity",
            &[&[-0.5, 0.5, f64::NAN, f64::INFINITY]],
            |graph, x| graph.surrogate_step(x[0], Surrogate::Triangle(2.0)),
            &[0.0, 1.0, 0.0, 1.0],
            &[&[0.0, 0.0, f64::NAN, 0.0]],
        ),
    ]
}

impl Graph {
    /// 1 where x > 0, else 0 (also at 0), with the surrogate's derivative for
    /// its own.
    ///
    /// # Errors
    /// A slope that is not positive and finite, or `x` is not floating-point.
    #[track_caller]
    pub fn surrogate_step(&self, x: NodeId, surrogate: Surrogate) -> Result<NodeId, GraphError> {
        let slope = surrogate.slope();
        if !(slope > 0.0 && slope.is_finite()) {
            let message = format!("the slope must be positive and finite, not {slope}");
            return Err(self.error("surrogate_step", &[x], message));
        }
        let zero = self.scalar(0.0)?;
        let step = self.greater(x, zero)?;
        let proxy = self.surrogate_proxy(x, surrogate)?;
        self.straight_through(step, proxy)
    }

    /// The antiderivative of the surrogate derivative.
    #[track_caller]
    fn surrogate_proxy(&self, x: NodeId, surrogate: Surrogate) -> Result<NodeId, GraphError> {
        match surrogate {
            Surrogate::FastSigmoid(slope) => {
                let magnitude = self.abs(x)?;
                let scaled = self.scale(magnitude, slope)?;
                let divisor = self.offset(scaled, 1.0)?;
                self.div(x, divisor)
            }
            Surrogate::Arctan(slope) => {
                let scaled = self.scale(x, FRAC_PI_2 * slope)?;
                let angle = self.atan(scaled)?;
                self.scale(angle, FRAC_1_PI)
            }
            Surrogate::Triangle(slope) => {
                // t - k t|t|/2 has the derivative 1 - k|t|, and t is x cut at
                // ±1/k, where that is 0.
                let t = self.clip(x, -slope.recip(), slope.recip())?;
                let magnitude = self.abs(t)?;
                let square = self.mul(t, magnitude)?;
                let bend = self.scale(square, 0.5 * slope)?;
                self.sub(t, bend)
            }
            Surrogate::Sigmoid(slope) => {
                let scaled = self.scale(x, slope)?;
                self.sigmoid(scaled)
            }
            Surrogate::Gaussian(slope) => {
                let scaled = self.scale(x, slope * FRAC_1_SQRT_2)?;
                let erf = self.erf(scaled)?;
                self.scale(erf, 0.5)
            }
            Surrogate::Identity => Ok(x),
            Surrogate::Clipped => self.clip(x, -1.0, 1.0),
        }
    }
}

#[test]
fn names_and_slopes_come_back() {
    for name in Surrogate::NAMES {
        let surrogate = Surrogate::named(name, 1.0).map(|s| (s.name(), s.slope()));
        assert_eq!(surrogate, Some((*name, 1.0)));
    }
    assert_eq!(Surrogate::named("step", 1.0), None);
}

#[test]
fn a_slope_must_be_positive_and_finite() {
    let graph = Graph::new(crate::DType::F64);
    let x = graph.scalar(1.0).expect("a constant");
    for slope in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(graph.surrogate_step(x, Surrogate::Arctan(slope)).is_err(), "{slope}");
    }
}
