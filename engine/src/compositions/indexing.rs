//! Picking elements and slices by index, and adding them up.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::tensor::Tensor;

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "narrow_at",
        "y[…, i, …] = x[…, start + i, …], i < length, with start a number of the graph",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![Case::new("rows", &[(&[6, 3], draw), (&[], Draw::Index(3))], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.narrow_at(squares, 0, x[1], 4)
            })]
        },
    )
    .rule("a negative start counts from the end; what leaves the dimension is NaN", || {
        let x = || f(&[4], &[1.0, 2.0, 3.0, 4.0]);
        let build = |graph: &Graph, x: &[NodeId]| graph.narrow_at(x[0], 0, x[1], 2);
        vec![
            Expectation::new("from the end", vec![x(), i(&[], &[-3])], build, &[2.0, 3.0])
                .gradients(&[&[0.0, 1.0, 1.0, 0.0]]),
            Expectation::new("beyond", vec![x(), i(&[], &[3])], build, &[4.0, f64::NAN])
                .gradients(&[&[0.0, 0.0, 0.0, 1.0]]),
        ]
    }),
    Composition::new("take_fixed", "y[…, i, …] = x[…, positionᵢ, …], the positions fixed", || {
        vec![Case::new("columns", &[(&[2, 4], Draw::Uniform(-1.0, 1.0))], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.take_fixed(squares, 1, &[3, 0, 3])
        })]
    }),
    Composition::new("select_slices", "index_select, also of and by tensors without dimensions", || {
        vec![Case::new(
            "of a number",
            &[(&[], Draw::Uniform(-1.0, 1.0)), (&[], Draw::Index(1))],
            |graph, x| {
                let square = graph.square(x[0])?;
                graph.select_slices(square, 0, x[1])
            },
        )]
    }),
    Composition::new(
        "take_along",
        "y[…, i, …] = x[…, index[…, i, …], …], index no larger than x in the other dimensions",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![
                Case::new("fewer rows", &[(&[4, 5], draw), (&[2, 3], Draw::Index(5))], |graph, x| {
                    let squares = graph.square(x[0])?;
                    graph.take_along(squares, 1, x[1])
                }),
                Case::new("of a number", &[(&[], draw), (&[3], Draw::Index(1))], |graph, x| {
                    let square = graph.square(x[0])?;
                    graph.take_along(square, 0, x[1])
                }),
            ]
        },
    ),
    Composition::new(
        "scatter_add_to",
        "y = x; y[…, index[…, i, …], …] += source[…, i, …], index no larger than x and source",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            let inputs: &[(&[usize], Draw)] =
                &[(&[5, 4], draw), (&[2, 3], Draw::Index(5)), (&[3, 3], draw)];
            vec![
                Case::new("a corner", inputs, |graph, x| {
                    let y = graph.scatter_add_to(x[0], 0, x[1], x[2])?;
                    graph.square(y)
                }),
                Case::new(
                    "numbers",
                    &[(&[], draw), (&[], Draw::Index(1)), (&[], draw)],
                    |graph, x| {
                        let y = graph.scatter_add_to(x[0], 0, x[1], x[2])?;
                        graph.square(y)
                    },
                ),
            ]
        },
    ),
    Composition::new(
        "index_add_to",
        "y = x; y[…, index[i], …] += alpha · source[…, i, …]",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            let inputs: &[(&[usize], Draw)] =
                &[(&[2, 4], draw), (&[3], Draw::Index(4)), (&[2, 3], draw)];
            vec![Case::new("columns", inputs, |graph, x| {
                let y = graph.index_add_to(x[0], 1, x[1], x[2], -0.5)?;
                graph.square(y)
            })]
        },
    ),
    Composition::new(
        "embedding",
        "y[…, :] = weight[index[…], :], the rows of a table",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![Case::new("matrix", &[(&[5, 3], draw), (&[2, 4], Draw::Index(5))], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.embedding(squares, x[1], &Embedding::default())
            })]
        },
    )
    .rule(
        "the padding row gets no gradient, frequent rows the mean of theirs if asked; rows longer than the largest norm are cut back to it in the value alone, the gradient being that of the row as it stands",
        || {
            let inputs =
                || vec![f(&[3, 2], &[3.0, 4.0, 1.0, 1.0, 0.5, 0.5]), i(&[2, 2], &[0, 2, 1, 0])];
            let rows = [3.0, 4.0, 0.5, 0.5, 1.0, 1.0, 3.0, 4.0];
            // ‖(3, 4)‖ = 5; PyTorch divides by the norm plus 1e-7.
            let cut = [3.0 * 2.0 / (5.0 + 1e-7), 4.0 * 2.0 / (5.0 + 1e-7)];
            let cut = [&cut[..], &[0.5, 0.5, 1.0, 1.0], &cut].concat();
            vec![
                Expectation::new(
                    "padding",
                    inputs(),
                    |graph, x| {
                        let options = Embedding { padding: Some(0), ..Embedding::default() };
                        graph.embedding(x[0], x[1], &options)
                    },
                    &rows,
                )
                .gradients(&[&[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]),
                Expectation::new(
                    "by frequency",
                    inputs(),
                    |graph, x| {
                        let options = Embedding { mean_gradient: true, ..Embedding::default() };
                        let y = graph.embedding(x[0], x[1], &options)?;
                        graph.square(y)
                    },
                    &rows.map(|value| value * value),
                )
                .gradients(&[&[6.0, 8.0, 2.0, 2.0, 1.0, 1.0]]),
                Expectation::new(
                    "cut back",
                    inputs(),
                    |graph, x| {
                        let options =
                            Embedding { largest_norm: Some((2.0, 2.0)), ..Embedding::default() };
                        graph.embedding(x[0], x[1], &options)
                    },
                    &cut,
                )
                .gradients(&[&[2.0, 2.0, 1.0, 1.0, 1.0, 1.0]]),
            ]
        },
    ),
    Composition::new(
        "pick",
        "y[…] = x[…, index[…], …], one element of a dimension each, which is dropped",
        || {
            let draw = Draw::Uniform(-1.0, 1.0);
            vec![Case::new("rows", &[(&[4, 3], draw), (&[4], Draw::Index(3))], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pick(squares, 1, x[1])
            })]
        },
    ),
    Composition::new("one_hot", "y[…, c] = 1 if index[…] = c, else 0", || {
        vec![Case::new("matrix", &[(&[2, 3], Draw::Index(4))], |graph, x| graph.one_hot(x[0], 4))]
    })
    .rule("an index outside gives zeros", || {
        let index = i(&[3], &[1, -1, 2]);
        let build = |graph: &Graph, x: &[NodeId]| graph.one_hot(x[0], 2);
        let rows = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        vec![Expectation::new("outside", vec![index], build, &rows)]
    }),
];

