//! Products, spreads and counts over dimensions.
//!
//! As with the reductions among the ops, the axes are dropped, a reduction over
//! no axes works on each element for itself, and
//! [`restore_axes`](crate::Graph::restore_axes) brings dropped axes back.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const INFINITY: f64 = f64::INFINITY;

/// A vector as the only input of an expectation.
pub(super) fn vector(values: &[f64]) -> Vec<Tensor> {
    vec![Tensor::from_f64(&[values.len()], values.to_vec())]
}

pub(super) const ALL: &[Composition] = &[
    Composition::new("min", "y = min x over the axes, which are dropped", || {
        vec![
            Case::new("rows", &[(&[3, 4], Draw::Distinct)], |graph, x| {
                let x = graph.exp(x[0])?;
                graph.min(x, &[1])
            }),
            Case::new("all", &[(&[5], Draw::Distinct)], |graph, x| graph.min(x[0], &[0])),
        ]
    })
    .rule(
        "ties share the cotangent equally (PyTorch's amin); NaN wins; the minimum of nothing is +infinity",
        || {
            vec![
                Expectation::new(
                    "a tie",
                    vector(&[2.0, -1.0, -1.0]),
                    |graph, x| graph.min(x[0], &[0]),
                    &[-1.0],
                )
                .gradients(&[&[0.0, 0.5, 0.5]]),
                Expectation::new("nothing", vector(&[]), |graph, x| graph.min(x[0], &[0]), &[INFINITY]),
                Expectation::new(
                    "a NaN",
                    vector(&[1.0, f64::NAN]),
                    |graph, x| graph.min(x[0], &[0]),
                    &[f64::NAN],
                ),
            ]
        },
    ),
    Composition::new("product", "y = Π x over the axes, which are dropped", || {
        let draw = Draw::Uniform(0.5, 1.5);
        vec![
            Case::new("rows of five", &[(&[2, 5], draw)], |graph, x| graph.product(x[0], &[1])),
            Case::new("two axes", &[(&[3, 2, 2], draw)], |graph, x| graph.product(x[0], &[0, 2])),
            Case::new("of nothing", &[(&[0, 2], draw)], |graph, x| graph.product(x[0], &[0])),
        ]
    })
    .rule("the product of nothing is 1; zeros among the factors leave every derivative exact", || {
        vec![
            Expectation::new("nothing", vector(&[]), |graph, x| graph.product(x[0], &[0]), &[1.0]),
            Expectation::new(
                "one zero",
                vector(&[2.0, 0.0, 3.0]),
                |graph, x| graph.product(x[0], &[0]),
                &[0.0],
            )
            .gradients(&[&[0.0, 6.0, 0.0]]),
            Expectation::new(
                "two zeros: the gradient of the gradient is what is left",
                vector(&[0.0, 5.0, 0.0]),
                |graph, x| {
                    let product = graph.product(x[0], &[0])?;
                    let gradient = graph.gradient(product, &[x[0]])?[0];
                    graph.narrow(gradient, 0, 0, 1, 1)
                },
                &[0.0],
            )
            .gradients(&[&[0.0, 0.0, 5.0]]),
        ]
    }),
    Composition::new(
        "variance",
        "y = Σ (x - mean x)² / max(0, n - correction) over the axes, which are dropped",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![
                Case::new("rows", &[(&[3, 5], draw)], |graph, x| graph.variance(x[0], &[1], 1.0)),
                Case::new("all, uncorrected", &[(&[2, 3], draw)], |graph, x| {
                    graph.variance(x[0], &[0, 1], 0.0)
                }),
            ]
        },
    )
    .rule("without degrees of freedom: NaN where the deviations are 0, else infinite", || {
        vec![
            Expectation::new(
                "one value",
                vector(&[3.0]),
                |graph, x| graph.variance(x[0], &[0], 1.0),
                &[f64::NAN],
            ),
            Expectation::new(
                "two values less three",
                vector(&[3.0, 4.0]),
                |graph, x| graph.variance(x[0], &[0], 3.0),
                &[INFINITY],
            ),
        ]
    }),
    Composition::new(
        "standard_deviation",
        "y = √variance over the axes, which are dropped",
        || {
            let draw = Draw::Distinct;
            vec![
                Case::new("rows", &[(&[3, 5], draw)], |graph, x| {
                    graph.standard_deviation(x[0], &[1], 1.0)
                }),
                Case::new("all, corrected by a half", &[(&[2, 3], draw)], |graph, x| {
                    graph.standard_deviation(x[0], &[0, 1], 0.5)
                }),
            ]
        },
    )
    .rule("the gradient is 0 where all values are equal", || {
        vec![
            Expectation::new(
                "equal values",
                vector(&[2.0, 2.0]),
                |graph, x| graph.standard_deviation(x[0], &[0], 1.0),
                &[0.0],
            )
            .gradients(&[&[0.0, 0.0]]),
        ]
    }),
    Composition::new(
        "log_sum_exp",
        "y = ln Σ exp x over the axes, which are dropped",
        || {
            let draw = Draw::Uniform(-2.0, 2.0);
            vec![
                Case::new("rows", &[(&[3, 5], draw)], |graph, x| graph.log_sum_exp(x[0], &[1])),
                Case::new("far out", &[(&[2, 3], draw)], |graph, x| {
                    let far = graph.offset(x[0], 800.0)?;
                    graph.log_sum_exp(far, &[0, 1])
                }),
                Case::new("over no axis", &[(&[3], draw)], |graph, x| {
                    graph.log_sum_exp(x[0], &[])
                }),
            ]
        },
    )
    .rule("nothing, or nothing but -infinity, gives -infinity; a +infinity gives +infinity", || {
        vec![
            Expectation::new(
                "-infinity beside a number",
                vector(&[-INFINITY, 2.0]),
                |graph, x| graph.log_sum_exp(x[0], &[0]),
                &[2.0],
            )
            .gradients(&[&[0.0, 1.0]]),
            Expectation::new(
                "only -infinity",
                vector(&[-INFINITY, -INFINITY]),
                |graph, x| graph.log_sum_exp(x[0], &[0]),
                &[-INFINITY],
            ),
            Expectation::new(
                "+infinity",
                vector(&[INFINITY, 2.0]),
                |graph, x| graph.log_sum_exp(x[0], &[0]),
                &[INFINITY],
            ),
            Expectation::new(
                "nothing",
                vector(&[]),
                |graph, x| graph.log_sum_exp(x[0], &[0]),
                &[-INFINITY],
            ),
        ]
    }),
    Composition::new("count_nonzero", "y = the number of x ≠ 0 over the axes, which are dropped", || {
        vec![Case::new("rows", &[(&[2, 3], Draw::Distinct)], |graph, x| {
            graph.count_nonzero(x[0], &[1])
        })]
    })
    .rule("NaN is not 0", || {
        vec![Expectation::new(
            "a zero, a number and a NaN",
            vector(&[0.0, 2.0, f64::NAN]),
            |graph, x| graph.count_nonzero(x[0], &[0]),
            &[2.0],
        )]
    }),
    Composition::new("any", "y = 1 if an x ≠ 0 over the axes, which are dropped, else 0", || {
        vec![Case::new("rows", &[(&[2, 3], Draw::Distinct)], |graph, x| graph.any(x[0], &[1]))]
    })
    .rule("of nothing: 0", || {
        vec![
            Expectation::new("nothing", vector(&[]), |graph, x| graph.any(x[0], &[0]), &[0.0]),
            Expectation::new("one", vector(&[0.0, 2.0]), |graph, x| graph.any(x[0], &[0]), &[1.0]),
            Expectation::new("none", vector(&[0.0, 0.0]), |graph, x| graph.any(x[0], &[0]), &[0.0]),
        ]
    }),
    Composition::new("all", "y = 1 if every x ≠ 0 over the axes, which are dropped, else 0", || {
        vec![Case::new("rows", &[(&[2, 3], Draw::Distinct)], |graph, x| graph.all(x[0], &[1]))]
    })
    .rule("of nothing: 1", || {
        vec![
            Expectation::new("nothing", vector(&[]), |graph, x| graph.all(x[0], &[0]), &[1.0]),
            Expectation::new("one 0", vector(&[0.0, 2.0]), |graph, x| graph.all(x[0], &[0]), &[0.0]),
            Expectation::new("no 0", vector(&[1.0, 2.0]), |graph, x| graph.all(x[0], &[0]), &[1.0]),
        ]
    }),
];

