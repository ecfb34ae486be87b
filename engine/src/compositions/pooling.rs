//! Max pooling as a gather, and pooling to a size.

use super::resampling::Taps;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::ops::{AveragePool2d, PoolWindow};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new("max_pool2d", "y = the largest x of each window", || {
        vec![
            Case::new("padded", &[(&[1, 2, 5, 4], Draw::Distinct)], |g, x| {
                g.max_pool2d(x[0], [3, 2], [2, 1], [1, 1])
            }),
            Case::new("one image, dilated, rounded up", &[(&[2, 5, 6], Draw::Distinct)], |g, x| {
                let window = PoolWindow {
                    stride: [2, 2],
                    dilation: [1, 2],
                    ceil_mode: true,
                    ..PoolWindow::tiles([2, 2])
                };
                let [largest, _] = g.max_pool2d_of(x[0], window)?;
                g.square(largest)
            }),
        ]
    })
    .rule("ties: the first in row-major order; padding never wins; NaN wins", || {
        let image =
            |values: &[f64]| vec![Tensor::from_f64(&[1, 1, 2, values.len() / 2], values.to_vec())];
        vec![
            Expectation::new(
                "the first of equals, below the padding's zeros",
                image(&[-3.0, -2.0, -2.0, -4.0]),
                |g, x| g.max_pool2d(x[0], [2, 2], [2, 2], [1, 1]),
                &[-3.0, -2.0, -2.0, -4.0],
            )
            .gradients(&[&[1.0, 1.0, 1.0, 1.0]]),
            Expectation::new(
                "all equal",
                image(&[2.0, 2.0, 2.0, 2.0]),
                |g, x| g.max_pool2d(x[0], [2, 2], [2, 2], [0, 0]),
                &[2.0],
            )
            .gradients(&[&[1.0, 0.0, 0.0, 0.0]]),
            Expectation::new(
                "not a number",
                image(&[f64::INFINITY, f64::NAN, 0.0, 1.0]),
                |g, x| g.max_pool2d(x[0], [2, 2], [2, 2], [0, 0]),
                &[f64::NAN],
            )
            .gradients(&[&[0.0, 1.0, 0.0, 0.0]]),
        ]
    }),
    Composition::new(
        "adaptive_average_pool",
        "y[i] = the mean of x[⌊i·n/m⌋ .. ⌈(i+1)·n/m⌉] along each of the last dimensions",
        || {
            vec![
                Case::new("overlapping", &[(&[1, 2, 5, 4], DRAW)], |g, x| {
                    g.adaptive_average_pool(x[0], &[Some(3), Some(6)])
                }),
                Case::new("one image, dividing", &[(&[2, 4, 6], DRAW)], |g, x| {
                    g.adaptive_average_pool(x[0], &[Some(2), None])
                }),
                Case::new("three dimensions", &[(&[1, 3, 2, 4], DRAW)], |g, x| {
                    g.adaptive_average_pool(x[0], &[Some(2), Some(1), Some(3)])
                }),
            ]
        },
    ),
    Composition::new(
        "adaptive_max_pool2d",
        "y[i,j] = the largest x of the window [⌊i·n/m⌋ .. ⌈(i+1)·n/m⌉] and likewise across",
        || {
            vec![Case::new("overlapping", &[(&[2, 5, 4], Draw::Distinct)], |g, x| {
                g.adaptive_max_pool2d(x[0], [Some(3), Some(2)])
            })]
        },
    )
    .rule("ties: the first in row-major order", || {
        vec![
            Expectation::new(
                "all equal",
                vec![Tensor::from_f64(&[1, 2, 3], vec![1.0; 6])],
                |g, x| g.adaptive_max_pool2d(x[0], [Some(1), Some(2)]),
                &[1.0, 1.0],
            )
            .gradients(&[&[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]),
        ]
    }),
    Composition::new("global_average_pool", "y[n,c] = the mean of x[n,c,…]", || {
        vec![Case::new("images", &[(&[2, 2, 3, 2], DRAW)], |g, x| g.global_average_pool(x[0]))]
    }),
    Composition::new("global_max_pool", "y[n,c] = the largest of x[n,c,…]", || {
        vec![Case::new("images", &[(&[2, 2, 3, 2], Draw::Distinct)], |g, x| {
            let largest = g.global_max_pool(x[0])?;
            g.square(largest)
        })]
    })
    .rule("ties: the first in row-major order", || {
        vec![
            Expectation::new(
                "two equals",
                vec![Tensor::from_f64(&[1, 1, 3], vec![0.0, 5.0, 5.0])],
                |g, x| g.global_max_pool(x[0]),
                &[5.0],
            )
            .gradients(&[&[0.0, 1.0, 0.0]]),
        ]
    }),
];

/// The positions of each of `to` windows over `from` elements.
fn windows(from: usize, to: usize) -> Vec<Vec<usize>> {
    (0..to).map(|i| (i * from / to..((i + 1) * from).div_ceil(to)).collect()).collect()
}

impl Graph {
    /// The maximum of each window of images [N,C,H,W], or of one image [C,H,W].
    /// Ties go to the first element in row-major order, NaN wins, padding never
    /// does.
    ///
    /// # Errors
    /// Not images, a window that does not fit, padding over half the window.
    #[track_caller]
    pub fn max_pool2d(
        &self,
        x: NodeId,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let window = PoolWindow { stride, padding, ..PoolWindow::tiles(kernel) };
        let [largest, _] = self.max_pool2d_of(x, window)?;
        Ok(largest)
    }

