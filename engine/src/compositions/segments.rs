//! Reductions over segments: slices that belong together by an index, as the
//! edges that arrive at one node of a graph. Their sum is the op `index_add`,
//! their maximum the op `segment_max`.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

pub(super) const ALL: &[Composition] = &[
    Composition::new("segment_count", "yₛ = the number of i with index[i] = s", || {
        vec![Case::new("seven", &[(&[7], Draw::Index(3))], |graph, x| graph.segment_count(x[0], 3))]
    })
    .rule("an index outside counts for no segment", || {
        let build = |graph: &Graph, x: &[NodeId]| graph.segment_count(x[0], 3);
        vec![Expectation::new("outside", vec![i(&[0, 3, 0, -1])], build, &[2.0, 0.0, 0.0])]
    }),
    Composition::new(
        "segment_mean",
        "y[…, s, …] = mean of x[…, i, …] over the i with index[i] = s",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![
                Case::new("rows", &[(&[7, 2], draw), (&[7], Draw::Index(3))], |graph, x| {
                    let squares = graph.square(x[0])?;
                    graph.segment_mean(squares, 0, x[1], 3)
                }),
                Case::new("columns", &[(&[2, 6], draw), (&[6], Draw::Index(3))], |graph, x| {
                    let squares = graph.square(x[0])?;
                    graph.segment_mean(squares, 1, x[1], 4)
                }),
            ]
        },
    )
    .rule("an empty segment is 0; an index outside belongs to no segment and gets no gradient", || {
        vec![
            Expectation::new(
                "empty",
                vec![f(&[3], &[1.0, 3.0, 5.0]), i(&[2, 2, 0])],
                |graph, x| graph.segment_mean(x[0], 0, x[1], 3),
                &[5.0, 0.0, 2.0],
            )
            .gradients(&[&[0.5, 0.5, 1.0]]),
            Expectation::new(
                "outside",
                vec![f(&[3], &[1.0, 3.0, 5.0]), i(&[0, -1, 2])],
                |graph, x| graph.segment_mean(x[0], 0, x[1], 2),
                &[1.0, 0.0],
            )
            .gradients(&[&[1.0, 0.0, 0.0]]),
        ]
    }),
    Composition::new(
        "segment_softmax",
        "y[…, i, …] = exp x[…, i, …] / Σ exp x[…, k, …] over the k with index[k] = index[i]",
        || {
            let draw = Draw::Uniform(-2.0, 2.0);
            vec![
                Case::new("rows", &[(&[7, 2], draw), (&[7], Draw::Index(3))], |graph, x| {
                    graph.segment_softmax(x[0], 0, x[1], 3)
                }),
                Case::new("columns", &[(&[2, 6], draw), (&[6], Draw::Index(3))], |graph, x| {
                    graph.segment_softmax(x[0], 1, x[1], 4)
                }),
            ]
        },
    )
    .rule(
        "-infinity has no share, and all of a segment -infinity is NaN; an index outside belongs to no segment: 0 and no gradient",
        || {
            let infinity = f64::INFINITY;
            vec![
                Expectation::new(
                    "large and masked",
                    vec![f(&[5], &[1e4, 1e4, -infinity, -1e4, 3.0]), i(&[0, 0, 0, 1, 9])],
                    |graph, x| graph.segment_softmax(x[0], 0, x[1], 2),
                    &[0.5, 0.5, 0.0, 1.0, 0.0],
                )
                .gradients(&[&[0.0; 5]]),
                Expectation::new(
                    "nothing but masked",
                    vec![f(&[3], &[-infinity, 0.0, -infinity]), i(&[0, 1, 0])],
                    |graph, x| graph.segment_softmax(x[0], 0, x[1], 2),
                    &[f64::NAN, 1.0, f64::NAN],
                ),
            ]
        },
    ),
];

fn f(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, values.to_vec())
}

fn i(values: &[i32]) -> Tensor {
    Tensor::from_i32(&[values.len()], values.to_vec())
}

impl Graph {
    /// How many of the indices name each of `size` segments: [size], as floats
    /// (the degrees of a graph's nodes, from the ends of its edges).
    ///
    /// # Errors
    /// `index` is not one dimension of `i32`.
    #[track_caller]
    pub fn segment_count(&self, index: NodeId, size: usize) -> Result<NodeId, GraphError> {
        let one = self.scalar(1.0)?;
        let ones = self.expand(one, &self.shape(index))?;
        self.index_add(ones, 0, index, size)
    }

    /// For each of `size` segments the mean of the slices of `x` along `axis`
    /// that belong to it; slice i belongs to segment `index[i]`.
    ///
    /// # Errors
    /// `axis` does not exist, or `index` is not one `i32` a slice of `x`.
    #[track_caller]
    pub fn segment_mean(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        let sum = self.index_add(x, axis, index, size)?;
        let count = self.segment_count(index, size)?;
        let one = self.scalar(1.0)?;
        let count = self.maximum(count, one)?;
        let mut along = vec![1; self.shape(x).len()];
        along[axis] = size;
        let count = self.reshape(count, &along)?;
        self.div(sum, count)
    }

    /// The softmax of `x` along `axis` within each of `size` segments (the
    /// weights of graph attention, Veličković et al., ICLR 2018).
    ///
    /// # Errors
    /// `axis` does not exist, or `index` is not one `i32` a slice of `x`.
    #[track_caller]
    pub fn segment_softmax(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        size: usize,
    ) -> Result<NodeId, GraphError> {
        // A shift common to a segment cancels, so it needs no gradient of any
        // order; that of the maximum keeps the exponentials at most 1.
        let shift = self.segment_max(x, axis, index, size)?;
        let shift = self.detach(shift)?;
        let shift = self.index_select_or_zero(shift, axis, index)?;
        let [zero, one] = [self.scalar(0.0)?, self.scalar(1.0)?];
        // What belongs to no segment is kept away from every function.
        let segments = self.expand(one, &[size])?;
        let inside = self.index_select_or_zero(segments, 0, index)?;
        let mut along = vec![1; self.shape(x).len()];
        along[axis] = self.shape(x)[axis];
        let inside = self.reshape(inside, &along)?;
        let shifted = self.sub(x, shift)?;
        let shifted = self.select(inside, shifted, zero)?;
        let exponential = self.exp(shifted)?;
        let total = self.index_add(exponential, axis, index, size)?;
        let total = self.index_select_or_zero(total, axis, index)?;
        let total = self.select(inside, total, one)?;
        let share = self.div(exponential, total)?;
        self.select(inside, share, zero)
    }
}
