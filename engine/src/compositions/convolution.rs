//! Convolutions of other shapes out of the plain one.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::ops::Window;

/// How far zeros reach around the image of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border<const N: usize> {
    /// So many at both ends of each dimension.
    Zeros([usize; N]),
    /// As many as keep the size, the odd one at the end; needs stride 1.
    Same,
}

/// How a window moves over an image of `N` dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution<const N: usize> {
    /// Distance between neighbouring outputs.
    pub stride: [usize; N],
    /// Zeros around the image.
    pub border: Border<N>,
    /// Distance between neighbouring taps.
    pub dilation: [usize; N],
    /// Number of independent groups of channels.
    pub groups: usize,
}

impl<const N: usize> Default for Convolution<N> {
    /// Stride 1, no zeros around, no dilation, one group.
    fn default() -> Self {
        Convolution { stride: [1; N], border: Border::Zeros([0; N]), dilation: [1; N], groups: 1 }
    }
}

/// How a window moves over the output of a transposed convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransposedConvolution<const N: usize> {
    /// Distance between the windows of neighbouring inputs.
    pub stride: [usize; N],
    /// Rows and columns cut off at both ends of each dimension.
    pub padding: [usize; N],
    /// Rows and columns added at the end; less than stride or dilation.
    pub output_padding: [usize; N],
    /// Distance between neighbouring taps.
    pub dilation: [usize; N],
    /// Number of independent groups of channels.
    pub groups: usize,
}

impl<const N: usize> Default for TransposedConvolution<N> {
    /// Stride 1, nothing cut off or added, no dilation, one group.
    fn default() -> Self {
        TransposedConvolution {
            stride: [1; N],
            padding: [0; N],
            output_padding: [0; N],
            dilation: [1; N],
            groups: 1,
        }
    }
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "convolution2d",
        "y[n,o,i,j] = b[o] + Σ x[n,c,i·s+u·d-p,j·s+v·d-p] w[o,c,u,v], x = 0 outside",
        || {
            vec![
                Case::new(
                    "strided, with bias",
                    &[(&[2, 2, 4, 5], DRAW), (&[3, 2, 2, 3], DRAW), (&[3], DRAW)],
                    |g, x| {
                        let border = Border::Zeros([1, 0]);
                        let form = Convolution { stride: [2, 1], border, ..Default::default() };
                        g.convolution2d(x[0], x[1], Some(x[2]), &form)
                    },
                ),
                Case::new(
                    "one image, same size, odd border",
                    &[(&[2, 4, 5], DRAW), (&[2, 1, 2, 3], DRAW)],
                    |g, x| {
                        let form =
                            Convolution { border: Border::Same, groups: 2, ..Default::default() };
                        g.convolution2d(x[0], x[1], None, &form)
                    },
                ),
            ]
        },
    ),
    Composition::new(
        "convolution1d",
        "y[n,o,i] = b[o] + Σ x[n,c,i·s+u·d-p] w[o,c,u], x = 0 outside",
        || {
            vec![Case::new(
                "dilated",
                &[(&[2, 2, 6], DRAW), (&[3, 2, 3], DRAW), (&[3], DRAW)],
                |g, x| {
                    let border = Border::Zeros([1]);
                    let form = Convolution { dilation: [2], border, ..Default::default() };
                    g.convolution1d(x[0], x[1], Some(x[2]), &form)
                },
            )]
        },
    ),
    Composition::new(
        "transposed_convolution2d",
        "y[n,o,i·s+u·d-p,j·s+v·d-p] = b[o] + Σ x[n,c,i,j] w[c,o,u,v]",
        || {
            vec![
                Case::new(
                    "strided, grouped, with bias",
                    &[(&[1, 2, 3, 3], DRAW), (&[2, 2, 3, 2], DRAW), (&[4], DRAW)],
                    |g, x| {
                        let form = TransposedConvolution {
                            stride: [2, 1],
                            padding: [1, 0],
                            output_padding: [1, 0],
                            groups: 2,
                            ..Default::default()
                        };
                        g.transposed_convolution2d(x[0], x[1], Some(x[2]), &form)
                    },
                ),
                Case::new(
                    "more added than the stride",
                    &[(&[2, 2, 3], DRAW), (&[2, 1, 2, 3], DRAW)],
                    |g, x| {
                        let form = TransposedConvolution {
                            padding: [0, 1],
                            output_padding: [1, 2],
                            dilation: [2, 3],
                            ..Default::default()
                        };
                        g.transposed_convolution2d(x[0], x[1], None, &form)
                    },
                ),
            ]
        },
    ),
    Composition::new(
        "transposed_convolution1d",
        "y[n,o,i·s+u·d-p] = b[o] + Σ x[n,c,i] w[c,o,u]",
        || {
            vec![Case::new("strided", &[(&[2, 2, 4], DRAW), (&[2, 3, 3], DRAW)], |g, x| {
                let form = TransposedConvolution { stride: [2], ..Default::default() };
                g.transposed_convolution1d(x[0], x[1], None, &form)
            })]
        },
    ),
];

