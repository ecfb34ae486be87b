//! Turning, repeating and regrouping the elements of a tensor.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::shape::TensorType;
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new("roll", "y[…, (i + shift) mod n, …] = x[…, i, …]", || {
        vec![Case::new("two dimensions", &[(&[3, 4], DRAW)], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.roll(squares, &[(0, 1), (1, -6)])
        })]
    }),
    Composition::new("roll_all", "roll of the elements in row-major order", || {
        vec![Case::new("matrix", &[(&[2, 3], DRAW)], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.roll_all(squares, 2)
        })]
    }),
    Composition::new("flip", "y[…, n - 1 - i, …] = x[…, i, …]", || {
        vec![Case::new("two dimensions", &[(&[3, 2, 4], DRAW)], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.flip(squares, &[0, 2])
        })]
    }),
    Composition::new("repeat", "y[…, k n + i, …] = x[…, i, …] for k < count", || {
        vec![Case::new("with new dimensions", &[(&[3, 2], DRAW)], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.repeat(squares, &[2, 3, 1])
        })]
    }),
    Composition::new(
        "diagonal",
        "y[…, i] = x[…, i - min(offset, 0), …, i + max(offset, 0), …]",
        || {
            vec![
                Case::new("above", &[(&[3, 5], DRAW)], |graph, x| {
                    let squares = graph.square(x[0])?;
                    graph.diagonal(squares, 1, 0, 1)
                }),
                Case::new("below, of outer dimensions", &[(&[4, 2, 3], DRAW)], |graph, x| {
                    let squares = graph.square(x[0])?;
                    graph.diagonal(squares, -1, 0, 2)
                }),
            ]
        },
    )
    .rule("an offset outside the matrix gives an empty diagonal", || {
        vec![
            Expectation::new(
                "outside",
                vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0])],
                |graph, x| graph.diagonal(x[0], 2, 0, 1),
                &[],
            )
            .gradients(&[&[0.0; 4]]),
            Expectation::new(
                "far outside",
                vec![f(&[2, 2], &[1.0, 2.0, 3.0, 4.0])],
                |graph, x| graph.diagonal(x[0], i64::MIN, 1, 0),
                &[],
            ),
        ]
    }),
    Composition::new(
        "tril",
        "y[…, i, j] = x[…, i, j] where j - i ≤ diagonal, else 0",
        || {
            vec![Case::new("batch", &[(&[2, 3, 4], DRAW)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.tril(squares, 1)
            })]
        },
    )
    .rule("what is left out is 0 and gets no gradient, even where it is NaN", || {
        vec![
            Expectation::new(
                "NaN outside",
                vec![f(&[2, 2], &[1.0, f64::NAN, 3.0, f64::INFINITY])],
                |graph, x| {
                    let y = graph.tril(x[0], -1)?;
                    graph.square(y)
                },
                &[0.0, 0.0, 9.0, 0.0],
            )
            .gradients(&[&[0.0, 0.0, 6.0, 0.0]]),
        ]
    }),
    Composition::new(
        "triu",
        "y[…, i, j] = x[…, i, j] where j - i ≥ diagonal, else 0",
        || {
            vec![Case::new("batch", &[(&[2, 3, 4], DRAW)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.triu(squares, -1)
            })]
        },
    )
    .rule("what is left out is 0 and gets no gradient, even where it is NaN", || {
        vec![
            Expectation::new(
                "NaN outside",
                vec![f(&[2, 2], &[f64::NAN, 2.0, f64::NAN, -f64::INFINITY])],
                |graph, x| {
                    let y = graph.triu(x[0], 1)?;
                    graph.square(y)
                },
                &[0.0, 4.0, 0.0, 0.0],
            )
            .gradients(&[&[0.0, 4.0, 0.0, 0.0]]),
        ]
    }),
    Composition::new("stack", "y[…, k, …] = xₖ[…], along a new dimension", || {
        vec![Case::new(
            "three",
            &[(&[2, 3], DRAW), (&[2, 3], DRAW), (&[2, 3], DRAW)],
            |graph, x| {
                let squares = graph.square(x[1])?;
                graph.stack(&[x[0], squares, x[2]], 1)
            },
        )]
    }),
    Composition::new("concat_any", "concat, where lists without elements fit anything", || {
        vec![Case::new("an empty list", &[(&[0], DRAW), (&[2, 3], DRAW)], |graph, x| {
            let squares = graph.square(x[1])?;
            graph.concat_any(&[x[0], squares, squares], -1)
        })]
    }),
    Composition::new("transpose", "x with two dimensions exchanged", || {
        vec![Case::new("outer ones", &[(&[2, 3, 4], DRAW)], |graph, x| {
            let squares = graph.square(x[0])?;
            graph.transpose(squares, 0, 2)
        })]
    }),
    Composition::new(
        "pixel_shuffle",
        "y[…, c, h r + i, w r + j] = x[…, (c r + i) r + j, h, w]",
        || {
            vec![Case::new("images", &[(&[2, 8, 2, 3], DRAW)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pixel_shuffle(squares, 2)
            })]
        },
    ),
    Composition::new(
        "pixel_unshuffle",
        "y[…, (c r + i) r + j, h, w] = x[…, c, h r + i, w r + j]",
        || {
            vec![Case::new("an image", &[(&[2, 4, 6], DRAW)], |graph, x| {
                let squares = graph.square(x[0])?;
                graph.pixel_unshuffle(squares, 2)
            })]
        },
    ),
];

