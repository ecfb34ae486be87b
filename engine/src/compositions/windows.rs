//! Windows of an image as columns, and layers made of them.

use super::convolution::Batched;
use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::ops::Window;
use crate::tensor::Tensor;

/// The extra inputs of a deformable convolution, with K = h·w taps in G groups.
#[derive(Clone, Copy, Debug)]
pub struct Deformation {
    /// How far each tap is moved, [N,G·K·2,H',W']: down, then to the right.
    pub offsets: NodeId,
    /// What each tap's value is multiplied by, [N,G·K,H',W'].
    pub mask: Option<NodeId>,
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const PLAIN: Window = Window { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
const SPARSE: Window = Window { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 1 };

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "unfold",
        "y[n,(c,u,v),(i,j)] = x[n,c,i·s+u·d-p,j·s+v·d-p], x = 0 outside",
        || {
            vec![
                Case::new("padded", &[(&[2, 2, 3, 4], DRAW)], |g, x| {
                    g.unfold(x[0], [2, 3], Window { padding: [1, 1], ..PLAIN })
                }),
                Case::new("one image, strided, dilated", &[(&[2, 4, 5], DRAW)], |g, x| {
                    g.unfold(x[0], [3, 2], SPARSE)
                }),
            ]
        },
    ),
    Composition::new("fold", "the adjoint of unfold: columns added where they came from", || {
        vec![
            Case::new("padded", &[(&[1, 12, 16], DRAW)], |g, x| {
                g.fold(x[0], [3, 4], [2, 3], Window { padding: [1, 1], ..PLAIN })
            }),
            Case::new("one image, strided, dilated", &[(&[12, 6], DRAW)], |g, x| {
                g.fold(x[0], [4, 5], [3, 2], SPARSE)
            }),
        ]
    })
    .rule("where windows overlap their values add up; padding is dropped", || {
        vec![
            Expectation::new(
                "three windows of two",
                vec![Tensor::from_f64(&[2, 3], vec![1.0, 2.0, 3.0, 10.0, 20.0, 30.0])],
                |g, x| g.fold(x[0], [1, 2], [1, 2], Window { padding: [0, 1], ..PLAIN }),
                &[12.0, 23.0],
            )
            .gradients(&[&[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]),
        ]
    }),
    Composition::new(
        "locally_connected2d",
        "y[n,o,i,j] = b[o,i,j] + Σ x[n,c,i·s+u·d-p,j·s+v·d-p] w[o,c,u,v,i,j]",
        || {
            let shapes: [(&[usize], Draw); 3] =
                [(&[2, 2, 3, 3], DRAW), (&[3, 2, 2, 2, 2, 2], DRAW), (&[3, 2, 2], DRAW)];
            vec![Case::new("with bias", &shapes, |g, x| {
                g.locally_connected2d(x[0], x[1], Some(x[2]), PLAIN)
            })]
        },
    ),
    Composition::new(
        "deformable_convolution2d",
        "y[n,o,i,j] = b[o] + Σ m x[n,c] at (i·s+u·d-p, j·s+v·d-p) + offset, times w[o,c,u,v]",
        || {
            // Offsets of up to 0.35 from a quarter: no tap crosses an element.
            let draw = Draw::Uniform(0.1, 0.45);
            vec![
                Case::new(
                    "with mask and bias",
                    &[
                        (&[1, 2, 3, 3], DRAW),
                        (&[2, 2, 2, 2], DRAW),
                        (&[1, 16, 2, 2], draw),
                        (&[1, 8, 2, 2], DRAW),
                        (&[2], DRAW),
                    ],
                    |g, x| {
                        let form = Deformation { offsets: x[2], mask: Some(x[3]) };
                        g.deformable_convolution2d(x[0], x[1], form, Some(x[4]), PLAIN)
                    },
                ),
                Case::new(
                    "grouped, strided, padded",
                    &[(&[2, 2, 4, 3], DRAW), (&[2, 1, 3, 1], DRAW), (&[2, 6, 2, 3], draw)],
                    |g, x| {
                        let window = Window { stride: [2, 1], padding: [1, 0], groups: 2, ..PLAIN };
                        let form = Deformation { offsets: x[2], mask: None };
                        g.deformable_convolution2d(x[0], x[1], form, None, window)
                    },
                ),
            ]
        },
    )
    .rule("without offsets a convolution; outside, the image is zero", || {
        let image = Tensor::from_f64(&[1, 1, 2, 2], vec![1.0, 2.0, 4.0, 8.0]);
        let inputs = |down: f64| {
            let weight = Tensor::from_f64(&[1, 1, 1, 2], vec![1.0, 10.0]);
            let offsets = [[down; 2], [0.0; 2], [down; 2], [0.0; 2]].concat();
            vec![image.clone(), weight, Tensor::from_f64(&[1, 4, 2, 1], offsets)]
        };
        let build = |g: &Graph, x: &[NodeId]| {
            let form = Deformation { offsets: x[2], mask: None };
            g.deformable_convolution2d(x[0], x[1], form, None, PLAIN)
        };
        vec![
            Expectation::new("no offsets", inputs(0.0), build, &[21.0, 84.0]),
            Expectation::new("half outside", inputs(0.5), build, &[52.5, 42.0]),
            Expectation::new("outside", inputs(7.0), build, &[0.0, 0.0])
                .gradients(&[&[0.0; 4], &[0.0; 2], &[0.0; 8]]),
        ]
    }),
];

/// Where the taps of all windows lie in a padded image.
struct Taps {
    /// Rows and columns of windows.
    output: [usize; 2],
    /// Rows of the padded image, for each tap in turn those of all windows;
    /// then columns.
    index: [Vec<usize>; 2],
}

impl Taps {
    fn new(image: [usize; 2], kernel: [usize; 2], window: &Window) -> Result<Self, String> {
        let mut taps = Taps { output: [0; 2], index: [Vec::new(), Vec::new()] };
        for axis in 0..2 {
            let (stride, dilation) = (window.stride[axis], window.dilation[axis]);
            if stride == 0 || dilation == 0 || kernel[axis] == 0 {
                return Err("window, stride and dilation must be at least 1".to_owned());
            }
            let padded = window.padding[axis].checked_mul(2);
            let padded = padded.and_then(|padding| padding.checked_add(image[axis]));
            let padded = padded.filter(|padded| *padded <= i32::MAX as usize);
            let extent = (kernel[axis] - 1).checked_mul(dilation);
            let room = padded
                .zip(extent)
                .and_then(|(padded, extent)| padded.checked_sub(extent)?.checked_sub(1));
            let Some(room) = room else {
                return Err(format!("windows do not fit into {} elements", image[axis]));
            };
            let count = room / stride + 1;
            taps.output[axis] = count;
            taps.index[axis] = (0..kernel[axis])
                .flat_map(|tap| (0..count).map(move |i| i * stride + tap * dilation))
                .collect();
        }
        Ok(taps)
    }