fn f(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, values.to_vec())
}

fn i(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::from_i32(shape, values.to_vec())
}

/// What an embedding does beside looking up rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedding {
    /// A row that gets no gradient.
    pub padding: Option<usize>,
    /// Whether a row that was looked up several times gets the mean of their
    /// gradients instead of the sum.
    pub mean_gradient: bool,
    /// The largest length of a row, and the p of the norm it is measured in.
    pub largest_norm: Option<(f64, f64)>,
}

impl Graph {
    /// The slices of `x` along `axis` at fixed positions.
    ///
    /// # Errors
    /// `axis` does not exist, or a position does not fit into `i32`.
    #[track_caller]
    pub fn take_fixed(
        &self,
        x: NodeId,
        axis: usize,
        positions: &[usize],
    ) -> Result<NodeId, GraphError> {
        let index: Result<Vec<i32>, _> = positions.iter().map(|i| i32::try_from(*i)).collect();
        let Ok(index) = index else {
            let message = "a position does not fit into i32".to_owned();
            return Err(self.error("take_fixed", &[x], message));
        };
        let index = self.constant(Tensor::from_i32(&[index.len()], index))?;
        self.index_select(x, axis, index)
    }

    /// The `length` slices of `x` along `axis` from `start` on, an `i32` without
    /// dimensions, which counts from the end if it is negative.
    ///
    /// # Errors
    /// `axis` does not exist, or `start` is not one `i32`.
    #[track_caller]
    pub fn narrow_at(
        &self,
        x: NodeId,
        axis: usize,
        start: NodeId,
        length: usize,
    ) -> Result<NodeId, GraphError> {
        let Some(size) = self.shape(x).get(axis).copied() else {
            return Err(self.error(
                "narrow_at",
                &[x, start],
                format!("axis {axis} does not exist"),
            ));
        };
        let start = self.cast(start)?;
        let start = self.reshape(start, &[])?;
        let zero = self.scalar(0.0)?;
        let negative = self.greater(zero, start)?;
        let turn = self.scale(negative, size as f64)?;
        let start = self.add(start, turn)?;
        let ramp = self.iota(length)?;
        let positions = self.add(ramp, start)?;
        let positions = self.to_index(positions)?;
        self.index_select(x, axis, positions)
    }

