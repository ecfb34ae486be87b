//! Matrix products with broadcasting.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::broadcast;
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "matrix_product",
        "y = A B on the last two dimensions, vectors as rows or columns, the others broadcast",
        || {
            let build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError> =
                |graph, x| graph.matrix_product(x[0], x[1]);
            vec![
                Case::new("vectors", &[(&[4], DRAW), (&[4], DRAW)], build),
                Case::new("matrix and vector", &[(&[3, 4], DRAW), (&[4], DRAW)], build),
                Case::new("vector and batch", &[(&[4], DRAW), (&[2, 4, 3], DRAW)], build),
                Case::new("batch and vector", &[(&[2, 3, 4], DRAW), (&[4], DRAW)], build),
                Case::new(
                    "batches that stretch",
                    &[(&[2, 1, 3, 2], DRAW), (&[3, 2, 2], DRAW)],
                    build,
                ),
                Case::new("a batch of one", &[(&[1, 3, 2], DRAW), (&[2, 2, 2], DRAW)], build),
                Case::new("shared right", &[(&[2, 2, 3], DRAW), (&[3, 2], DRAW)], build),
            ]
        },
    )
    .rule("a product over an empty dimension is 0", || {
        vec![Expectation::new(
            "an empty inner dimension",
            vec![Tensor::from_f64(&[2, 1, 0], vec![]), Tensor::from_f64(&[0, 2], vec![])],
            |graph, x| graph.matrix_product(x[0], x[1]),
            &[0.0; 4],
        )]
    }),
    Composition::new(
        "broadcast_matmul",
        "y = A B on the last two dimensions, either operand transposed, the others broadcast",
        || {
            vec![
                Case::new(
                    "transposed",
                    &[(&[2, 1, 2, 3], DRAW), (&[2, 4, 2], DRAW)],
                    |graph, x| graph.broadcast_matmul(x[0], x[1], true, true),
                ),
                Case::new("shared", &[(&[3, 2], DRAW), (&[1, 4, 2], DRAW)], |graph, x| {
                    graph.broadcast_matmul(x[0], x[1], false, true)
                }),
            ]
        },
    ),
    Composition::new("linear", "y = x Wᵀ + b on the last dimension", || {
        vec![
            Case::new("rows", &[(&[2, 3], DRAW), (&[4, 3], DRAW), (&[4], DRAW)], |graph, x| {
                graph.linear(x[0], x[1], Some(x[2]))
            }),
            Case::new("one row", &[(&[3], DRAW), (&[4, 3], DRAW), (&[4], DRAW)], |graph, x| {
                graph.linear(x[0], x[1], Some(x[2]))
            }),
            Case::new("many dimensions", &[(&[2, 1, 2, 3], DRAW), (&[2, 3], DRAW)], |graph, x| {
                graph.linear(x[0], x[1], None)
            }),
            Case::new("one output", &[(&[2, 2, 3], DRAW), (&[3], DRAW)], |graph, x| {
                graph.linear(x[0], x[1], None)
            }),
        ]
    }),
    Composition::new("addmm", "y = β x + α A B", || {
        vec![Case::new("a row", &[(&[3], DRAW), (&[2, 4], DRAW), (&[4, 3], DRAW)], |graph, x| {
            graph.addmm(x[0], x[1], x[2], 0.2, 0.6)
        })]
    })
    .rule("with β = 0 the input does not count, NaN included", || {
        vec![
            Expectation::new(
                "a NaN",
                vec![
                    Tensor::from_f64(&[1], vec![f64::NAN]),
                    Tensor::from_f64(&[1, 1], vec![3.0]),
                    Tensor::from_f64(&[1, 1], vec![5.0]),
                ],
                |graph, x| graph.addmm(x[0], x[1], x[2], 0.0, 2.0),
                &[30.0],
            )
            .gradients(&[&[0.0], &[10.0], &[6.0]]),
        ]
    }),
    Composition::new("outer", "y[…, i, j] = a[…, i] b[…, j]", || {
        vec![
            Case::new("vectors", &[(&[3], DRAW), (&[4], DRAW)], |graph, x| graph.outer(x[0], x[1])),
            Case::new("batches", &[(&[2, 1, 3], DRAW), (&[2, 2], DRAW)], |graph, x| {
                graph.outer(x[0], x[1])
            }),
        ]
    }),
];

impl Graph {
    /// The product of PyTorch's `matmul`: a vector on the left is a row, on the
    /// right a column, and its dimension is dropped afterwards; dimensions
    /// before the last two broadcast.
    ///
    /// # Errors
    /// A scalar, sizes that do not fit.
    #[track_caller]
    pub fn matrix_product(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let [shape_a, shape_b] = [self.shape(a), self.shape(b)];
        if shape_a.is_empty() || shape_b.is_empty() {
            let message = "takes vectors, matrices or batches of them".to_owned();
            return Err(self.error("matrix_product", &[a, b], message));
        }
        let (row, column) = (shape_a.len() == 1, shape_b.len() == 1);
        let left = if row { self.reshape(a, &[1, shape_a[0]])? } else { a };
        let right = if column { self.reshape(b, &[shape_b[0], 1])? } else { b };
        let product = self.broadcast_matmul(left, right, false, false)?;
        let mut shape = self.shape(product);
        let last = shape.len() - 1;
        if column {
            shape.remove(last);
        }
        if row {
            shape.remove(last - 1);
        }
        self.reshape(product, &shape)
    }

