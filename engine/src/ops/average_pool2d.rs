//! `average_pool2d` and its adjoint.

use super::max_pool2d_indices::{PoolWindow, attributes, pool_shape, resized};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::pooling::{self, AveragePool};
use speck_kernels::{Choice, KernelError};

/// Windows of an average pooling: [vertical, horizontal].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool2d {
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Rows and columns of zeros at each side, at most half the window.
    pub padding: [usize; 2],
    /// Whether zeros of the padding count in the mean. Taps beyond the
    /// padding, which windows rounded up have, never do.
    pub count_padding: bool,
    /// Whether a last window that begins inside the image or the padding
    /// before it, but sticks out at the end, counts.
    pub ceil_mode: bool,
    /// What sums are divided by instead of the number of elements; not 0.
    pub divisor: Option<i64>,
}

impl Default for AveragePool2d {
    /// Windows of one element side by side.
    fn default() -> Self {
        AveragePool2d {
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            count_padding: true,
            ceil_mode: false,
            divisor: None,
        }
    }
}

/// The adjoint: spreads each cotangent evenly over its window.
#[derive(Debug)]
struct AveragePool2dGradient {
    pool: AveragePool2d,
    input: [usize; 2],
}

const PLAIN: AveragePool2d = AveragePool2d {
    kernel: [2, 2],
    stride: [2, 2],
    padding: [0, 0],
    count_padding: true,
    ceil_mode: false,
    divisor: None,
};
const PADDED: AveragePool2d = AveragePool2d {
    kernel: [3, 2],
    stride: [2, 1],
    padding: [1, 1],
    count_padding: false,
    ..PLAIN
};
const ROUNDED_UP: AveragePool2d =
    AveragePool2d { stride: [3, 2], padding: [1, 0], ceil_mode: true, ..PLAIN };
const DIVIDED: AveragePool2d = AveragePool2d { divisor: Some(-3), ..ROUNDED_UP };

pub(super) static INFO: OpInfo = OpInfo {
    name: "average_pool2d",
    formula: "y = the mean of x over each window",
    gradient: Gradient::Product("each c spread evenly over its window"),
    rule: None,
    kernels: || vec![pooling::AVERAGE_POOL2D.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("halves", &[(&[2, 3, 4, 6], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.average_pool2d(x, PLAIN)
            }),
            Case::new("overlapping, padded", &[(&[1, 2, 5, 4], draw)], |graph, x| {
                graph.average_pool2d(x[0], PADDED)
            }),
            Case::new("one image, rounded up", &[(&[2, 5, 5], draw)], |graph, x| {
                graph.average_pool2d(x[0], ROUNDED_UP)
            }),
            Case::new("divided by -3", &[(&[1, 2, 5, 5], draw)], |graph, x| {
                graph.average_pool2d(x[0], DIVIDED)
            }),
        ]
    },
};

pub(super) static GRADIENT: OpInfo = OpInfo {
    name: "average_pool2d_gradient",
    formula: "the adjoint of average_pool2d, applied to c",
    gradient: Gradient::Product("average_pool2d(k), for cotangent k"),
    rule: None,
    kernels: || vec![pooling::AVERAGE_POOL2D_GRADIENT.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("halves", &[(&[2, 3, 2, 3], draw)], |graph, x| {
                let x = graph.square(x[0])?;
                graph.average_pool2d_gradient(x, PLAIN, [4, 6])
            }),
            Case::new("overlapping, padded", &[(&[1, 2, 3, 5], draw)], |graph, x| {
                graph.average_pool2d_gradient(x[0], PADDED, [5, 4])
            }),
            Case::new("rounded up", &[(&[1, 2, 2, 3], draw)], |graph, x| {
                graph.average_pool2d_gradient(x[0], ROUNDED_UP, [5, 5])
            }),
        ]
    },
};