    /// Along `axis`, the elements of `x` at `index`; elsewhere `index` may be
    /// smaller than `x`, of which then the first elements are taken. A tensor
    /// without dimensions counts as one with a single element, and an index
    /// without elements takes none, whatever its shape. (PyTorch's `gather`.)
    ///
    /// # Errors
    /// Numbers of dimensions that differ, or an `index` that is larger.
    #[track_caller]
    pub fn take_along(&self, x: NodeId, axis: usize, index: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape(index);
        if shape.contains(&0) {
            return self.constant(Tensor::new(&TensorType::new(self.ty(x).dtype, &shape), &[]));
        }
        let (x, flat) = (self.at_least_1d(x)?, self.at_least_1d(index)?);
        let corner = self.corner(x, &self.shape(flat), Some(axis))?;
        let picked = self.gather(corner, axis, flat)?;
        self.reshape(picked, &shape)
    }

    /// `x` with the elements of `source` added along `axis` at `index`, which
    /// may be smaller than both: then its sizes are what is added of `source`,
    /// to the first elements of `x`. (PyTorch's `scatter_add`.)
    ///
    /// # Errors
    /// Numbers of dimensions that differ, or an `index` that is larger.
    #[track_caller]
    pub fn scatter_add_to(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        source: NodeId,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let x = self.at_least_1d(x)?;
        let (index, source) = (self.at_least_1d(index)?, self.at_least_1d(source)?);
        let full = self.shape(x);
        let Some(size) = full.get(axis).copied() else {
            let message = format!("axis {axis} does not exist");
            return Err(self.error("scatter_add_to", &[x, index, source], message));
        };
        let part = self.corner(source, &self.shape(index), None)?;
        let mut sum = self.scatter_add(part, axis, index, size)?;
        for (other, size) in full.iter().enumerate() {
            if self.shape(sum).get(other).is_some_and(|own| own != size) {
                sum = self.embed(sum, other, 0, 1, *size)?;
            }
        }
        let y = self.add(x, sum)?;
        self.reshape(y, &shape)
    }

    /// `x` with `alpha` times the slices of `source` added along `axis` at the
    /// positions in `index`. (PyTorch's `index_add`.)
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn index_add_to(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
        source: NodeId,
        alpha: f64,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let (x, source) = (self.at_least_1d(x)?, self.at_least_1d(source)?);
        let index = self.at_least_1d(index)?;
        let Some(size) = self.shape(x).get(axis).copied() else {
            let message = format!("axis {axis} does not exist");
            return Err(self.error("index_add_to", &[x, index, source], message));
        };
        let scaled = if alpha == 1.0 { source } else { self.scale(source, alpha)? };
        let sum = self.index_add(scaled, axis, index, size)?;
        if self.shape(sum) != self.shape(x) {
            let message = "sizes differ outside the axis".to_owned();
            return Err(self.error("index_add_to", &[x, index, source], message));
        }
        let y = self.add(x, sum)?;
        self.reshape(y, &shape)
    }

    /// The slices of `x` along `axis` at `index`, which has one dimension or
    /// none. (PyTorch's `index_select`.)
    ///
    /// # Errors
    /// `axis` does not exist, or `index` has more dimensions.
    #[track_caller]
    pub fn select_slices(
        &self,
        x: NodeId,
        axis: usize,
        index: NodeId,
    ) -> Result<NodeId, GraphError> {
        let scalar = self.shape(x).is_empty();
        let (x, index) = (self.at_least_1d(x)?, self.at_least_1d(index)?);
        let picked = self.index_select(x, axis, index)?;
        if scalar { self.reshape(picked, &[]) } else { Ok(picked) }
    }