/// An image whose leading dimension was added; see [`Graph::with_batch`].
pub(super) struct Batched {
    pub(super) x: NodeId,
    pub(super) single: bool,
}

impl Graph {
    /// Cross-correlation of images [N,C,H,W], or one image [C,H,W], with
    /// weights [O,C/groups,h,w] plus a bias [O], as PyTorch's `conv2d`.
    ///
    /// # Errors
    /// Sizes that do not fit, a window larger than the padded image, or
    /// [`Border::Same`] with a stride.
    #[track_caller]
    pub fn convolution2d(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        form: &Convolution<2>,
    ) -> Result<NodeId, GraphError> {
        let Batched { mut x, single } = self.with_batch("convolution2d", x, 4)?;
        let mut padding = [0; 2];
        match form.border {
            Border::Zeros(zeros) => padding = zeros,
            Border::Same if form.stride != [1, 1] => {
                let message = format!("a stride of {:?} does not keep the size", form.stride);
                return Err(self.error("convolution2d", &[x, weight], message));
            }
            Border::Same => {
                let kernel = self.shape(weight);
                for axis in 0..2 {
                    let taps = kernel.get(2 + axis).map_or(0, |size| size.saturating_sub(1));
                    let total = taps.saturating_mul(form.dilation[axis]);
                    padding[axis] = total / 2;
                    if total % 2 == 1 {
                        let size = self.shape(x)[2 + axis];
                        x = self.embed(x, 2 + axis, 0, 1, size + 1)?;
                    }
                }
            }
        }
        let window =
            Window { stride: form.stride, padding, dilation: form.dilation, groups: form.groups };
        let y = self.conv2d(x, weight, window)?;
        let y = self.add_to_channels(y, bias)?;
        self.without_batch(y, single)
    }

    /// [`Graph::convolution2d`] of sequences [N,C,L] or one sequence [C,L] with
    /// weights [O,C/groups,l].
    ///
    /// # Errors
    /// As for images.
    #[track_caller]
    pub fn convolution1d(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        form: &Convolution<1>,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("convolution1d", x, 3)?;
        let (x, weight) = (self.as_row("convolution1d", x)?, self.as_row("convolution1d", weight)?);
        let flat = Convolution {
            stride: [1, form.stride[0]],
            border: match form.border {
                Border::Zeros([zeros]) => Border::Zeros([0, zeros]),
                Border::Same => Border::Same,
            },
            dilation: [1, form.dilation[0]],
            groups: form.groups,
        };
        let y = self.convolution2d(x, weight, bias, &flat)?;
        let y = self.without_row(y)?;
        self.without_batch(y, single)
    }

