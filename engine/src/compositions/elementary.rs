//! Elementary functions of one value made of others.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_PI_2, LN_2, LN_10, PI};

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The cases of a function of one tensor.
pub(super) fn of_one(draw: Draw, build: Build) -> Vec<Case> {
    vec![
        Case::new("matrix", &[(&[3, 4], draw)], build),
        Case::new("scalar", &[(&[], draw)], build),
        Case::new("empty", &[(&[0, 2], draw)], build),
    ]
}

/// A rule by value: vectors in, a vector out, and the gradient of each input
/// for a cotangent of 1.
pub(super) fn at(
    name: &'static str,
    inputs: &[&[f64]],
    build: Build,
    output: &[f64],
    gradients: &[&[f64]],
) -> Expectation {
    let vector = |values: &&[f64]| Tensor::from_f64(&[values.len()], values.to_vec());
    let inputs = inputs.iter().map(vector).collect();
    Expectation::new(name, inputs, build, output).gradients(gradients)
}

pub(super) const ALL: &[Composition] = &[
    Composition::new("acos", "y = arccos x", || {
        of_one(Draw::Uniform(-0.9, 0.9), |graph, x| graph.acos(x[0]))
    })
    .rule("the derivative at ±1 is -infinity; outside [-1, 1] both are NaN", || {
        vec![at(
            "the ends of the domain and beyond",
            &[&[-1.0, 0.0, 1.0, 1.5, -INF, NAN]],
            |graph, x| graph.acos(x[0]),
            &[PI, FRAC_PI_2, 0.0, NAN, NAN, NAN],
            &[&[-INF, -1.0, -INF, NAN, NAN, NAN]],
        )]
    }),
    Composition::new("asin", "y = arcsin x", || {
        of_one(Draw::Uniform(-0.9, 0.9), |graph, x| graph.asin(x[0]))
    })
    .rule("the derivative at ±1 is infinity; outside [-1, 1] both are NaN", || {
        vec![at(
            "the ends of the domain and beyond",
            &[&[-1.0, 0.0, 1.0, -1.5, INF, NAN]],
            |graph, x| graph.asin(x[0]),
            &[-FRAC_PI_2, 0.0, FRAC_PI_2, NAN, NAN, NAN],
            &[&[INF, 1.0, INF, NAN, NAN, NAN]],
        )]
    }),
    Composition::new("atan", "y = arctan x", || {
        of_one(Draw::Uniform(-3.0, 3.0), |graph, x| graph.atan(x[0]))
    })
    .rule("at ±infinity the value is ±π/2 and the derivative 0", || {
        vec![at(
            "far out",
            &[&[-INF, 0.0, 1.0, 1e300, INF, NAN]],
            |graph, x| graph.atan(x[0]),
            &[-FRAC_PI_2, 0.0, PI / 4.0, FRAC_PI_2, FRAC_PI_2, NAN],
            &[&[0.0, 1.0, 0.5, 0.0, 0.0, NAN]],
        )]
    }),
    Composition::new("tan", "y = sin x / cos x", || {
        of_one(Draw::Uniform(-1.2, 1.2), |graph, x| graph.tan(x[0]))
    }),
    Composition::new("sinh", "y = (eˣ - e⁻ˣ) / 2", || {
        of_one(Draw::Uniform(-2.0, 2.0), |graph, x| graph.sinh(x[0]))
    })
    .rule(
        "the value overflows only where it must; the derivative at ±infinity is infinity",
        || {
            vec![
                at(
                    "where eˣ overflows",
                    &[&[710.0, -710.0]],
                    |graph, x| graph.sinh(x[0]),
                    &[f64::sinh(710.0), f64::sinh(-710.0)],
                    &[],
                ),
                at(
                    "infinities",
                    &[&[0.0, INF, -INF]],
                    |graph, x| graph.sinh(x[0]),
                    &[0.0, INF, -INF],
                    &[&[1.0, INF, INF]],
                ),
            ]
        },
    ),
    Composition::new("cosh", "y = (eˣ + e⁻ˣ) / 2", || {
        of_one(Draw::Uniform(-2.0, 2.0), |graph, x| graph.cosh(x[0]))
    })
    .rule(
        "the value overflows only where it must; the derivative at ±infinity is ±infinity",
        || {
            vec![
                at(
                    "where eˣ overflows",
                    &[&[710.0, -710.0]],
                    |graph, x| graph.cosh(x[0]),
                    &[f64::cosh(710.0), f64::cosh(-710.0)],
                    &[],
                ),
                at(
                    "infinities",
                    &[&[0.0, INF, -INF]],
                    |graph, x| graph.cosh(x[0]),
                    &[1.0, INF, INF],
                    &[&[0.0, INF, -INF]],
                ),
            ]
        },
    ),
    Composition::new("exp2", "y = 2ˣ", || {
        of_one(Draw::Uniform(-2.0, 2.0), |graph, x| graph.exp2(x[0]))
    }),
    Composition::new("log2", "y = ln x / ln 2", || {
        of_one(Draw::Uniform(0.5, 2.0), |graph, x| graph.log2(x[0]))
    })
    .rule("x = 0 gives -infinity, x < 0 gives NaN", || {
        vec![at(
            "the end of the domain",
            &[&[-1.0, 0.0, 8.0, INF]],
            |graph, x| graph.log2(x[0]),
            &[NAN, -INF, 3.0, INF],
            &[&[-1.0 / LN_2, INF, 0.125 / LN_2, 0.0]],
        )]
    }),
    Composition::new("log10", "y = ln x / ln 10", || {
        of_one(Draw::Uniform(0.5, 2.0), |graph, x| graph.log10(x[0]))
    })
    .rule("x = 0 gives -infinity, x < 0 gives NaN", || {
        vec![at(
            "the end of the domain",
            &[&[-1.0, 0.0, 1000.0, INF]],
            |graph, x| graph.log10(x[0]),
            &[NAN, -INF, 3.0, INF],
            &[&[-1.0 / LN_10, INF, 1e-3 / LN_10, 0.0]],
        )]
    }),
    Composition::new("logit", "y = ln(x / (1 - x))", || {
        of_one(Draw::Uniform(0.1, 0.9), |graph, x| graph.logit(x[0], None))
    })
    .rule("0 and 1 give ∓infinity; with an epsilon, the derivative outside is 0", || {
        vec![
            at(
                "the ends of the domain",
                &[&[0.0, 0.5, 1.0, 2.0]],
                |graph, x| graph.logit(x[0], None),
                &[-INF, 0.0, INF, NAN],
                &[&[INF, 4.0, INF, -0.5]],
            ),
            at(
                "held inside",
                &[&[-1.0, 0.25, 0.5, 1.0]],
                |graph, x| graph.logit(x[0], Some(0.25)),
                &[-f64::ln(3.0), -f64::ln(3.0), 0.0, f64::ln(3.0)],
                &[&[0.0, 16.0 / 3.0, 4.0, 0.0]],
            ),
        ]
    }),
    Composition::new("ceil", "y = ⌈x⌉, with derivative 0", || {
        of_one(Draw::Distinct, |graph, x| graph.ceil(x[0]))
    })
    .rule("at an integer the value is the integer itself", || {
        vec![at(
            "between and at integers",
            &[&[-2.0, -1.5, -0.25, 0.0, 0.75, 3.0, INF]],
            |graph, x| graph.ceil(x[0]),
            &[-2.0, -1.0, 0.0, 0.0, 1.0, 3.0, INF],
            &[&[0.0; 7]],
        )]
    }),
    Composition::new("trunc", "y = x rounded towards 0, with derivative 0", || {
        of_one(Draw::Distinct, |graph, x| graph.trunc(x[0]))
    })
    .rule("at an integer the value is the integer itself", || {
        vec![at(
            "between and at integers",
            &[&[-2.0, -1.5, -0.25, 0.0, 0.75, 3.0, -INF, NAN]],
            |graph, x| graph.trunc(x[0]),
            &[-2.0, -1.0, 0.0, 0.0, 0.0, 3.0, -INF, NAN],
            &[&[0.0; 8]],
        )]
    }),
    Composition::new("frac", "y = x - trunc(x)", || {
        of_one(Draw::Distinct, |graph, x| graph.frac(x[0]))
    })
    .rule("the sign is that of x; the derivative is 1, at integers too", || {
        vec![at(
            "between and at integers",
            &[&[-2.0, -1.5, 0.0, 0.75, 3.25]],
            |graph, x| graph.frac(x[0]),
            &[0.0, -0.5, 0.0, 0.75, 0.25],
            &[&[1.0; 5]],
        )]
    }),
    Composition::new("round_to", "y = x rounded to decimals, with derivative 0", || {
        of_one(Draw::Distinct, |graph, x| graph.round_to(x[0], 1))
    })
    .rule("halfway goes to the even digit; negative decimals round to tens", || {
        vec![
            at(
                "one decimal",
                &[&[-0.25, 0.75, 1.04]],
                |graph, x| graph.round_to(x[0], 1),
                &[-0.2, 0.8, 1.0],
                &[&[0.0; 3]],
            ),
            at(
                "tens",
                &[&[15.0, 25.0, -26.0]],
                |graph, x| graph.round_to(x[0], -1),
                &[20.0, 20.0, -30.0],
                &[&[0.0; 3]],
            ),
        ]
    }),
];