impl Graph {
    /// The minimum over `axes`, which are dropped; over none, `x` itself.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn min(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let negated = self.neg(x)?;
        let largest = self.max(negated, axes)?;
        self.neg(largest)
    }

    /// The product over `axes`, which are dropped: a balanced tree of products
    /// of two, which no zero among the factors disturbs at any order of
    /// derivative (the quotient of the product and a factor would).
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn product(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        self.extent("product", x, axes)?;
        // The reduced axes last and merged: one tree over all of them.
        let mut order: Vec<_> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let kept: Vec<_> = order.iter().map(|axis| shape[*axis]).collect();
        order.extend(axes);
        let x = if order.is_sorted() { x } else { self.permute(x, &order)? };
        let last = kept.len();
        let count = axes.iter().map(|axis| shape[*axis]).product();
        let mut factors = self.reshape(x, &[&kept[..], &[count]].concat())?;
        let mut length = count;
        if length == 0 {
            let one = self.scalar(1.0)?;
            return self.expand(one, &kept);
        }
        while length > 1 {
            let half = length / 2;
            let first = self.narrow(factors, last, 0, 1, half)?;
            let second = self.narrow(factors, last, half, 1, half)?;
            let product = self.mul(first, second)?;
            factors = if length % 2 == 1 {
                let left = self.narrow(factors, last, 2 * half, 1, 1)?;
                self.concat(&[product, left], last)?
            } else {
                product
            };
            length = length.div_ceil(2);
        }
        self.reshape(factors, &kept)
    }

    /// Σ (x - mean x)² / max(0, n - `correction`) over the n elements of
    /// `axes`, which are dropped; a correction of 1 is Bessel's. Two passes:
    /// the squares of deviations do not cancel.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn variance(
        &self,
        x: NodeId,
        axes: &[usize],
        correction: f64,
    ) -> Result<NodeId, GraphError> {
        let count = self.extent("variance", x, axes)?;
        let mean = self.mean(x, axes)?;
        let mean = self.restore_axes(mean, &self.shape(x), axes)?;
        let deviation = self.sub(x, mean)?;
        let square = self.square(deviation)?;
        let sum = self.sum(square, axes)?;
        let freedom = self.scalar((count as f64 - correction).max(0.0))?;
        self.div(sum, freedom)
    }

    /// √[`Graph::variance`], with gradient 0 where the variance is 0.
    ///
    /// # Errors
    /// As [`Graph::variance`].
    #[track_caller]
    pub fn standard_deviation(
        &self,
        x: NodeId,
        axes: &[usize],
        correction: f64,
    ) -> Result<NodeId, GraphError> {
        let variance = self.variance(x, axes, correction)?;
        self.root_or_zero(variance)
    }

    /// ln Σ exp x over `axes`, which are dropped. The maximum is taken off
    /// first; it is a constant to the gradient, since it cancels.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn log_sum_exp(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let held = self.detach(x)?;
        let largest = self.max(held, axes)?;
        let size = self.abs(largest)?;
        let infinity = self.scalar(INFINITY)?;
        let infinite = self.equal(size, infinity)?;
        let zero = self.scalar(0.0)?;
        let shift = self.select(infinite, zero, largest)?;
        let along = self.restore_axes(shift, &self.shape(x), axes)?;
        let shifted = self.sub(x, along)?;
        let exponential = self.exp(shifted)?;
        let sum = self.sum(exponential, axes)?;
        let log = self.log(sum)?;
        self.add(log, shift)
    }

    /// How many elements over `axes`, which are dropped, are not 0.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn count_nonzero(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let is_zero = self.equal(x, zero)?;
        let other = self.sub(one, is_zero)?;
        self.sum(other, axes)
    }

    /// 1 where an element over `axes`, which are dropped, is not 0; else 0.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn any(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let count = self.count_nonzero(x, axes)?;
        let zero = self.scalar(0.0)?;
        self.greater(count, zero)
    }

    /// 1 where no element over `axes`, which are dropped, is 0; else 0.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn all(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let zero = self.scalar(0.0)?;
        let zeros = self.equal(x, zero)?;
        let count = self.sum(zeros, axes)?;
        self.equal(count, zero)
    }

    /// √x, with value and gradient 0 where x is 0.
    #[track_caller]
    pub(super) fn root_or_zero(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        let is_zero = self.equal(x, zero)?;
        let safe = self.select(is_zero, one, x)?;
        let root = self.sqrt(safe)?;
        self.select(is_zero, zero, root)
    }

    /// The number of elements over `axes`, for functions that need it before
    /// the first node.
    #[track_caller]
    pub(super) fn extent(&self, op: &str, x: NodeId, axes: &[usize]) -> Result<usize, GraphError> {
        let shape = self.shape(x);
        let mut count = 1;
        for (i, axis) in axes.iter().enumerate() {
            let Some(size) = shape.get(*axis).filter(|_| !axes[..i].contains(axis)) else {
                let message = format!("axis {axis} does not exist or is named twice");
                return Err(self.error(op, &[x], message));
            };
            count *= size;
        }
        Ok(count)
    }
}
