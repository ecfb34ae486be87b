//! `max_pool2d_indices`: where the maximum of each window lies.
//!
//! Max pooling itself is a gather at these indices (see
//! [`Graph::max_pool2d`]): its gradient is then a scatter, of any order, and
//! the tie rule stands in one place.

use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::pooling::{self, PoolShape};
use speck_kernels::{Choice, KernelError};

/// How the windows of a pooling lie on the image: [vertical, horizontal].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWindow {
    /// Number of taps.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// How far windows reach beyond each side of the image; at most half of
    /// their extent, so that none lies outside.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps.
    pub dilation: [usize; 2],
    /// Whether a last window that begins inside the image or the padding
    /// before it, but sticks out at the end, counts.
    pub ceil_mode: bool,
}

impl PoolWindow {
    /// Windows side by side: no padding, no dilation, none that sticks out.
    pub fn tiles(kernel: [usize; 2]) -> Self {
        let dilation = [1, 1];
        PoolWindow { kernel, stride: kernel, padding: [0, 0], dilation, ceil_mode: false }
    }
}

#[derive(Debug)]
struct MaxPool2dIndices(PoolWindow);

pub(super) static INFO: OpInfo = OpInfo {
    name: "max_pool2d_indices",
    formula: "y = the index h·W + w of the largest element of each window",
    gradient: Gradient::Zero("an index is constant except at ties"),
    rule: Some("ties: the first in row-major order; padding never wins; NaN wins (PyTorch)"),
    kernels: || vec![pooling::MAX_POOL2D_INDICES.status()],
    cases: || {
        vec![
            Case::new("halves", &[(&[2, 3, 4, 6], Draw::Distinct)], |graph, x| {
                graph.max_pool2d_indices(x[0], [2, 2], [2, 2], [0, 0])
            }),
            Case::new("overlapping, padded", &[(&[1, 2, 5, 4], Draw::Distinct)], |graph, x| {
                graph.max_pool2d_indices(x[0], [3, 2], [2, 1], [1, 1])
            }),
            Case::new("dilated, rounded up", &[(&[2, 1, 6, 7], Draw::Distinct)], |graph, x| {
                let tiles = PoolWindow::tiles([2, 3]);
                let window =
                    PoolWindow { dilation: [1, 2], padding: [1, 1], ceil_mode: true, ..tiles };
                graph.max_pool2d_indices_of(x[0], window)
            }),
        ]
    },
};

/// The number of windows along one axis.
fn count(window: &PoolWindow, axis: usize, input: usize) -> Result<usize, String> {
    let sizes = [window.kernel, window.stride, window.padding, window.dilation];
    let [taps, stride, padding, dilation] = sizes.map(|pair| pair[axis]);
    if taps == 0 || stride == 0 || dilation == 0 {
        return Err("window, stride and dilation must be at least 1".to_owned());
    }
    let extent = (taps - 1).checked_mul(dilation).and_then(|span| span.checked_add(1));
    let (Some(extent), true) = (extent, padding <= usize::MAX / 4) else {
        return Err("a window is too large".to_owned());
    };
    if padding > extent / 2 {
        return Err("the padding may be at most half of the window".to_owned());
    }
    // The last window starts at most `room` after the first. Rounding up may
    // even let in a first window that is larger than the padded image.
    let padded = input.saturating_add(2 * padding);
    let spare = if window.ceil_mode { stride - 1 } else { 0 };
    let mut windows = match padded.saturating_add(spare).checked_sub(extent) {
        Some(room) => room / stride + 1,
        None => 0,
    };
    if window.ceil_mode && windows > 0 && (windows - 1) * stride >= input + padding {
        windows -= 1;
    }
    if windows == 0 {
        return Err(format!("a window of {extent} does not fit {input} elements"));
    }
    Ok(windows)
}

