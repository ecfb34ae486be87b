//! Order along a dimension: sorting, the largest, winners.
//!
//! Each is a gather at the indices that `argsort` gives, so the tie rule stands
//! there, and the gradient is a scatter of any order.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const TIES: &str =
    "equals stay in their order and each gets its own cotangent; NaN counts as the largest; -0 = 0";

pub(super) const ALL: &[Composition] = &[
    Composition::new("sort", "y = x in order along an axis", || {
        vec![
            Case::new("rows", &[(&[3, 5], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                Ok(graph.sort(exponentials, 1, false)?.values)
            }),
            Case::new("columns, descending", &[(&[5, 2], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                Ok(graph.sort(exponentials, 0, true)?.values)
            }),
        ]
    })
    .rule(TIES, || {
        let build = |graph: &Graph, x: &[NodeId]| {
            let sorted = graph.sort(x[0], 0, true)?.values;
            let weights = graph.iota(4)?;
            graph.mul(sorted, weights)
        };
        let tied = vec![f(&[4], &[2.0, 7.0, 2.0, 7.0])];
        let with_nan = vec![f(&[4], &[1.0, f64::NAN, f64::INFINITY, 2.0])];
        vec![
            Expectation::new("ties", tied, build, &[0.0, 7.0, 4.0, 6.0])
                .gradients(&[&[2.0, 0.0, 3.0, 1.0]]),
            Expectation::new("NaN", with_nan, build, &[f64::NAN, f64::INFINITY, 4.0, 3.0])
                .gradients(&[&[3.0, 0.0, 1.0, 2.0]]),
        ]
    }),
    Composition::new("topk", "y = the k largest or smallest of x along an axis, in order", || {
        vec![
            Case::new("largest", &[(&[2, 6], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                Ok(graph.topk(exponentials, 1, 3, true)?.values)
            }),
            Case::new("smallest", &[(&[6, 2], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                Ok(graph.topk(exponentials, 0, 2, false)?.values)
            }),
        ]
    })
    .rule(TIES, || {
        vec![
            Expectation::new(
                "ties",
                vec![f(&[5], &[3.0, 5.0, 3.0, 5.0, 3.0])],
                |graph, x| Ok(graph.topk(x[0], 0, 3, true)?.values),
                &[5.0, 5.0, 3.0],
            )
            .gradients(&[&[1.0, 1.0, 0.0, 1.0, 0.0]]),
        ]
    }),
    Composition::new(
        "kth_smallest",
        "y = the element with k smaller ones before it in order",
        || {
            vec![Case::new("rows", &[(&[3, 5], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                graph.kth_smallest(exponentials, 1, 3)
            })]
        },
    )
    .rule(TIES, || {
        vec![
            Expectation::new(
                "ties",
                vec![f(&[2, 3], &[4.0, 1.0, 4.0, f64::NAN, 2.0, 9.0])],
                |graph, x| graph.kth_smallest(x[0], 1, 1),
                &[4.0, 9.0],
            )
            .gradients(&[&[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]]),
        ]
    }),
    Composition::new("median", "y = the element in the middle, of two the smaller", || {
        vec![Case::new("of four", &[(&[4, 3], Draw::Distinct)], |graph, x| {
            let exponentials = graph.exp(x[0])?;
            graph.median(exponentials, 0)
        })]
    })
    .rule("of equals the first in the middle; NaN if there is one", || {
        vec![
            Expectation::new(
                "ties",
                vec![f(&[4], &[2.0, 1.0, 2.0, 2.0])],
                |graph, x| graph.median(x[0], 0),
                &[2.0],
            )
            .gradients(&[&[1.0, 0.0, 0.0, 0.0]]),
            Expectation::new(
                "NaN",
                vec![f(&[2, 3], &[f64::NAN, 1.0, 1.0, 2.0, 1.0, 3.0])],
                |graph, x| graph.median(x[0], 1),
                &[f64::NAN, 2.0],
            ),
        ]
    }),
    Composition::new("winners", "y = 1 for the k largest of x along an axis, else 0", || {
        vec![Case::new("rows", &[(&[3, 5], Draw::Distinct)], |graph, x| graph.winners(x[0], 1, 2))]
    })
    .rule("of equals the first win; the mask has no gradient", || {
        vec![
            Expectation::new(
                "ties",
                vec![f(&[2, 4], &[1.0, 1.0, 1.0, 0.0, -1.0, 3.0, 3.0, 5.0])],
                |graph, x| graph.winners(x[0], 1, 2),
                &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0],
            )
            .gradients(&[&[0.0; 8]]),
        ]
    }),
    Composition::new(
        "k_winners",
        "y = x where x is among the k largest along an axis, else 0",
        || {
            vec![Case::new("rows", &[(&[3, 5], Draw::Distinct)], |graph, x| {
                let exponentials = graph.exp(x[0])?;
                graph.k_winners(exponentials, 1, 2)
            })]
        },
    )
    .rule(
        "of equals the first win; losers are 0 and get no gradient, even where they are NaN",
        || {
            vec![
                Expectation::new(
                    "ties",
                    vec![f(&[5], &[2.0, 2.0, 2.0, 1.0, -f64::INFINITY])],
                    |graph, x| graph.k_winners(x[0], 0, 2),
                    &[2.0, 2.0, 0.0, 0.0, 0.0],
                )
                .gradients(&[&[1.0, 1.0, 0.0, 0.0, 0.0]]),
            ]
        },
    ),
    Composition::new(
        "k_winners_by",
        "y = x where the score is among the k largest along an axis, else 0",
        || {
            let inputs: &[(&[usize], Draw)] =
                &[(&[3, 5], Draw::Uniform(-1.0, 1.0)), (&[3, 5], Draw::Distinct)];
            vec![Case::new("rows", inputs, |graph, x| {
                let squares = graph.square(x[0])?;
                graph.k_winners_by(squares, x[1], 1, 3)
            })]
        },
    ),
];

fn f(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, values.to_vec())
}

/// Elements in order, and where they stood.
#[derive(Clone, Copy, Debug)]
pub struct Sorted {
    /// The elements.
    pub values: NodeId,
    /// Their indices along the axis, `i32`.
    pub indices: NodeId,
}

impl Graph {
    /// The elements of `x` in order along `axis`, and their indices. A tensor
    /// without dimensions has axis 0 with its one element.
    ///
    /// # Errors
    /// `axis` does not exist.
    #[track_caller]
    pub fn sort(&self, x: NodeId, axis: usize, descending: bool) -> Result<Sorted, GraphError> {
        let line = self.at_least_1d(x)?;
        let Some(size) = self.shape(line).get(axis).copied() else {
            return Err(self.error("sort", &[x], format!("axis {axis} does not exist")));
        };
        self.first_in_order(x, axis, descending, size)
    }

    /// The `k` largest elements of `x` along `axis`, the largest first, and
    /// their indices; or the smallest, the smallest first.
    ///
    /// # Errors
    /// `axis` does not exist or has fewer than `k` elements.
    #[track_caller]
    pub fn topk(
        &self,
        x: NodeId,
        axis: usize,
        k: usize,
        largest: bool,
    ) -> Result<Sorted, GraphError> {
        self.first_in_order(x, axis, largest, k)
    }

    #[track_caller]
    fn first_in_order(
        &self,
        x: NodeId,
        axis: usize,
        descending: bool,
        count: usize,
    ) -> Result<Sorted, GraphError> {
        let line = self.at_least_1d(x)?;
        let mut indices = self.argsort(line, axis, descending, count)?;
        let mut values = self.gather(line, axis, indices)?;
        if line != x && count == 1 {
            (values, indices) = (self.reshape(values, &[])?, self.reshape(indices, &[])?);
        }
        Ok(Sorted { values, indices })
    }

    /// The element with `k` others before it in ascending order along `axis`,
    /// which is dropped.
    ///
    /// # Errors
    /// `axis` does not exist or has no more than `k` elements.
    #[track_caller]
    pub fn kth_smallest(&self, x: NodeId, axis: usize, k: usize) -> Result<NodeId, GraphError> {
        let mut shape = self.shape(x);
        if shape.get(axis).is_none_or(|size| k >= *size) {
            let message = format!("there are no {k} elements and one more along axis {axis}");
            return Err(self.error("kth_smallest", &[x], message));
        }
        let first = self.argsort(x, axis, false, k + 1)?;
        let index = self.narrow(first, axis, k, 1, 1)?;
        let picked = self.gather(x, axis, index)?;
        shape.remove(axis);
        self.reshape(picked, &shape)
    }

    /// The element in the middle along `axis`, which is dropped; of an even
    /// number the smaller of the two (as PyTorch's `median`).
    ///
    /// # Errors
    /// `axis` does not exist or has size 0.
    #[track_caller]
    pub fn median(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let size = self.shape(x).get(axis).copied().unwrap_or(0);
        let Some(last) = size.checked_sub(1) else {
            let message = format!("axis {axis} does not exist or is empty");
            return Err(self.error("median", &[x], message));
        };
        let middle = self.kth_smallest(x, axis, last / 2)?;
        // NaN, being the largest in order, may lie behind the middle.
        let largest = self.max(x, &[axis])?;
        let largest = self.detach(largest)?;
        let number = self.equal(largest, largest)?;
        self.select(number, middle, largest)
    }

    /// 1 for the `k` largest elements of `x` along `axis`, 0 for the others.
    ///
    /// # Errors
    /// `axis` does not exist or has fewer than `k` elements.
    #[track_caller]
    pub fn winners(&self, x: NodeId, axis: usize, k: usize) -> Result<NodeId, GraphError> {
        let indices = self.argsort(x, axis, true, k)?;
        let one = self.scalar(1.0)?;
        let ones = self.expand(one, &self.shape(indices))?;
        self.scatter_add(ones, axis, indices, self.shape(x)[axis])
    }

    /// `x` where it is among the `k` largest along `axis`, else 0: the k-winners
    /// activation of Ahmad and Scheinkman, "How can we be so dense? The benefits
    /// of using highly sparse representations", 2019.
    ///
    /// # Errors
    /// As [`Graph::winners`].
    #[track_caller]
    pub fn k_winners(&self, x: NodeId, axis: usize, k: usize) -> Result<NodeId, GraphError> {
        self.k_winners_by(x, x, axis, k)
    }

    /// `x` where its `score` is among the `k` largest along `axis`, else 0:
    /// k-winners with a boost, which changes who wins but not what is passed on
    /// (section 3 of the same paper, where the score is x times
    /// exp(β (target - duty cycle))).
    ///
    /// # Errors
    /// As [`Graph::winners`], or shapes that do not broadcast.
    #[track_caller]
    pub fn k_winners_by(
        &self,
        x: NodeId,
        score: NodeId,
        axis: usize,
        k: usize,
    ) -> Result<NodeId, GraphError> {
        let winners = self.winners(score, axis, k)?;
        let zero = self.scalar(0.0)?;
        self.select(winners, x, zero)
    }
}