    /// [`Graph::matmul_with`] with dimensions before the last two that
    /// broadcast.
    ///
    /// # Errors
    /// Not matrices, sizes that do not fit.
    #[track_caller]
    pub fn broadcast_matmul(
        &self,
        a: NodeId,
        b: NodeId,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<NodeId, GraphError> {
        let [shape_a, shape_b] = [self.shape(a), self.shape(b)];
        let (Some(split_a), Some(split_b)) =
            (shape_a.len().checked_sub(2), shape_b.len().checked_sub(2))
        else {
            // The op says what is wrong.
            return self.matmul_with(a, b, transpose_a, transpose_b);
        };
        let (batch_a, matrix_a) = shape_a.split_at(split_a);
        let (batch_b, matrix_b) = shape_b.split_at(split_b);
        let Some(batch) = broadcast(batch_a, batch_b) else {
            let message = "the dimensions before the last two do not broadcast".to_owned();
            return Err(self.error("broadcast_matmul", &[a, b], message));
        };
        let single = |own: &[usize]| own.iter().all(|size| *size == 1);
        let (m, n) = (matrix_a[usize::from(transpose_a)], matrix_b[usize::from(!transpose_b)]);
        let product = if single(batch_b) && !transpose_a && !batch_a.is_empty() {
            // One product of all rows: the right operand is read once.
            let rows = batch_a.iter().product::<usize>() * matrix_a[0];
            let rows = self.reshape(a, &[rows, matrix_a[1]])?;
            let shared = self.reshape(b, matrix_b)?;
            self.matmul_with(rows, shared, false, transpose_b)?
        } else if batch_a == batch_b {
            self.matmul_with(a, b, transpose_a, transpose_b)?
        } else {
            let operand = |x, own: &[usize], matrix: &[usize]| {
                if single(own) {
                    return self.reshape(x, matrix);
                }
                self.expand(x, &[&batch, matrix].concat())
            };
            let left = operand(a, batch_a, matrix_a)?;
            let right = operand(b, batch_b, matrix_b)?;
            self.matmul_with(left, right, transpose_a, transpose_b)?
        };
        self.reshape(product, &[&batch[..], &[m, n]].concat())
    }

    /// x Wᵀ + b on the last dimension of `x`, with PyTorch's weight [out, in];
    /// a weight [in] has one output, without a dimension of its own.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn linear(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
    ) -> Result<NodeId, GraphError> {
        let product = match self.shape(weight).len() {
            2 if self.shape(x).len() == 2 => self.matmul_with(x, weight, false, true)?,
            2 if !self.shape(x).is_empty() => {
                let mut shape = self.shape(x);
                let row = if shape.len() == 1 { self.reshape(x, &[1, shape[0]])? } else { x };
                let product = self.broadcast_matmul(row, weight, false, true)?;
                if let Some(last) = shape.last_mut() {
                    *last = self.shape(weight)[0];
                }
                self.reshape(product, &shape)?
            }
            1 => self.matrix_product(x, weight)?,
            _ => {
                let message = "takes rows and a weight [out, in] or [in]".to_owned();
                return Err(self.error("linear", &[x, weight], message));
            }
        };
        match bias {
            Some(bias) => self.add(product, bias),
            None => Ok(product),
        }
    }

    /// β x + α A B for matrices A and B and an `x` that broadcasts to their
    /// product; with a `beta` of 0, `x` is not looked at.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn addmm(
        &self,
        x: NodeId,
        a: NodeId,
        b: NodeId,
        beta: f64,
        alpha: f64,
    ) -> Result<NodeId, GraphError> {
        let product = self.matmul(a, b)?;
        let shape = self.shape(product);
        if broadcast(&self.shape(x), &shape).as_ref() != Some(&shape) {
            let message = format!("the first input does not broadcast to {shape:?}");
            return Err(self.error("addmm", &[x, a, b], message));
        }
        let product = if alpha == 1.0 { product } else { self.scale(product, alpha)? };
        if beta == 0.0 {
            return Ok(product);
        }
        let input = if beta == 1.0 { x } else { self.scale(x, beta)? };
        self.add(input, product)
    }

    /// The outer product of the last dimensions of `a` and `b`: […, n] and
    /// […, m] give […, n, m]. The dimensions before them broadcast.
    ///
    /// # Errors
    /// A scalar, shapes that do not broadcast.
    #[track_caller]
    pub fn outer(&self, a: NodeId, b: NodeId) -> Result<NodeId, GraphError> {
        let [mut column, mut row] = [self.shape(a), self.shape(b)];
        if column.is_empty() || row.is_empty() {
            let message = "takes vectors, or batches of them".to_owned();
            return Err(self.error("outer", &[a, b], message));
        }
        column.push(1);
        row.insert(row.len() - 1, 1);
        let column = self.reshape(a, &column)?;
        let row = self.reshape(b, &row)?;
        self.mul(column, row)
    }
}