fn f(shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64(shape, values.to_vec())
}

/// Places by which index i of n moves, as an amount from 0 to n - 1.
fn forward(shift: i64, size: usize) -> usize {
    match i64::try_from(size) {
        Ok(size) if size > 0 => shift.rem_euclid(size) as usize,
        _ => 0,
    }
}

impl Graph {
    /// `x` turned around along some dimensions: each (axis, shift) moves the
    /// elements `shift` places on, and those that leave come back in at the
    /// other end.
    ///
    /// # Errors
    /// An axis that does not exist.
    #[track_caller]
    pub fn roll(&self, x: NodeId, shifts: &[(usize, i64)]) -> Result<NodeId, GraphError> {
        let mut y = x;
        for (axis, shift) in shifts {
            let Some(size) = self.shape(x).get(*axis).copied() else {
                return Err(self.error("roll", &[x], format!("axis {axis} does not exist")));
            };
            let forward = forward(*shift, size);
            if forward > 0 {
                let from: Vec<_> = (0..size).map(|i| (i + size - forward) % size).collect();
                y = self.take_fixed(y, *axis, &from)?;
            }
        }
        Ok(y)
    }

    /// [`Graph::roll`] of all elements in row-major order.
    ///
    /// # Errors
    /// More elements than fit into `i32`.
    #[track_caller]
    pub fn roll_all(&self, x: NodeId, shift: i64) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let flat = self.reshape(x, &[shape.iter().product()])?;
        let rolled = self.roll(flat, &[(0, shift)])?;
        self.reshape(rolled, &shape)
    }

    /// `x` in reverse along `axes`.
    ///
    /// # Errors
    /// An axis that does not exist or is named twice.
    #[track_caller]
    pub fn flip(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let mut y = x;
        for (i, axis) in axes.iter().enumerate() {
            let Some(size) = self.shape(x).get(*axis).copied() else {
                return Err(self.error("flip", &[x], format!("axis {axis} does not exist")));
            };
            if axes[..i].contains(axis) {
                return Err(self.error("flip", &[x], format!("axis {axis} is named twice")));
            }
            let from: Vec<_> = (0..size).rev().collect();
            y = self.take_fixed(y, *axis, &from)?;
        }
        Ok(y)
    }

    /// `x` repeated as a whole along each dimension, `counts` times. Counts are
    /// aligned at the last dimension: more of them make new leading dimensions,
    /// fewer leave the leading ones as they are.
    ///
    /// # Errors
    /// A result too large to address.
    #[track_caller]
    pub fn repeat(&self, x: NodeId, counts: &[usize]) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let rank = shape.len().max(counts.len());
        let aligned = |values: &[usize]| {
            let mut all = vec![1; rank - values.len()];
            all.extend(values);
            all
        };
        let (sizes, counts) = (aligned(&shape), aligned(counts));
        let (mut apart, mut spread, mut merged) = (Vec::new(), Vec::new(), Vec::new());
        for (size, count) in sizes.iter().zip(&counts) {
            let Some(product) = size.checked_mul(*count) else {
                return Err(self.error("repeat", &[x], "the result is too large".to_owned()));
            };
            apart.extend([1, *size]);
            spread.extend([*count, *size]);
            merged.push(product);
        }
        let apart = self.reshape(x, &apart)?;
        let spread = self.expand(apart, &spread)?;
        self.reshape(spread, &merged)
    }

    /// The diagonal of the matrices that dimensions `row` and `column` form, as
    /// a new last dimension; `offset` places above the main one, or below it if
    /// negative.
    ///
    /// # Errors
    /// A dimension that does not exist, or one for both.
    #[track_caller]
    pub fn diagonal(
        &self,
        x: NodeId,
        offset: i64,
        row: usize,
        column: usize,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let (Some(rows), Some(columns)) = (shape.get(row), shape.get(column)) else {
            let message = format!("dimensions {row} and {column} do not both exist");
            return Err(self.error("diagonal", &[x], message));
        };
        if row == column {
            let message = format!("dimension {row} cannot be row and column");
            return Err(self.error("diagonal", &[x], message));
        }
        let distance = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
        let (length, start) = if offset >= 0 {
            (columns.saturating_sub(distance).min(*rows), distance)
        } else {
            (rows.saturating_sub(distance).min(*columns), distance.saturating_mul(*columns))
        };
        let mut order: Vec<_> = (0..shape.len()).filter(|i| *i != row && *i != column).collect();
        let mut sizes: Vec<_> = order.iter().map(|i| shape[*i]).collect();
        order.extend([row, column]);
        sizes.push(rows * columns);
        let last = sizes.len() - 1;
        let planes = self.permute(x, &order)?;
        let planes = self.reshape(planes, &sizes)?;
        let start = if length == 0 { 0 } else { start };
        self.narrow(planes, last, start, columns + 1, length)
    }

    /// The lower triangle of the matrices in the last two dimensions, up to
    /// `diagonal` places above the main diagonal; 0 elsewhere.
    ///
    /// # Errors
    /// `x` has fewer than two dimensions.
    #[track_caller]
    pub fn tril(&self, x: NodeId, diagonal: i64) -> Result<NodeId, GraphError> {
        self.triangle(x, |above| above <= diagonal)
    }

    /// The upper triangle, from `diagonal` places above the main diagonal on; 0
    /// elsewhere.
    ///
    /// # Errors
    /// As [`Graph::tril`].
    #[track_caller]
    pub fn triu(&self, x: NodeId, diagonal: i64) -> Result<NodeId, GraphError> {
        self.triangle(x, |above| above >= diagonal)
    }

    /// Elements whose column number less their row number is `kept`. They are
    /// selected, not multiplied by 0 or 1: NaN times 0 would be NaN.
    #[track_caller]
    fn triangle(&self, x: NodeId, kept: impl Fn(i64) -> bool) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let &[.., rows, columns] = shape.as_slice() else {
            return Err(self.error("triangle", &[x], "takes matrices".to_owned()));
        };
        let mask: Vec<f64> = (0..rows as i64)
            .flat_map(|i| (0..columns as i64).map(move |j| j - i))
            .map(|above| f64::from(u8::from(kept(above))))
            .collect();
        let ty = TensorType::new(self.float(), &[rows, columns]);
        let mask = self.constant(Tensor::new(&ty, &mask))?;
        let zero = self.scalar(0.0)?;
        self.select(mask, x, zero)
    }

    /// Tensors of one shape along a new dimension `axis`.
    ///
    /// # Errors
    /// No parts, shapes that differ, or an axis past the end.
    #[track_caller]
    pub fn stack(&self, parts: &[NodeId], axis: usize) -> Result<NodeId, GraphError> {
        let slices: Result<Vec<_>, _> =
            parts.iter().map(|part| self.unsqueeze(*part, axis)).collect();
        self.concat(&slices?, axis)
    }

    /// [`Graph::concat`] along an axis that counts from the end if negative;
    /// parts of shape [0] are left out, whatever the shape of the others.
    /// (PyTorch's `cat`.)
    ///
    /// # Errors
    /// As [`Graph::concat`].
    #[track_caller]
    pub fn concat_any(&self, parts: &[NodeId], axis: i64) -> Result<NodeId, GraphError> {
        let full = parts.iter().copied().filter(|part| self.shape(*part) != [0]);
        let full: Vec<_> = full.collect();
        let Some(first) = full.first().or(parts.first()) else {
            return Err(self.error("concat_any", &[], "no parts".to_owned()));
        };
        let rank = self.shape(*first).len() as i64;
        let place = if axis < 0 { axis + rank } else { axis };
        match usize::try_from(place) {
            Ok(place) if place < rank as usize && !full.is_empty() => self.concat(&full, place),
            Ok(0) if full.is_empty() => Ok(*first),
            _ => Err(self.error("concat_any", parts, format!("axis {axis} does not exist"))),
        }
    }

    /// `x` without those of `axes` that have size 1.
    ///
    /// # Errors
    /// An axis that does not exist; a tensor without dimensions has axis 0.
    #[track_caller]
    pub fn squeeze(&self, x: NodeId, axes: &[usize]) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        if let Some(axis) = axes.iter().find(|axis| **axis >= shape.len().max(1)) {
            return Err(self.error("squeeze", &[x], format!("axis {axis} does not exist")));
        }
        let kept = |(axis, size): &(usize, &usize)| **size != 1 || !axes.contains(axis);
        let kept: Vec<_> = shape.iter().enumerate().filter(kept).map(|(_, size)| *size).collect();
        self.reshape(x, &kept)
    }

    /// `x` with a new dimension of size 1 as dimension `axis`.
    ///
    /// # Errors
    /// An axis past the end.
    #[track_caller]
    pub fn unsqueeze(&self, x: NodeId, axis: usize) -> Result<NodeId, GraphError> {
        let mut shape = self.shape(x);
        if axis > shape.len() {
            return Err(self.error("unsqueeze", &[x], format!("axis {axis} is past the end")));
        }
        shape.insert(axis, 1);
        self.reshape(x, &shape)
    }

    /// `x` with dimensions `a` and `b` exchanged.
    ///
    /// # Errors
    /// A dimension that does not exist; a tensor without any has dimension 0.
    #[track_caller]
    pub fn transpose(&self, x: NodeId, a: usize, b: usize) -> Result<NodeId, GraphError> {
        let rank = self.shape(x).len();
        if a.max(b) >= rank.max(1) {
            let message = format!("dimensions {a} and {b} do not both exist");
            return Err(self.error("transpose", &[x], message));
        }
        if a == b {
            return Ok(x);
        }
        let mut order: Vec<_> = (0..rank).collect();
        order.swap(a, b);
        self.permute(x, &order)
    }

    /// [`Graph::expand`] to `sizes` of which -1 stands for the size that `x` has.
    ///
    /// # Errors
    /// -1 for a dimension that `x` does not have, another negative size, or
    /// sizes to which `x` does not broadcast.
    #[track_caller]
    pub fn expand_to(&self, x: NodeId, sizes: &[i64]) -> Result<NodeId, GraphError> {
        let own = self.shape(x);
        let mut shape = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let kept = (i + own.len()).checked_sub(sizes.len()).map(|axis| own[axis]);
            let size = if *size == -1 { kept } else { usize::try_from(*size).ok() };
            let Some(size) = size else {
                let message = format!("cannot be expanded to {sizes:?}");
                return Err(self.error("expand_to", &[x], message));
            };
            shape.push(size);
        }
        self.expand(x, &shape)
    }

    /// [`Graph::reshape`] to `sizes` of which one may be -1: what is left.
    ///
    /// # Errors
    /// Two unknown sizes, one that cannot be told, another negative size, or
    /// another number of elements.
    #[track_caller]
    pub fn reshape_to(&self, x: NodeId, sizes: &[i64]) -> Result<NodeId, GraphError> {
        let wrong = || {
            let message = format!("cannot be given the shape {sizes:?}");
            self.error("reshape_to", &[x], message)
        };
        let known = sizes.iter().filter(|size| **size != -1);
        let known: Option<Vec<_>> = known.map(|size| usize::try_from(*size).ok()).collect();
        let known = known.ok_or_else(wrong)?;
        let product = known.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let elements = self.ty(x).elements();
        let rest = match (product, sizes.len() - known.len()) {
            (Some(_), 0) => 0,
            (Some(product), 1) if product > 0 && elements % product == 0 => elements / product,
            _ => return Err(wrong()),
        };
        let size = |size: &i64| usize::try_from(*size).unwrap_or(rest);
        self.reshape(x, &sizes.iter().map(size).collect::<Vec<_>>())
    }

    /// Channels as pixels: x [.., C r², H, W] becomes [.., C, H r, W r] (Shi et
    /// al., "Real-time single image and video super-resolution using an
    /// efficient sub-pixel convolutional neural network", CVPR 2016).
    ///
    /// # Errors
    /// Fewer than three dimensions, or channels that `factor`² does not divide.
    #[track_caller]
    pub fn pixel_shuffle(&self, x: NodeId, factor: usize) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let square = factor.checked_mul(factor).filter(|square| *square > 0);
        let (&[ref batch @ .., channels, height, width], Some(square)) = (shape.as_slice(), square)
        else {
            return Err(self.error("pixel_shuffle", &[x], format!("by {factor}")));
        };
        if channels % square != 0 {
            let message = format!("{channels} channels are no multiple of {square}");
            return Err(self.error("pixel_shuffle", &[x], message));
        }
        let fewer = channels / square;
        let outer = batch.iter().product();
        let apart = self.reshape(x, &[outer, fewer, factor, factor, height, width])?;
        let mixed = self.permute(apart, &[0, 1, 4, 2, 5, 3])?;
        let sizes = [fewer, height * factor, width * factor];
        self.reshape(mixed, &[batch, &sizes[..]].concat())
    }

    /// Pixels as channels: x [.., C, H r, W r] becomes [.., C r², H, W], the
    /// inverse of [`Graph::pixel_shuffle`].
    ///
    /// # Errors
    /// Fewer than three dimensions, or sizes that `factor` does not divide.
    #[track_caller]
    pub fn pixel_unshuffle(&self, x: NodeId, factor: usize) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let &[ref batch @ .., channels, height, width] = shape.as_slice() else {
            return Err(self.error("pixel_unshuffle", &[x], "takes images".to_owned()));
        };
        if factor == 0 || height % factor != 0 || width % factor != 0 {
            let message = format!("{height} × {width} is no multiple of {factor}");
            return Err(self.error("pixel_unshuffle", &[x], message));
        }
        let (h, w) = (height / factor, width / factor);
        let outer = batch.iter().product();
        let apart = self.reshape(x, &[outer, channels, h, factor, w, factor])?;
        let mixed = self.permute(apart, &[0, 1, 3, 5, 2, 4])?;
        let sizes = [channels * factor * factor, h, w];
        self.reshape(mixed, &[batch, &sizes[..]].concat())
    }
}