impl AveragePool2d {
    fn window(&self) -> PoolWindow {
        PoolWindow {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: [1, 1],
            ceil_mode: self.ceil_mode,
        }
    }

    fn shape(&self, image: &TensorType) -> Result<AveragePool, String> {
        if self.divisor == Some(0) {
            return Err("the divisor must not be 0".to_owned());
        }
        let shape = pool_shape(image, &self.window())?;
        Ok(AveragePool { shape, count_padding: self.count_padding, divisor: self.divisor })
    }

    fn all_attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = attributes(&self.window());
        all.push(("count_padding", self.count_padding.to_string()));
        all.extend(self.divisor.map(|divisor| ("divisor", divisor.to_string())));
        all
    }
}

impl Op for AveragePool2d {
    fn form(&self) -> Form<'_> {
        Form::AveragePool(*self)
    }
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.all_attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        Ok(x.with_shape(&resized(&x.shape, self.shape(x)?.shape.output)))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let input = [shape[shape.len() - 2], shape[shape.len() - 1]];
        let gradient = graph.average_pool2d_gradient(vjp.cotangent, *self, input)?;
        Ok(vec![Some(gradient)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(output.elements() * self.kernel[0] * self.kernel[1], inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let pool = self
            .shape(inputs[0])
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = pooling::AVERAGE_POOL2D.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("average_pool2d", variant.name, 0, move |call| {
                let x = call.input::<T>(0);
                // SAFETY: sizes come from the shapes.
                unsafe { run(&pool, x, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true])
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        pooling::gpu::average(&self.shape(inputs[0])?)
    }
}

impl AveragePool2dGradient {
    fn image(&self, cotangent: &TensorType) -> Result<TensorType, String> {
        if !matches!(cotangent.rank(), 3 | 4) {
            return Err("takes a cotangent [N,C,H',W'] or [C,H',W']".to_owned());
        }
        let image = cotangent.with_shape(&resized(&cotangent.shape, self.input));
        let shape = self.pool.shape(&image)?.shape;
        if shape.output != cotangent.shape[cotangent.rank() - 2..] {
            return Err(format!("the cotangent should be [..,{}]", super::sizes(&shape.output)));
        }
        Ok(image)
    }
}

impl Op for AveragePool2dGradient {
    fn info(&self) -> &'static OpInfo {
        &GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.pool.all_attributes();
        all.push(("input", super::sizes(&self.input)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        self.image(super::one_float(inputs)?)
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.average_pool2d(vjp.cotangent, self.pool)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let window = self.pool.kernel[0] * self.pool.kernel[1];
        streaming(inputs[0].elements() * window, inputs, output)
    }
    fn lower(
        &self,
        _: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let pool = self
            .pool
            .shape(output)
            .unwrap_or_else(|message| unreachable!("inferred before: {message}"));
        with_real!(output.dtype, T => {
            let variant = pooling::AVERAGE_POOL2D_GRADIENT.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("average_pool2d_gradient", variant.name, 0, move |call| {
                let c = call.input::<T>(0);
                // SAFETY: sizes come from the shapes.
                unsafe { run(&pool, c, call.into_output()) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true])
    }
    fn shade(&self, _: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        pooling::gpu::average_gradient(&self.pool.shape(output)?)
    }
}

impl Graph {
    /// The mean over each window of images [N,C,H,W], or of one image [C,H,W].
    ///
    /// # Errors
    /// Not images, a window that does not fit, padding over half the window.
    #[track_caller]
    pub fn average_pool2d(&self, x: NodeId, pool: AveragePool2d) -> Result<NodeId, GraphError> {
        self.append(pool, &[x])
    }

    /// The adjoint of [`Graph::average_pool2d`] on images of `input` = [H,W].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn average_pool2d_gradient(
        &self,
        cotangent: NodeId,
        pool: AveragePool2d,
        input: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        self.append(AveragePool2dGradient { pool, input }, &[cotangent])
    }
}