impl Graph {
    /// arccos x, as 2 arctan(√(1 - x) / √(1 + x)), which is exact to rounding
    /// over the whole domain (Kahan, "Branch cuts for complex elementary
    /// functions", 1987).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn acos(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let [below, above] = self.roots_to_one(x)?;
        let half = self.atan2(below, above)?;
        self.scale(half, 2.0)
    }

    /// arcsin x, as the angle of the point (√(1 - x) √(1 + x), x).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn asin(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let [below, above] = self.roots_to_one(x)?;
        let width = self.mul(below, above)?;
        self.atan2(x, width)
    }

    /// √(1 - x) and √(1 + x). Apart, since the root of their product has the
    /// derivative ∞ · 0 at ±1.
    #[track_caller]
    fn roots_to_one(&self, x: NodeId) -> Result<[NodeId; 2], GraphError> {
        let one = self.scalar(1.0)?;
        let below = self.sub(one, x)?;
        let above = self.add(one, x)?;
        Ok([self.sqrt(below)?, self.sqrt(above)?])
    }

    /// arctan x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn atan(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let one = self.scalar(1.0)?;
        self.atan2(x, one)
    }

    /// tan x = sin x / cos x, x in radians.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn tan(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let sin = self.sin(x)?;
        let cos = self.cos(x)?;
        self.div(sin, cos)
    }

    /// sinh x = (eˣ - e⁻ˣ) / 2. With m = exp(x/2) - 1, eˣ - 1 = m (m + 2), so
    /// that the sum is m₊ (1 + m₊/2) - m₋ (1 + m₋/2): precise around 0, and no
    /// part of it overflows before the result does.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn sinh(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let mut parts = [x; 2];
        for (part, half) in parts.iter_mut().zip([0.5, -0.5]) {
            let half = self.scale(x, half)?;
            let m = self.expm1(half)?;
            let factor = self.scale(m, 0.5)?;
            let factor = self.offset(factor, 1.0)?;
            *part = self.mul(m, factor)?;
        }
        self.sub(parts[0], parts[1])
    }

    /// cosh x = (eˣ + e⁻ˣ) / 2, from exp(±x/2), so that no part overflows
    /// before the result does.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn cosh(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let mut parts = [x; 2];
        for (part, half) in parts.iter_mut().zip([0.5, -0.5]) {
            let half = self.scale(x, half)?;
            let root = self.exp(half)?;
            let factor = self.scale(root, 0.5)?;
            *part = self.mul(root, factor)?;
        }
        self.add(parts[0], parts[1])
    }

    /// 2ˣ.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn exp2(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let two = self.scalar(2.0)?;
        self.pow(two, x)
    }

    /// The logarithm to base 2.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn log2(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let log = self.log(x)?;
        self.scale(log, LN_2.recip())
    }

    /// The logarithm to base 10.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn log10(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let log = self.log(x)?;
        self.scale(log, LN_10.recip())
    }

    /// The logit ln(x / (1 - x)), the inverse of the logistic function; with an
    /// `epsilon`, of x held within [epsilon, 1 - epsilon].
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn logit(&self, x: NodeId, epsilon: Option<f64>) -> Result<NodeId, GraphError> {
        let x = match epsilon {
            Some(epsilon) => self.clip(x, epsilon, 1.0 - epsilon)?,
            None => x,
        };
        let log = self.log(x)?;
        let negative = self.neg(x)?;
        let rest = self.log1p(negative)?;
        self.sub(log, rest)
    }

    /// The smallest integer not below each element.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn ceil(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let negative = self.neg(x)?;
        let floor = self.floor(negative)?;
        self.neg(floor)
    }

    /// Each element without its fraction: rounded towards 0.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn trunc(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let zero = self.scalar(0.0)?;
        let negative = self.greater(zero, x)?;
        let ceil = self.ceil(x)?;
        let floor = self.floor(x)?;
        self.select(negative, ceil, floor)
    }

    /// The fraction of each element, with its sign: x - trunc(x).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn frac(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let whole = self.trunc(x)?;
        self.sub(x, whole)
    }

    /// Each element rounded to that many decimals, to tens, hundreds, … where
    /// `decimals` is negative; halfway to the even digit.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn round_to(&self, x: NodeId, decimals: i32) -> Result<NodeId, GraphError> {
        let unit = self.scalar(10f64.powi(decimals.saturating_abs()))?;
        if decimals < 0 {
            let tens = self.div(x, unit)?;
            let rounded = self.round(tens)?;
            return self.mul(rounded, unit);
        }
        let shifted = self.mul(x, unit)?;
        let rounded = self.round(shifted)?;
        self.div(rounded, unit)
    }
}
