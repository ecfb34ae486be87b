//! Arithmetic of two or more tensors, and choices between them.

use super::elementary::at;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The cases of a function of two tensors that broadcast.
fn of_two(a: Draw, b: Draw, build: Build) -> Vec<Case> {
    vec![
        Case::new("equal shapes", &[(&[3, 4], a), (&[3, 4], b)], build),
        Case::new("row and column", &[(&[3, 1], a), (&[4], b)], build),
        Case::new("scalars", &[(&[], a), (&[], b)], build),
        Case::new("empty", &[(&[0, 3], a), (&[3], b)], build),
    ]
}

const SIGNED: Draw = Draw::Uniform(-2.0, 2.0);
const POSITIVE: Draw = Draw::Uniform(0.5, 2.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new("add_scaled", "y = a + α b", || {
        of_two(SIGNED, SIGNED, |graph, x| graph.add_scaled(x[0], x[1], 0.5))
    }),
    Composition::new("sub_scaled", "y = a - α b", || {
        of_two(SIGNED, SIGNED, |graph, x| graph.sub_scaled(x[0], x[1], 0.5))
    }),
    Composition::new("div_floor", "y = ⌊a / b⌋, with derivative 0", || {
        of_two(SIGNED, POSITIVE, |graph, x| graph.div_floor(x[0], x[1]))
    })
    .rule("rounds the quotient as it comes out of the division; b = 0 gives ±infinity", || {
        vec![at(
            "signs and a divisor of 0",
            &[&[7.0, -7.0, 7.0, -7.0, 1.0, 0.0], &[2.0, 2.0, -2.0, -2.0, 0.0, 0.0]],
            |graph, x| graph.div_floor(x[0], x[1]),
            &[3.0, -4.0, -4.0, 3.0, INF, NAN],
            &[&[0.0; 6], &[0.0; 6]],
        )]
    }),
    Composition::new("div_trunc", "y = a / b rounded towards 0, with derivative 0", || {
        of_two(SIGNED, POSITIVE, |graph, x| graph.div_trunc(x[0], x[1]))
    })
    .rule("rounds the quotient as it comes out of the division; b = 0 gives ±infinity", || {
        vec![at(
            "signs and a divisor of 0",
            &[&[7.0, -7.0, 7.0, -7.0, 1.0, 0.0], &[2.0, 2.0, -2.0, -2.0, 0.0, 0.0]],
            |graph, x| graph.div_trunc(x[0], x[1]),
            &[3.0, -3.0, -3.0, 3.0, INF, NAN],
            &[&[0.0; 6], &[0.0; 6]],
        )]
    }),
    Composition::new("remainder", "y = a - b ⌊a / b⌋", || {
        of_two(SIGNED, POSITIVE, |graph, x| graph.remainder(x[0], x[1]))
    })
    .rule("has the sign of b; the derivative is 1 in a and -⌊a / b⌋ in b, at jumps too", || {
        vec![at(
            "signs and multiples",
            &[&[7.0, -7.0, 7.0, -7.0, 4.0], &[2.0, 2.0, -2.0, -2.0, 2.0]],
            |graph, x| graph.remainder(x[0], x[1]),
            &[1.0, 1.0, -1.0, -1.0, 0.0],
            &[&[1.0; 5], &[-3.0, 4.0, 4.0, -3.0, -2.0]],
        )]
    }),
    Composition::new("fmod", "y = a - b trunc(a / b)", || {
        of_two(SIGNED, POSITIVE, |graph, x| graph.fmod(x[0], x[1]))
    })
    .rule("has the sign of a; the derivative is 1 in a and -trunc(a / b) in b, at jumps too", || {
        vec![at(
            "signs and multiples",
            &[&[7.0, -7.0, 7.0, -7.0, 4.0], &[2.0, 2.0, -2.0, -2.0, 2.0]],
            |graph, x| graph.fmod(x[0], x[1]),
            &[1.0, -1.0, 1.0, -1.0, 0.0],
            &[&[1.0; 5], &[-3.0, 3.0, 3.0, -3.0, -2.0]],
        )]
    }),
    Composition::new("lerp", "y = a + w (b - a)", || {
        let build: Build = |graph, x| graph.lerp(x[0], x[1], x[2]);
        vec![
            Case::new("tensors", &[(&[3, 4], SIGNED), (&[3, 4], SIGNED), (&[4], SIGNED)], build),
            Case::new("one weight", &[(&[3, 1], SIGNED), (&[4], SIGNED), (&[], SIGNED)], build),
            Case::new("empty", &[(&[0], SIGNED), (&[1], SIGNED), (&[], SIGNED)], build),
        ]
    })
    .rule("exact at both ends: w = 0 gives a, w = 1 gives b", || {
        vec![at(
            "both ends",
            &[&[1e20, 1e20, 1.0], &[1.0, 1.0, 3.0], &[0.0, 1.0, 0.5]],
            |graph, x| graph.lerp(x[0], x[1], x[2]),
            &[1e20, 1.0, 2.0],
            &[&[1.0, 0.0, 0.5], &[0.0, 1.0, 0.5], &[1.0 - 1e20, 1.0 - 1e20, 2.0]],
        )]
    }),
    Composition::new("clamp", "y = min(max(x, l), u)", || {
        // Apart by at least 0.0125, so nothing lies on a bound.
        let d = Draw::Distinct;
        vec![
            Case::new("both bounds", &[(&[3, 4], d), (&[3, 4], d), (&[4], d)], |graph, x| {
                let upper = graph.offset(x[2], 0.006)?;
                graph.clamp(x[0], Some(x[1]), Some(upper))
            }),
            Case::new("a lower bound", &[(&[3, 1], d), (&[4], d)], |graph, x| {
                graph.clamp(x[0], Some(x[1]), None)
            }),
            Case::new("an upper bound", &[(&[], d), (&[4], d)], |graph, x| {
                graph.clamp(x[0], None, Some(x[1]))
            }),
            Case::new("empty", &[(&[0, 2], d), (&[2], d)], |graph, x| {
                graph.clamp(x[0], Some(x[1]), None)
            }),
        ]
    })
    .rule(
        "the derivative in x is 1 where l ≤ x ≤ u, in l where x < l < u, in u where x > u or u < l; u < l gives u; NaN in x gives NaN, with derivative 0",
        || {
            vec![
                at(
                    "on the bounds, outside, and bounds that are equal or crossed",
                    &[
                        &[0.0, 1.0, 2.0, -1.0, 3.0, 0.0, 1.0, 2.0, 0.0, 5.0, NAN, 1.0],
                        &[1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 4.0, 4.0, 0.0, NAN],
                        &[2.0, 2.0, 2.0, 3.0, 3.0, 1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0],
                    ],
                    |graph, x| graph.clamp(x[0], Some(x[1]), Some(x[2])),
                    &[1.0, 1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 1.0, 2.0, 2.0, NAN, NAN],
                    &[
                        &[0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                        &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0],
                    ],
                ),
                at(
                    "one bound",
                    &[&[0.0, 1.0, 2.0, NAN], &[1.0, 1.0, 1.0, 1.0]],
                    |graph, x| graph.clamp(x[0], None, Some(x[1])),
                    &[0.0, 1.0, 1.0, NAN],
                    &[&[1.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0]],
                ),
            ]
        },
    ),
    Composition::new("clip", "y = min(max(x, l), u) for numbers l and u", || {
        let build: Build = |graph, x| graph.clip(x[0], -0.1, 0.2);
        vec![Case::new("matrix", &[(&[3, 4], Draw::Distinct)], build)]
    })
    .rule("the derivative is 1 where l ≤ x ≤ u, else 0; u < l gives u; NaN stays NaN", || {
        vec![
            at(
                "on and beyond the bounds",
                &[&[-2.0, -1.0, 0.0, 2.0, 3.0, NAN]],
                |graph, x| graph.clip(x[0], -1.0, 2.0),
                &[-1.0, -1.0, 0.0, 2.0, 2.0, NAN],
                &[&[0.0, 1.0, 1.0, 1.0, 0.0, 1.0]],
            ),
            at(
                "crossed bounds",
                &[&[-3.0, 0.0, 3.0]],
                |graph, x| graph.clip(x[0], 1.0, -1.0),
                &[-1.0; 3],
                &[&[0.0; 3]],
            ),
        ]
    }),
    Composition::new("logaddexp", "y = ln(eᵃ + eᵇ)", || {
        of_two(SIGNED, SIGNED, |graph, x| graph.logaddexp(x[0], x[1]))
    })
    .rule("two equal infinities give that infinity, and each half the cotangent", || {
        vec![at(
            "infinities and far apart values",
            &[&[INF, -INF, -INF, INF, 1e4, 0.0, NAN], &[INF, -INF, 1.0, -INF, -1e4, 0.0, 1.0]],
            |graph, x| graph.logaddexp(x[0], x[1]),
            &[INF, -INF, 1.0, INF, 1e4, std::f64::consts::LN_2, NAN],
            &[&[0.5, 0.5, 0.0, 1.0, 1.0, 0.5, NAN], &[0.5, 0.5, 1.0, 0.0, 0.0, 0.5, NAN]],
        )]
    }),
    Composition::new("xlogy", "y = a ln b", || {
        of_two(SIGNED, POSITIVE, |graph, x| graph.xlogy(x[0], x[1]))
    })
    .rule(
        "0 where a = 0 unless b is NaN, also for b ≤ 0 and b = infinity, where both derivatives are 0 then",
        || {
            vec![at(
                "a of 0",
                &[&[0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0], &[0.0, -1.0, INF, 1.0, NAN, 0.0, -1.0]],
                |graph, x| graph.xlogy(x[0], x[1]),
                &[0.0, 0.0, 0.0, 0.0, NAN, -INF, NAN],
                &[
                    &[0.0, 0.0, 0.0, 0.0, NAN, -INF, NAN],
                    &[0.0, 0.0, 0.0, 0.0, NAN, INF, -2.0],
                ],
            )]
        },
    ),
    Composition::new("masked_fill", "y = v where m ≠ 0, else x", || {
        let build: Build = |graph, x| {
            let zero = graph.scalar(0.0)?;
            let mask = graph.greater(x[1], zero)?;
            graph.masked_fill(x[0], mask, x[2])
        };
        let (x, mask) = (SIGNED, Draw::Distinct);
        vec![
            Case::new("one value", &[(&[3, 4], x), (&[4], mask), (&[], x)], build),
            Case::new("the mask is larger", &[(&[4], x), (&[3, 4], mask), (&[], x)], build),
            Case::new("empty", &[(&[0], x), (&[1], mask), (&[], x)], build),
        ]
    }),
];