    /// [`Graph::max_pool2d`] with windows of any kind: the maxima, and where
    /// each lies in its image (see [`Graph::max_pool2d_indices_of`]).
    ///
    /// # Errors
    /// As [`Graph::max_pool2d`], or a window without a tap inside the image.
    #[track_caller]
    pub fn max_pool2d_of(&self, x: NodeId, window: PoolWindow) -> Result<[NodeId; 2], GraphError> {
        let index = self.max_pool2d_indices_of(x, window)?;
        let shape = self.shape(index);
        let axis = shape.len() - 2;
        let flat = self.flatten_from(x, axis)?;
        let picked = self.gather(flat, axis, self.flatten_from(index, axis)?)?;
        Ok([self.reshape(picked, &shape)?, index])
    }

    /// Averages that make the last dimensions the sizes given; `None` keeps a
    /// dimension. Element i of m out of n is the mean of the elements from
    /// ⌊i·n/m⌋ up to ⌈(i+1)·n/m⌉, so that windows cover all and overlap as
    /// little as possible (PyTorch's `adaptive_avg_pool`).
    ///
    /// # Errors
    /// More sizes than dimensions, or a dimension of no elements.
    #[track_caller]
    pub fn adaptive_average_pool(
        &self,
        x: NodeId,
        sizes: &[Option<usize>],
    ) -> Result<NodeId, GraphError> {
        let targets = self.adaptive_sizes("adaptive_average_pool", x, sizes)?;
        let tiles = targets.iter().all(|(_, from, to)| *to > 0 && from % to == 0);
        if let (true, [(_, height, rows), (_, width, columns)], 3 | 4) =
            (tiles, targets.as_slice(), self.shape(x).len())
        {
            let kernel = [height / rows, width / columns];
            return self.average_pool2d(
                x,
                AveragePool2d { kernel, stride: kernel, ..AveragePool2d::default() },
            );
        }
        let mut y = x;
        for (axis, from, to) in targets {
            if from != to {
                y = self.weigh_taps(y, axis, &Taps::means(&windows(from, to)))?;
            }
        }
        Ok(y)
    }

    /// The maximum of each window of images [N,C,H,W], or of one image [C,H,W],
    /// the windows being those of [`Graph::adaptive_average_pool`].
    ///
    /// # Errors
    /// As [`Graph::adaptive_average_pool`].
    #[track_caller]
    pub fn adaptive_max_pool2d(
        &self,
        x: NodeId,
        sizes: [Option<usize>; 2],
    ) -> Result<NodeId, GraphError> {
        let targets = self.adaptive_sizes("adaptive_max_pool2d", x, &sizes)?;
        let mut shape = self.shape(x)[..self.shape(x).len() - 2].to_vec();
        let leading = shape.len();
        let mut y = x;
        for (axis, from, to) in targets {
            // Short windows are filled up with their last element, which
            // changes no maximum and comes after the first of equals.
            let taps = Taps::means(&windows(from, to));
            y = self.index_select(y, axis, self.constant_index(&taps.index)?)?;
            shape.extend([to, taps.index.len() / to.max(1)]);
        }
        y = self.reshape(y, &shape)?;
        let [rows, high, columns, wide] = [0, 1, 2, 3].map(|i| shape[leading + i]);
        let order = [0, 2, 1, 3].map(|i| leading + i);
        y = self.permute(y, &[(0..leading).collect::<Vec<_>>().as_slice(), &order].concat())?;
        let rest = &shape[..leading];
        y = self.reshape(y, &[rest, &[rows, columns, high * wide]].concat())?;
        self.first_largest(y)
    }

    /// The mean of each channel, all dimensions after the second.
    ///
    /// # Errors
    /// Fewer than two dimensions.
    #[track_caller]
    pub fn global_average_pool(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let flat = self.flatten_from(x, 2)?;
        self.mean(flat, &[2])
    }

    /// The maximum of each channel over all dimensions after the second.
    ///
    /// # Errors
    /// Fewer than two dimensions, or nothing to take the maximum of.
    #[track_caller]
    pub fn global_max_pool(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.first_largest(self.flatten_from(x, 2)?)
    }

    /// The maximum along the last dimension; of equals the first gets the
    /// gradient.
    #[track_caller]
    fn first_largest(&self, x: NodeId) -> Result<NodeId, GraphError> {
        let last = self.shape(x).len() - 1;
        let index = self.argmax(x, last)?;
        let shape = self.shape(index);
        let index = self.reshape(index, &[shape.as_slice(), &[1]].concat())?;
        self.reshape(self.gather(x, last, index)?, &shape)
    }

    /// Axis, size and wanted size of each of the last dimensions.
    #[track_caller]
    fn adaptive_sizes(
        &self,
        op: &str,
        x: NodeId,
        sizes: &[Option<usize>],
    ) -> Result<Vec<(usize, usize, usize)>, GraphError> {
        let shape = self.shape(x);
        let Some(first) = shape.len().checked_sub(sizes.len()) else {
            let message = format!("has fewer than {} dimensions", sizes.len());
            return Err(self.error(op, &[x], message));
        };
        if shape[first..].contains(&0) {
            return Err(self.error(op, &[x], "a window would have no elements".to_owned()));
        }
        let target = |(i, size): (usize, &Option<usize>)| {
            (first + i, shape[first + i], size.unwrap_or(shape[first + i]))
        };
        Ok(sizes.iter().enumerate().map(target).collect())
    }
}
