//! `columns` and its adjoint: rectangles of channels-last images as the rows of
//! a matrix, so that a convolution is a product of matrices.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::window::{self, Columns as Loops, Unfold};
use speck_kernels::{Choice, KernelError};

/// The rectangles: [vertical, horizontal].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnsShape {
    /// Size of a rectangle.
    pub kernel: [usize; 2],
    /// Distance between neighbouring rectangles.
    pub stride: [usize; 2],
    /// Distance between neighbouring places in a rectangle.
    pub dilation: [usize; 2],
}

impl ColumnsShape {
    fn loops(&self, image: &[usize]) -> Result<Loops, String> {
        let &[images, height, width, channels] = image else {
            return Err("takes images [N,H,W,C]".to_owned());
        };
        let ColumnsShape { kernel, stride, dilation } = *self;
        if [kernel, stride, dilation].iter().any(|sizes| sizes.contains(&0)) {
            return Err("rectangle, stride and dilation must be at least 1".to_owned());
        }
        let loops = Loops { images, image: [height, width], channels, kernel, stride, dilation };
        if loops.output().contains(&0) {
            return Err(format!("a rectangle of {}×{} does not fit", kernel[0], kernel[1]));
        }
        Ok(loops)
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("kernel", super::sizes(&self.kernel)),
            ("stride", super::sizes(&self.stride)),
            ("dilation", super::sizes(&self.dilation)),
        ]
    }
}

fn matrix(loops: &Loops) -> [usize; 6] {
    let [down, across] = loops.output();
    [loops.images, down, across, loops.kernel[0], loops.kernel[1], loops.channels]
}

/// Images to rectangles.
#[derive(Debug)]
struct Columns(ColumnsShape);

/// Rectangles added to images of this height and width.
#[derive(Debug)]
struct ColumnsGradient {
    shape: ColumnsShape,
    image: [usize; 2],
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const SHAPE: ColumnsShape = ColumnsShape { kernel: [3, 2], stride: [2, 1], dilation: [1, 2] };

pub(super) static INFO: OpInfo = OpInfo {
    name: "columns",
    formula: "y[n,i,j,u,v,c] = x[n, i·s+u·d, j·s+v·d, c]",
    gradient: Gradient::Product("columns_gradient(c)"),
    rule: None,
    kernels: || vec![window::COLUMNS.status()],
    cases: || {
        vec![Case::new("strided, dilated", &[(&[2, 5, 6, 3], DRAW)], |graph, x| {
            let x = graph.square(x[0])?;
            graph.columns(x, SHAPE)
        })]
    },
};

pub(super) static GRADIENT: OpInfo = OpInfo {
    name: "columns_gradient",
    formula: "the adjoint of columns, applied to c",
    gradient: Gradient::Product("columns(k), for cotangent k"),
    rule: None,
    kernels: || vec![window::COLUMNS_GRADIENT.status()],
    cases: || {
        vec![Case::new("strided, dilated", &[(&[2, 2, 4, 3, 2, 3], DRAW)], |graph, x| {
            let x = graph.square(x[0])?;
            graph.append(ColumnsGradient { shape: SHAPE, image: [5, 6] }, &[x])
        })]
    },
};

impl ColumnsGradient {
    fn loops(&self, inputs: &[&TensorType]) -> Result<Loops, String> {
        let x = super::one_float(inputs)?;
        let &[images, .., channels] = x.shape.as_slice() else {
            return Err("takes rectangles [N,H,W,h,w,C]".to_owned());
        };
        let loops = self.shape.loops(&[images, self.image[0], self.image[1], channels])?;
        if x.shape != matrix(&loops) {
            return Err(format!("the rectangles must be {:?}", matrix(&loops)));
        }
        Ok(loops)
    }
}

fn lower(
    kernel: &'static Kernel<Unfold>,
    loops: Result<Loops, String>,
    output: &TensorType,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let loops = loops.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
    with_real!(output.dtype, T => {
        let variant = kernel.select::<T>(choice)?;
        let run = variant.run;
        Ok(super::routine(kernel.name, variant.name, 0, move |call| {
            let x = call.input::<T>(0);
            run(&loops, x, call.into_output());
        }))
    })
}

impl Op for Columns {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        Ok(x.with_shape(&matrix(&self.0.loops(&x.shape)?)))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let op = ColumnsGradient { shape: self.0, image: [shape[1], shape[2]] };
        Ok(vec![Some(graph.append(op, &[vjp.cotangent])?)])
    }
    fn cost(&self, _: &[&TensorType], output: &TensorType) -> Cost {
        let bytes = output.bytes() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&window::COLUMNS, self.0.loops(&inputs[0].shape), output, choice)
    }
}

impl Op for ColumnsGradient {
    fn info(&self) -> &'static OpInfo {
        &GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.shape.attributes();
        all.push(("image", super::sizes(&self.image)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let loops = self.loops(inputs)?;
        let [height, width] = loops.image;
        Ok(inputs[0].with_shape(&[loops.images, height, width, loops.channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        Ok(vec![Some(graph.columns(vjp.cotangent, self.shape)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&window::COLUMNS_GRADIENT, self.loops(inputs), output, choice)
    }
}

impl Graph {
    /// The rectangles of images `x` [N,H,W,C], channels last: [N, down, across,
    /// kernel height, kernel width, C].
    ///
    /// # Errors
    /// A rectangle that does not fit.
    #[track_caller]
    pub fn columns(&self, x: NodeId, shape: ColumnsShape) -> Result<NodeId, GraphError> {
        self.append(Columns(shape), &[x])
    }
}
