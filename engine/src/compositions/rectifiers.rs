//! Activations made of straight lines, and steps between them.

use super::elementary::{at, of_one};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const KINKED: Draw = Draw::Distinct;

pub(super) const ALL: &[Composition] = &[
    Composition::new("hardtanh", "y = min(max(x, l), u), flat on its bounds", || {
        of_one(KINKED, |graph, x| graph.hardtanh(x[0], -0.11, 0.16))
    })
    .rule("the derivative is 1 where l < x < u, 0 on the bounds; NaN stays NaN", || {
        vec![at(
            "on and beyond the bounds",
            &[&[-2.0, -1.0, 0.0, 1.0, 2.0, NAN]],
            |graph, x| graph.hardtanh(x[0], -1.0, 1.0),
            &[-1.0, -1.0, 0.0, 1.0, 1.0, NAN],
            &[&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]],
        )]
    }),
    Composition::new("relu6", "y = min(max(x, 0), 6)", || {
        of_one(KINKED, |graph, x| {
            let wide = graph.scale(x[0], 30.0)?;
            graph.relu6(wide)
        })
    })
    .rule("the derivative is 1 where 0 < x < 6, 0 at 0 and at 6", || {
        vec![at(
            "on and beyond the bounds",
            &[&[-1.0, 0.0, 3.0, 6.0, 7.0]],
            |graph, x| graph.relu6(x[0]),
            &[0.0, 0.0, 3.0, 6.0, 6.0],
            &[&[0.0, 0.0, 1.0, 0.0, 0.0]],
        )]
    }),
    Composition::new("hardsigmoid", "y = min(max(x + 3, 0), 6) / 6", || {
        of_one(KINKED, |graph, x| {
            let wide = graph.scale(x[0], 20.0)?;
            graph.hardsigmoid(wide)
        })
    })
    .rule("the derivative is 1/6 where -3 < x < 3, 0 at -3 and at 3", || {
        vec![at(
            "on and beyond the bounds",
            &[&[-4.0, -3.0, 0.0, 3.0, 4.0]],
            |graph, x| graph.hardsigmoid(x[0]),
            &[0.0, 0.0, 0.5, 1.0, 1.0],
            &[&[0.0, 0.0, 1.0 / 6.0, 0.0, 0.0]],
        )]
    }),
    Composition::new("hardswish", "y = x min(max(x + 3, 0), 6) / 6", || {
        of_one(KINKED, |graph, x| {
            let wide = graph.scale(x[0], 20.0)?;
            graph.hardswish(wide)
        })
    })
    .rule("the derivative is 0 at -3 and 1 at 3, as beyond them", || {
        vec![at(
            "on and beyond the bounds",
            &[&[-4.0, -3.0, 0.0, 1.5, 3.0, 4.0]],
            |graph, x| graph.hardswish(x[0]),
            &[0.0, 0.0, 0.0, 1.125, 3.0, 4.0],
            &[&[0.0, 0.0, 0.5, 1.0, 1.0, 1.0]],
        )]
    }),
    Composition::new("hardshrink", "y = 0 where -λ ≤ x ≤ λ, else x", || {
        of_one(KINKED, |graph, x| graph.hardshrink(x[0], 0.11))
    })
    .rule("±λ themselves give 0 with derivative 0; a negative λ leaves every x", || {
        vec![
            at(
                "on and beyond the bounds",
                &[&[-1.0, -0.5, 0.0, 0.5, 1.0, NAN]],
                |graph, x| graph.hardshrink(x[0], 0.5),
                &[-1.0, 0.0, 0.0, 0.0, 1.0, NAN],
                &[&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0]],
            ),
            at(
                "a negative λ",
                &[&[-1.0, -0.5, 0.0, 0.25]],
                |graph, x| graph.hardshrink(x[0], -0.5),
                &[-1.0, -0.5, 0.0, 0.25],
                &[&[1.0; 4]],
            ),
        ]
    }),
    Composition::new("softshrink", "y = x - min(max(x, -λ), λ)", || {
        of_one(KINKED, |graph, x| graph.softshrink(x[0], 0.11))
    })
    .rule("±λ themselves give 0 with derivative 0", || {
        vec![at(
            "on and beyond the bounds",
            &[&[-1.0, -0.5, 0.0, 0.5, 1.0, INF, NAN]],
            |graph, x| graph.softshrink(x[0], 0.5),
            &[-0.5, 0.0, 0.0, 0.0, 0.5, INF, NAN],
            &[&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]],
        )]
    }),
    Composition::new("threshold", "y = x where x > t, else v", || {
        of_one(KINKED, |graph, x| graph.threshold(x[0], 0.11, -3.0))
    })
    .rule("t itself gives v with derivative 0; NaN stays NaN", || {
        vec![at(
            "at the threshold and beside it",
            &[&[0.5, 1.0, 1.5, NAN]],
            |graph, x| graph.threshold(x[0], 1.0, 9.0),
            &[9.0, 9.0, 1.5, NAN],
            &[&[0.0, 0.0, 1.0, 1.0]],
        )]
    }),
    Composition::new("leaky_relu", "y = x where x > 0, else α x", || {
        of_one(KINKED, |graph, x| graph.leaky_relu(x[0], 0.01))
    })
    .rule("the derivative at 0 is that of the left side, α", || {
        vec![at(
            "at 0 and beside it",
            &[&[-2.0, -0.0, 0.0, 2.0, NAN]],
            |graph, x| graph.leaky_relu(x[0], 0.25),
            &[-0.5, 0.0, 0.0, 2.0, NAN],
            &[&[0.25, 0.25, 0.25, 1.0, 0.25]],
        )]
    }),
    Composition::new("prelu", "y = x where x > 0, else w x", || {
        let weight = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("one weight", &[(&[3, 4], KINKED), (&[1], weight)], |graph, x| {
                graph.prelu(x[0], x[1])
            }),
            Case::new("a weight a channel", &[(&[2, 3, 2], KINKED), (&[3], weight)], |graph, x| {
                graph.prelu(x[0], x[1])
            }),
            Case::new("scalars", &[(&[], KINKED), (&[], weight)], |graph, x| {
                graph.prelu(x[0], x[1])
            }),
            Case::new("empty", &[(&[0, 2], KINKED), (&[2], weight)], |graph, x| {
                graph.prelu(x[0], x[1])
            }),
        ]
    })
    .rule("the derivative at 0 is that of the left side: w in x, 0 in w", || {
        vec![at(
            "at 0 and beside it",
            &[&[-2.0, 0.0, 2.0], &[0.25]],
            |graph, x| graph.prelu(x[0], x[1]),
            &[-0.5, 0.0, 2.0],
            &[&[0.25, 0.25, 1.0], &[-2.0]],
        )]
    }),
];