impl Graph {
    /// a + α b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn add_scaled(&self, a: NodeId, b: NodeId, alpha: f64) -> Result<NodeId, GraphError> {
        let b = if alpha == 1.0 { b } else { self.scale(b, alpha)? };
        self.add(a, b)
    }

    /// a - α b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn sub_scaled(&self, a: NodeId, b: NodeId, alpha: f64) -> Result<NodeId, GraphError> {
        let b = if alpha == 1.0 { b } else { self.scale(b, alpha)? };
        self.sub(a, b)
    }

    /// ⌊a / b⌋, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn div_floor(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let quotient = self.div(a, b)?;
        self.floor(quotient)
    }

    /// a / b rounded towards 0, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn div_trunc(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let quotient = self.div(a, b)?;
        self.trunc(quotient)
    }

    /// a - b ⌊a / b⌋, with the sign of b, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn remainder(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let times = self.div_floor(a, b)?;
        let whole = self.mul(times, b)?;
        self.sub(a, whole)
    }

    /// a - b trunc(a / b), with the sign of a, element by element; shapes
    /// broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn fmod(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let times = self.div_trunc(a, b)?;
        let whole = self.mul(times, b)?;
        self.sub(a, whole)
    }

    /// a + w (b - a), element by element; shapes broadcast. Where |w| ≥ ½ it is
    /// b - (1 - w) (b - a), so that w = 1 gives b exactly.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn lerp(&self, a: NodeId, b: NodeId, weight: NodeId) -> Result<NodeId, GraphError> {
        let [one, half] = [self.scalar(1.0)?, self.scalar(0.5)?];
        let way = self.sub(b, a)?;
        let there = self.mul(weight, way)?;
        let from_a = self.add(a, there)?;
        let rest = self.sub(one, weight)?;
        let back = self.mul(rest, way)?;
        let from_b = self.sub(b, back)?;
        let magnitude = self.abs(weight)?;
        let near = self.greater(half, magnitude)?;
        self.select(near, from_a, from_b)
    }

    /// min(max(x, lower), upper), element by element; shapes broadcast, and
    /// either bound may be missing.
    ///
    /// # Errors
    /// No bound at all, shapes that do not broadcast, or element types that
    /// differ.
    #[track_caller]
    pub fn clamp(
        &self,
        x: NodeId,
        lower: Option<NodeId>,
        upper: Option<NodeId>,
    ) -> Result<NodeId, GraphError> {
        let (lower, upper) = match (lower, upper) {
            (Some(lower), Some(upper)) => (lower, upper),
            (Some(lower), None) => {
                let to_x = self.greater_equal(x, lower)?;
                let to_lower = self.greater(lower, x)?;
                let value = self.maximum(x, lower)?;
                let value = self.detach(value)?;
                let value = self.select(to_x, x, value)?;
                return self.select(to_lower, lower, value);
            }
            (None, Some(upper)) => {
                let to_x = self.greater_equal(upper, x)?;
                let to_upper = self.greater(x, upper)?;
                let value = self.minimum(x, upper)?;
                let value = self.detach(value)?;
                let value = self.select(to_x, x, value)?;
                return self.select(to_upper, upper, value);
            }
            (None, None) => {
                return Err(self.error("clamp", &[x], "takes at least one bound".to_owned()));
            }
        };
        // Each of the three gets the cotangent under a condition of its own.
        let over = self.greater(x, upper)?;
        let crossed = self.greater(lower, upper)?;
        let to_upper = self.maximum(over, crossed)?;
        let under = self.greater(lower, x)?;
        let ordered = self.greater(upper, lower)?;
        let to_lower = self.mul(under, ordered)?;
        let [not_under, not_over] = [self.greater_equal(x, lower)?, self.greater_equal(upper, x)?];
        let to_x = self.mul(not_under, not_over)?;
        // What is left: x below two equal bounds, and NaN. Nobody gets it then.
        let value = self.maximum(x, lower)?;
        let value = self.minimum(value, upper)?;
        let value = self.detach(value)?;
        let value = self.select(to_x, x, value)?;
        let value = self.select(to_lower, lower, value)?;
        self.select(to_upper, upper, value)
    }

    /// [`Graph::clamp`] to numbers.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn clip(&self, x: NodeId, lower: f64, upper: f64) -> Result<NodeId, GraphError> {
        let [least, most] = [self.scalar(lower)?, self.scalar(upper)?];
        if lower > upper {
            let number = self.equal(x, x)?;
            return self.select(number, most, x);
        }
        let under = self.greater(least, x)?;
        let y = self.select(under, least, x)?;
        let over = self.greater(x, most)?;
        self.select(over, most, y)
    }

    /// ln(eᵃ + eᵇ) without overflow, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn logaddexp(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        // Not the maximum, whose derivative at a tie would be wrong at second
        // order: larger + softplus(smaller - larger) is smooth there.
        let first = self.greater_equal(a, b)?;
        let larger = self.select(first, a, b)?;
        let smaller = self.select(first, b, a)?;
        let [zero, infinity] = [self.scalar(0.0)?, self.scalar(f64::INFINITY)?];
        let magnitude = self.abs(a)?;
        let infinite = self.equal(magnitude, infinity)?;
        let tie = self.equal(a, b)?;
        let tie = self.mul(tie, infinite)?;
        let difference = self.sub(smaller, larger)?;
        let difference = self.select(tie, zero, difference)?;
        let excess = self.softplus(difference)?;
        let sum = self.add(larger, excess)?;
        let either = self.maximum(a, b)?;
        self.select(tie, either, sum)
    }

    /// a ln b, and 0 where a = 0, element by element; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn xlogy(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let infinity = self.scalar(f64::INFINITY)?;
        let nothing = self.equal(a, zero)?;
        let outside = self.greater_equal(zero, b)?;
        let infinite = self.equal(b, infinity)?;
        let outside = self.maximum(outside, infinite)?;
        let edge = self.mul(nothing, outside)?;
        let safe = self.select(edge, one, b)?;
        let log = self.log(safe)?;
        self.mul(a, log)
    }

    /// `value` where `mask` is not 0, else `x`; shapes broadcast.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or element types that differ.
    #[track_caller]
    pub fn masked_fill(
        &self,
        x: NodeId,
        mask: NodeId,
        value: NodeId,
    ) -> Result<NodeId, GraphError> {
        self.select(mask, value, x)
    }
}