    /// The adjoint of [`Graph::convolution2d`] in its image, as a layer: images
    /// [N,C,H,W], or one image [C,H,W], with weights [C,O/groups,h,w] and a
    /// bias [O] give (H-1)·s - 2p + d·(h-1) + 1 rows and as many columns
    /// likewise, and `output_padding` more. As PyTorch's `conv_transpose2d`.
    ///
    /// # Errors
    /// Sizes that do not fit, an output without elements, or an
    /// `output_padding` that is less than neither stride nor dilation.
    #[track_caller]
    pub fn transposed_convolution2d(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        form: &TransposedConvolution<2>,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("transposed_convolution2d", x, 4)?;
        let (image, kernel) = (self.shape(x), self.shape(weight));
        let TransposedConvolution { stride, padding, output_padding, dilation, groups } = *form;
        if kernel.len() != 4 {
            let message = "takes weights [C,O/groups,h,w]".to_owned();
            return Err(self.error("transposed_convolution2d", &[x, weight], message));
        }
        if (0..2).any(|axis| output_padding[axis] >= stride[axis].max(dilation[axis])) {
            let message = "output_padding must be less than stride or dilation".to_owned();
            return Err(self.error("transposed_convolution2d", &[x, weight], message));
        }
        // Rows that windows reach, before any are cut off.
        let reach = |axis: usize| {
            let steps = image[2 + axis].checked_sub(1)?.checked_mul(stride[axis])?;
            let window = kernel[2 + axis].checked_sub(1)?.checked_mul(dilation[axis])?;
            steps.checked_add(window)?.checked_add(1)
        };
        let size = |axis: usize| {
            let all = reach(axis)?.checked_add(output_padding[axis])?;
            all.checked_sub(padding[axis].checked_mul(2)?).filter(|size| *size > 0)
        };
        let (Some(reach), Some(size)) = (pair(reach), pair(size)) else {
            let message = "the output would have no elements".to_owned();
            return Err(self.error("transposed_convolution2d", &[x, weight], message));
        };
        let y = if (0..2).all(|axis| output_padding[axis] < stride[axis]) {
            // A convolution of an image of this size has the size of x.
            self.conv2d_input_gradient(
                x,
                weight,
                Window { stride, padding, dilation, groups },
                size,
            )?
        } else {
            // It would be larger. So the window moves over all it reaches, and
            // what is cut off is cut and what is added beyond is zero.
            let window = Window { stride, padding: [0, 0], dilation, groups };
            let mut y = self.conv2d_input_gradient(x, weight, window, reach)?;
            for axis in 0..2 {
                let start = padding[axis].min(reach[axis]);
                let kept = size[axis].min(reach[axis] - start);
                y = self.narrow(y, 2 + axis, start, 1, kept)?;
                y = self.embed(y, 2 + axis, 0, 1, size[axis])?;
            }
            y
        };
        let y = self.add_to_channels(y, bias)?;
        self.without_batch(y, single)
    }

    /// [`Graph::transposed_convolution2d`] of sequences [N,C,L] or one sequence
    /// [C,L] with weights [C,O/groups,l].
    ///
    /// # Errors
    /// As for images.
    #[track_caller]
    pub fn transposed_convolution1d(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        form: &TransposedConvolution<1>,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("transposed_convolution1d", x, 3)?;
        let (x, weight) = (
            self.as_row("transposed_convolution1d", x)?,
            self.as_row("transposed_convolution1d", weight)?,
        );
        let flat = TransposedConvolution {
            stride: [1, form.stride[0]],
            padding: [0, form.padding[0]],
            output_padding: [0, form.output_padding[0]],
            dilation: [1, form.dilation[0]],
            groups: form.groups,
        };
        let y = self.transposed_convolution2d(x, weight, bias, &flat)?;
        let y = self.without_row(y)?;
        self.without_batch(y, single)
    }

    /// `x` of rank `rank`, or one example of a rank less as a batch of one.
    #[track_caller]
    pub(super) fn with_batch(
        &self,
        op: &str,
        x: NodeId,
        rank: usize,
    ) -> Result<Batched, GraphError> {
        let shape = self.shape(x);
        if shape.len() == rank {
            return Ok(Batched { x, single: false });
        }
        if shape.len() + 1 != rank {
            let message = format!("takes {rank} dimensions, or one less for a single example");
            return Err(self.error(op, &[x], message));
        }
        let x = self.reshape(x, &[&[1], shape.as_slice()].concat())?;
        Ok(Batched { x, single: true })
    }

    /// `y` without the dimension that [`Graph::with_batch`] added.
    #[track_caller]
    pub(super) fn without_batch(&self, y: NodeId, single: bool) -> Result<NodeId, GraphError> {
        if single { self.reshape(y, &self.shape(y)[1..]) } else { Ok(y) }
    }

    /// Sequences as images of one row.
    #[track_caller]
    fn as_row(&self, op: &str, x: NodeId) -> Result<NodeId, GraphError> {
        let mut shape = self.shape(x);
        if shape.len() != 3 {
            return Err(self.error(op, &[x], "takes three dimensions".to_owned()));
        }
        shape.insert(2, 1);
        self.reshape(x, &shape)
    }

    #[track_caller]
    fn without_row(&self, y: NodeId) -> Result<NodeId, GraphError> {
        let mut shape = self.shape(y);
        shape.remove(2);
        self.reshape(y, &shape)
    }

    /// `y` plus one number a channel, if there are any to add.
    #[track_caller]
    pub(super) fn add_to_channels(
        &self,
        y: NodeId,
        bias: Option<NodeId>,
    ) -> Result<NodeId, GraphError> {
        match bias {
            Some(bias) => self.add(y, self.on_channels(bias, y)?),
            None => Ok(y),
        }
    }
}

fn pair(of: impl Fn(usize) -> Option<usize>) -> Option<[usize; 2]> {
    Some([of(0)?, of(1)?])
}