    fn windows(&self) -> usize {
        self.output[0] * self.output[1]
    }
}

impl Graph {
    /// The windows of images [N,C,H,W] as columns [N,C·h·w,H'·W'], or of one
    /// image [C,H,W] as [C·h·w,H'·W'] (PyTorch's `unfold`, im2col).
    ///
    /// # Errors
    /// Not images, a window that does not fit, or more than one group.
    #[track_caller]
    pub fn unfold(
        &self,
        x: NodeId,
        kernel: [usize; 2],
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("unfold", x, 4)?;
        let [batch, channels, height, width] = self.four("unfold", x)?;
        let taps = match Taps::new([height, width], kernel, &window) {
            Ok(taps) if window.groups == 1 => taps,
            Ok(_) => return Err(self.error("unfold", &[x], "takes one group".to_owned())),
            Err(message) => return Err(self.error("unfold", &[x], message)),
        };
        let mut y = x;
        for (axis, size) in [height, width].into_iter().enumerate() {
            let padding = window.padding[axis];
            if padding > 0 {
                y = self.embed(y, 2 + axis, padding, 1, size + 2 * padding)?;
            }
            y = self.index_select(y, 2 + axis, self.constant_index(&taps.index[axis])?)?;
        }
        let ([h, w], [rows, columns]) = (kernel, taps.output);
        y = self.reshape(y, &[batch, channels, h, rows, w, columns])?;
        y = self.permute(y, &[0, 1, 2, 4, 3, 5])?;
        y = self.reshape(y, &[batch, channels * h * w, taps.windows()])?;
        self.without_batch(y, single)
    }

    /// The adjoint of [`Graph::unfold`]: columns [N,C·h·w,H'·W'] added up in
    /// images [N,C,H,W] of `size` = [H,W], or without N in one image.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn fold(
        &self,
        columns: NodeId,
        size: [usize; 2],
        kernel: [usize; 2],
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("fold", columns, 3)?;
        let shape = self.shape(x);
        let taps = match Taps::new(size, kernel, &window) {
            Ok(taps) => taps,
            Err(message) => return Err(self.error("fold", &[x], message)),
        };
        let [h, w] = kernel;
        if !shape[1].is_multiple_of(h * w) || shape[2] != taps.windows() || window.groups != 1 {
            let message = format!("takes columns [N,C·{},{}]", h * w, taps.windows());
            return Err(self.error("fold", &[x], message));
        }
        let [high, wide] = taps.output;
        let mut y = self.reshape(x, &[shape[0], shape[1] / (h * w), h, w, high, wide])?;
        y = self.permute(y, &[0, 1, 2, 4, 3, 5])?;
        y = self.reshape(y, &[shape[0], shape[1] / (h * w), h * high, w * wide])?;
        for axis in 0..2 {
            let (index, padding) = (self.constant_index(&taps.index[axis])?, window.padding[axis]);
            y = self.index_add(y, 2 + axis, index, size[axis] + 2 * padding)?;
            y = self.narrow(y, 2 + axis, padding, 1, size[axis])?;
        }
        self.without_batch(y, single)
    }