/// The loops of a pooling over images [N,C,H,W] or one image [C,H,W].
pub(super) fn pool_shape(x: &TensorType, window: &PoolWindow) -> Result<PoolShape, String> {
    let (planes, [height, width]) = match *x.shape.as_slice() {
        [batch, channels, height, width] => (batch * channels, [height, width]),
        [channels, height, width] => (channels, [height, width]),
        _ => return Err("takes images [N,C,H,W], or one [C,H,W]".to_owned()),
    };
    let output = [count(window, 0, height)?, count(window, 1, width)?];
    Ok(PoolShape {
        planes,
        input: [height, width],
        output,
        kernel: window.kernel,
        stride: window.stride,
        padding: window.padding,
        dilation: window.dilation,
    })
}

/// Whether one of the windows has no tap inside the image: dilated taps may
/// step over a small one.
fn leaves_out(shape: &PoolShape) -> bool {
    let empty = |axis: usize| {
        let inside = |first: usize, tap: usize| {
            let position = first + tap * shape.dilation[axis];
            (shape.padding[axis]..shape.padding[axis] + shape.input[axis]).contains(&position)
        };
        (0..shape.output[axis])
            .map(|o| o * shape.stride[axis])
            .any(|first| !(0..shape.kernel[axis]).any(|tap| inside(first, tap)))
    };
    empty(0) || empty(1)
}

/// The shape with other last two sizes; it has at least three.
pub(super) fn resized(shape: &[usize], last: [usize; 2]) -> Vec<usize> {
    [&shape[..shape.len() - 2], &last].concat()
}

/// Attributes of a pooling.
pub(super) fn attributes(window: &PoolWindow) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("kernel", super::sizes(&window.kernel)),
        ("stride", super::sizes(&window.stride)),
        ("padding", super::sizes(&window.padding)),
    ];
    if window.dilation != [1, 1] {
        all.push(("dilation", super::sizes(&window.dilation)));
    }
    if window.ceil_mode {
        all.push(("ceil_mode", "true".to_owned()));
    }
    all
}

impl Op for MaxPool2dIndices {
    fn form(&self) -> Form<'_> {
        Form::MaxPoolIndices(self.0)
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        attributes(&self.0)
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let shape = pool_shape(x, &self.0)?;
        if leaves_out(&shape) {
            return Err("a window has no tap inside the image".to_owned());
        }
        Ok(TensorType::new(DType::I32, &resized(&x.shape, shape.output)))
    }
    fn vjp(&self, _: &Graph, _: &Vjp<'_>) -> Gradients {
        Ok(vec![None])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements() * self.0.kernel[0] * self.0.kernel[1], inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        _: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = pool_shape(inputs[0], &self.0)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(inputs[0].dtype, T => {
            let variant = pooling::MAX_POOL2D_INDICES.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("max_pool2d_indices", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: sizes come from the shapes.
                unsafe { run(&shape, x, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        pooling::gpu::max_indices(&pool_shape(inputs[0], &self.0)?)
    }
}

impl Graph {
    /// The index `h·W + w` of the maximum of each window of images [N,C,H,W],
    /// or of one image [C,H,W]: i32 [N,C,H',W'] or [C,H',W'].
    ///
    /// # Errors
    /// Not images, a window that does not fit, padding over half the window.
    #[track_caller]
    pub fn max_pool2d_indices(
        &self,
        x: NodeId,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let window = PoolWindow { stride, padding, ..PoolWindow::tiles(kernel) };
        self.max_pool2d_indices_of(x, window)
    }

    /// [`Graph::max_pool2d_indices`] with windows of any kind.
    ///
    /// # Errors
    /// Not images, a window that does not fit or has no tap inside the image,
    /// padding over half the window.
    #[track_caller]
    pub fn max_pool2d_indices_of(
        &self,
        x: NodeId,
        window: PoolWindow,
    ) -> Result<NodeId, GraphError> {
        self.append(MaxPool2dIndices(window), &[x])
    }
}