    /// The rows of `weight` [rows, …] at `index`, of any shape.
    ///
    /// # Errors
    /// `weight` has no rows, the padding row does not exist, or `index` is not
    /// `i32`.
    #[track_caller]
    pub fn embedding(
        &self,
        weight: NodeId,
        index: NodeId,
        options: &Embedding,
    ) -> Result<NodeId, GraphError> {
        let table = self.shape(weight);
        let Some((rows, row)) = table.split_first() else {
            let message = "the table has no rows".to_owned();
            return Err(self.error("embedding", &[weight, index], message));
        };
        if options.padding.is_some_and(|padding| padding >= *rows) {
            let message = "the padding row does not exist".to_owned();
            return Err(self.error("embedding", &[weight, index], message));
        }
        let shape = self.shape(index);
        let count: usize = shape.iter().product();
        let flat = self.reshape(index, &[count])?;
        let picked = self.index_select(weight, 0, flat)?;
        let ones = vec![1; row.len()];
        let column = [&[count][..], &ones].concat();
        let mut y = picked;
        if options.mean_gradient {
            // Each look-up sends 1/count of its cotangent to its row: the value
            // of one, differentiated as the product with that weight.
            let each = self.scalar(1.0)?;
            let each = self.expand(each, &[count])?;
            let counts = self.index_add(each, 0, flat, *rows)?;
            let counts = self.index_select(counts, 0, flat)?;
            let counts = self.reshape(counts, &column)?;
            let shared = self.div(y, counts)?;
            y = self.straight_through(y, shared)?;
        }
        if let Some(padding) = options.padding {
            let indices = self.cast(flat)?;
            let padding = self.scalar(padding as f64)?;
            let padded = self.equal(indices, padding)?;
            let padded = self.reshape(padded, &column)?;
            let held = self.detach(y)?;
            y = self.select(padded, held, y)?;
        }
        if let Some((largest, p)) = options.largest_norm {
            let norm = self.row_norms(picked, p)?;
            let norm = self.reshape(norm, &column)?;
            let bound = self.scalar(largest)?;
            let long = self.greater(norm, bound)?;
            // The constant is PyTorch's, which renormalises the same way.
            let divisor = self.offset(norm, 1e-7)?;
            let factor = self.div(bound, divisor)?;
            let cut = self.mul(picked, factor)?;
            let value = self.select(long, cut, picked)?;
            y = self.straight_through(value, y)?;
        }
        self.reshape(y, &[&shape[..], row].concat())
    }

    /// The p-norm of each slice along the first dimension.
    #[track_caller]
    fn row_norms(&self, x: NodeId, p: f64) -> Result<NodeId, GraphError> {
        let axes: Vec<_> = (1..self.shape(x).len()).collect();
        let magnitude = self.abs(x)?;
        if p == f64::INFINITY {
            return self.max(magnitude, &axes);
        }
        // Taken out, the largest cannot overflow; where it is 0, so is the norm.
        let largest = self.max(magnitude, &axes)?;
        let tiny = self.scalar(f64::from(f32::MIN_POSITIVE))?;
        let unit = self.maximum(largest, tiny)?;
        let spread = self.restore_axes(unit, &self.shape(x), &axes)?;
        let ratio = self.div(magnitude, spread)?;
        let p_node = self.scalar(p)?;
        let powers = self.pow(ratio, p_node)?;
        let sum = self.sum(powers, &axes)?;
        let inverse = self.scalar(1.0 / p)?;
        let root = self.pow(sum, inverse)?;
        self.mul(root, unit)
    }

    /// One element of `x` along `axis`, which is dropped, for each position of
    /// the other dimensions; `index` has their sizes.
    ///
    /// # Errors
    /// Sizes that differ.
    #[track_caller]
    pub fn pick(&self, x: NodeId, axis: usize, index: NodeId) -> Result<NodeId, GraphError> {
        let shape = self.shape(index);
        let index = self.unsqueeze(index, axis)?;
        let picked = self.gather(x, axis, index)?;
        self.reshape(picked, &shape)
    }

    /// 1 at the place of each index and 0 elsewhere, along a new last dimension
    /// of size `classes`.
    ///
    /// # Errors
    /// `index` is not `i32`.
    #[track_caller]
    pub fn one_hot(&self, index: NodeId, classes: usize) -> Result<NodeId, GraphError> {
        let rank = self.shape(index).len();
        let index = self.unsqueeze(index, rank)?;
        let index = self.cast(index)?;
        let ramp = self.iota(classes)?;
        self.equal(index, ramp)
    }

    /// `x`, or as one element of one dimension if it has none.
    #[track_caller]
    pub(super) fn at_least_1d(&self, x: NodeId) -> Result<NodeId, GraphError> {
        if self.shape(x).is_empty() { self.reshape(x, &[1]) } else { Ok(x) }
    }

    /// The first elements of `x` along every dimension but `whole`, as many as
    /// `sizes` says.
    #[track_caller]
    fn corner(
        &self,
        x: NodeId,
        sizes: &[usize],
        whole: Option<usize>,
    ) -> Result<NodeId, GraphError> {
        let own = self.shape(x);
        if own.len() != sizes.len() {
            let message = format!("has {} dimensions, the index {}", own.len(), sizes.len());
            return Err(self.error("corner", &[x], message));
        }
        let mut part = x;
        for (axis, (have, want)) in own.iter().zip(sizes).enumerate() {
            if Some(axis) != whole && have != want {
                part = self.narrow(part, axis, 0, 1, *want)?;
            }
        }
        Ok(part)
    }
}