impl Graph {
    /// x held within [lower, upper], with derivative 0 on the bounds; see
    /// [`Graph::clip`] for the one that has 1 there.
    ///
    /// # Errors
    /// Bounds that are crossed, or `x` is not floating-point.
    #[track_caller]
    pub fn hardtanh(&self, x: NodeId, lower: f64, upper: f64) -> Result<NodeId, GraphError> {
        if lower > upper {
            let message = format!("the lower bound {lower} is above the upper bound {upper}");
            return Err(self.error("hardtanh", &[x], message));
        }
        let [least, most] = [self.scalar(lower)?, self.scalar(upper)?];
        let under = self.greater_equal(least, x)?;
        let over = self.greater_equal(x, most)?;
        let y = self.select(under, least, x)?;
        self.select(over, most, y)
    }

    /// min(max(x, 0), 6).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn relu6(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.hardtanh(x, 0.0, 6.0)
    }

    /// min(max(x + 3, 0), 6) / 6: straight lines for the sigmoid.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn hardsigmoid(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let shifted = self.offset(x, 3.0)?;
        let held = self.relu6(shifted)?;
        self.scale(held, 1.0 / 6.0)
    }

    /// x times [`Graph::hardsigmoid`] of x (Howard et al., "Searching for
    /// MobileNetV3", 2019).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn hardswish(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let gate = self.hardsigmoid(x)?;
        self.mul(x, gate)
    }

    /// 0 where -λ ≤ x ≤ λ, else x.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn hardshrink(&self, x: NodeId, lambda: f64) -> Result<NodeId, GraphError> {
        let [least, most] = [self.scalar(-lambda)?, self.scalar(lambda)?];
        let above = self.greater_equal(x, least)?;
        let below = self.greater_equal(most, x)?;
        let inside = self.mul(above, below)?;
        let zero = self.scalar(0.0)?;
        self.select(inside, zero, x)
    }

    /// x moved by λ towards 0, and 0 where it would pass it.
    ///
    /// # Errors
    /// A negative `lambda`, or `x` is not floating-point.
    #[track_caller]
    pub fn softshrink(&self, x: NodeId, lambda: f64) -> Result<NodeId, GraphError> {
        if !(lambda >= 0.0) {
            let message = format!("lambda must be at least 0, not {lambda}");
            return Err(self.error("softshrink", &[x], message));
        }
        let held = self.clip(x, -lambda, lambda)?;
        self.sub(x, held)
    }

    /// x where x > `threshold`, else `value`.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn threshold(&self, x: NodeId, threshold: f64, value: f64) -> Result<NodeId, GraphError> {
        let [threshold, value] = [self.scalar(threshold)?, self.scalar(value)?];
        let below = self.greater_equal(threshold, x)?;
        self.select(below, value, x)
    }

    /// x where x > 0, else `slope` · x (Maas, Hannun and Ng, 2013).
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn leaky_relu(&self, x: NodeId, slope: f64) -> Result<NodeId, GraphError> {
        let slope = self.scalar(slope)?;
        self.rectify(x, slope)
    }

    /// x where x > 0, else w x with a learned w: one for all, or one a channel,
    /// the second dimension of `x` (He et al., "Delving deep into rectifiers",
    /// 2015).
    ///
    /// # Errors
    /// Another number of weights.
    #[track_caller]
    pub fn prelu(&self, x: NodeId, weight: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape(weight);
        let weight = match (shape.len(), self.ty(weight).elements()) {
            (0 | 1, 1) => self.reshape(weight, &[])?,
            (1, count) if self.shape(x).get(1) == Some(&count) => self.on_channels(weight, x)?,
            _ => {
                let message = "takes one weight, or one a channel".to_owned();
                return Err(self.error("prelu", &[x, weight], message));
            }
        };
        self.rectify(x, weight)
    }

    #[track_caller]
    fn rectify(&self, x: NodeId, slope: NodeId) -> Result<NodeId, GraphError> {
        let zero = self.scalar(0.0)?;
        let positive = self.greater(x, zero)?;
        let scaled = self.mul(x, slope)?;
        self.select(positive, x, scaled)
    }
}