    /// A convolution with weights of its own at each place: images [N,C,H,W],
    /// or one image [C,H,W], with weights [O,C,h,w,H',W'] and a bias [O,H',W'].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn locally_connected2d(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let Batched { x, single } = self.with_batch("locally_connected2d", x, 4)?;
        let &[outputs, channels, h, w, rows, columns] = self.shape(weight).as_slice() else {
            let message = "takes weights [O,C,h,w,H',W']".to_owned();
            return Err(self.error("locally_connected2d", &[x, weight], message));
        };
        let [batch, ..] = self.four("locally_connected2d", x)?;
        let patches = self.permute(self.unfold(x, [h, w], window)?, &[2, 0, 1])?;
        let weight = self.reshape(weight, &[outputs, channels * h * w, rows * columns])?;
        let weight = self.permute(weight, &[2, 1, 0])?;
        let y = self.matmul(patches, weight)?;
        let y = self.permute(y, &[1, 2, 0])?;
        let mut y = self.reshape(y, &[batch, outputs, rows, columns])?;
        if let Some(bias) = bias {
            y = self.add(y, self.expand(bias, &[outputs, rows, columns])?)?;
        }
        self.without_batch(y, single)
    }

    /// A convolution whose taps are moved by amounts of their own at each place
    /// (Dai et al., "Deformable Convolutional Networks", 2017), and with a mask
    /// weighted as well (Zhu et al., "Deformable ConvNets v2", 2019): images
    /// [N,C,H,W] with weights [O,C/groups,h,w] and a bias [O]. Between elements
    /// the image is linear, outside it is zero. The channels are cut into as
    /// many groups as there are sets of offsets.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn deformable_convolution2d(
        &self,
        x: NodeId,
        weight: NodeId,
        form: Deformation,
        bias: Option<NodeId>,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let (name, inputs) = ("deformable_convolution2d", [x, weight, form.offsets]);
        let [batch, channels, height, width] = self.four(name, x)?;
        let [outputs, share, h, w] = self.four(name, weight)?;
        let [_, moves, ..] = self.four(name, form.offsets)?;
        let taps = match Taps::new([height, width], [h, w], &window) {
            Ok(taps) => taps,
            Err(message) => return Err(self.error(name, &inputs, message)),
        };
        let ([rows, columns], count) = (taps.output, h * w);
        let sets = moves / (2 * count);
        let parts = window.groups;
        let offsets = [batch, 2 * count * sets, rows, columns];
        if sets == 0 || channels % sets != 0 || self.shape(form.offsets) != offsets {
            let message = format!("takes offsets [{batch},G·{},{rows},{columns}]", 2 * count);
            return Err(self.error(name, &inputs, message));
        }
        if parts == 0 || share * parts != channels || outputs % parts != 0 {
            let message = format!("weights in {parts} groups do not fit {channels} channels");
            return Err(self.error(name, &inputs, message));
        }
        let points = count * rows * columns;
        let offsets = self.reshape(form.offsets, &[batch * sets, count, 2, rows * columns])?;
        let mut places = Vec::new();
        for axis in 0..2 {
            let offset = self.narrow(offsets, 2, axis, 1, 1)?;
            let offset = self.reshape(offset, &[batch * sets, count, rows, columns])?;
            // Taps vary along the second dimension, places along the last two.
            let at = |point: usize| {
                let (tap, place) = (point / (rows * columns), point % (rows * columns));
                let tap = [tap / w, tap % w][axis];
                let place = [place / columns, place % columns][axis];
                let position = place * window.stride[axis] + tap * window.dilation[axis];
                position as f64 - window.padding[axis] as f64
            };
            let still: Vec<f64> = (0..points).map(at).collect();
            let ty = self.ty(offset).with_shape(&[count, rows, columns]);
            let still = self.constant(Tensor::new(&ty, &still))?;
            places.push(self.reshape(self.add(offset, still)?, &[batch * sets, points])?);
        }
        let image = self.reshape(x, &[batch * sets, channels / sets, height, width])?;
        let mut taken = self.sample_linear(image, &places)?;
        if let Some(mask) = form.mask {
            let mask = self.reshape(mask, &[batch * sets, 1, points])?;
            taken = self.mul(taken, mask)?;
        }
        // One product a group of the convolution, all images side by side.
        let taken = self.reshape(taken, &[batch, parts, share * count, rows * columns])?;
        let taken = self.permute(taken, &[1, 2, 0, 3])?;
        let taken = self.reshape(taken, &[parts, share * count, batch * rows * columns])?;
        let weight = self.reshape(weight, &[parts, outputs / parts, share * count])?;
        let y = self.matmul(weight, taken)?;
        let y = self.reshape(y, &[outputs, batch, rows * columns])?;
        let y = self.permute(y, &[1, 0, 2])?;
        let y = self.reshape(y, &[batch, outputs, rows, columns])?;
        self.add_to_channels(y, bias)
    }

    /// The sizes of a tensor of four dimensions.
    #[track_caller]
    fn four(&self, op: &str, x: NodeId) -> Result<[usize; 4], GraphError> {
        match self.shape(x).try_into() {
            Ok(sizes) => Ok(sizes),
            Err(_) => Err(self.error(op, &[x], "takes four dimensions".to_owned())),
        }
    }
}
