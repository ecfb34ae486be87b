//! `picks` and its adjoint: rectangles of small images that stand for large ones.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::window::{self, Pick, Picks as Loops};
use speck_kernels::{Choice, KernelError};
use std::sync::Arc;

/// Which rectangles are picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicksShape {
    /// Height and width of a rectangle.
    pub kernel: [usize; 2],
    /// The rows that the rectangles read, a kernel's height for each row of
    /// rectangles, and the columns; what is not in the image is beyond the border.
    pub reads: [Arc<[u32]>; 2],
    /// Whether places beyond the border are −∞ rather than 0.
    pub negative: bool,
}

/// Images to rectangles.
#[derive(Debug)]
struct Picks(PicksShape);

/// Rectangles to images of this size.
#[derive(Debug)]
struct PicksGradient {
    shape: PicksShape,
    image: [usize; 2],
}

impl PicksShape {
    /// All rectangles of `kernel` inside images of `image`, `stride` apart, of places
    /// `dilation` apart.
    pub fn moving(
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        image: [usize; 2],
    ) -> PicksShape {
        let reads = [0, 1].map(|axis| {
            let extent = (dilation[axis] * kernel[axis]).saturating_sub(dilation[axis]) + 1;
            let last = image[axis].checked_sub(extent);
            let starts = (0..last.map_or(0, |last| last + 1)).step_by(stride[axis].max(1));
            let places = |start| (0..kernel[axis]).map(move |tap| start + tap * dilation[axis]);
            starts.flat_map(places).map(|place| place as u32).collect()
        });
        PicksShape { kernel, reads, negative: false }
    }

    pub(super) fn loops(&self, image: &[usize]) -> Result<Loops, String> {
        let &[images, height, width, channels] = image else {
            return Err("takes images [N,H,W,C]".to_owned());
        };
        let PicksShape { kernel, reads, negative } = self.clone();
        let whole =
            |axis: usize| kernel[axis] > 0 && reads[axis].len().is_multiple_of(kernel[axis]);
        if !(whole(0) && whole(1)) {
            return Err("a rectangle reads as many rows and columns as it has".to_owned());
        }
        Ok(Loops { images, image: [height, width], channels, kernel, reads, negative })
    }

    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let list = |axis: usize| {
            let reads: Vec<_> = self.reads[axis].iter().map(u32::to_string).collect();
            reads.join(",")
        };
        vec![
            ("kernel", super::sizes(&self.kernel)),
            ("rows", list(0)),
            ("columns", list(1)),
            ("negative", self.negative.to_string()),
        ]
    }
}

fn rectangles(loops: &Loops) -> [usize; 6] {
    let [down, across] = loops.output();
    [loops.images, down, across, loops.kernel[0], loops.kernel[1], loops.channels]
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

/// Two rows and three columns of rectangles of an image of 2 × 3.
fn example() -> PicksShape {
    let reads = [[2, 0, 1, 1].as_slice().into(), [0, 1, 3, 2, 2, 0].as_slice().into()];
    PicksShape { kernel: [2, 2], reads, negative: false }
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "picks",
    formula: "y[n,i,j,u,v,c] = x[n, rows[i,u], columns[j,v], c], 0 (or -∞) beyond the image",
    gradient: Gradient::Product("picks_gradient(c)"),
    rule: None,
    kernels: || vec![window::PICKS.status()],
    cases: || {
        vec![Case::new("over the border", &[(&[2, 2, 3, 2], DRAW)], |g, x| {
            let x = g.square(x[0])?;
            g.picks(x, &example())
        })]
    },
};

pub(super) static GRADIENT: OpInfo = OpInfo {
    name: "picks_gradient",
    formula: "the adjoint of picks, applied to c",
    gradient: Gradient::Product("picks(k), for cotangent k"),
    rule: None,
    kernels: || vec![window::PICKS_GRADIENT.status()],
    cases: || {
        vec![Case::new("over the border", &[(&[2, 2, 3, 2, 2, 2], DRAW)], |g, x| {
            let x = g.square(x[0])?;
            g.append(PicksGradient { shape: example(), image: [2, 3] }, &[x])
        })]
    },
};

impl PicksGradient {
    fn loops(&self, inputs: &[&TensorType]) -> Result<Loops, String> {
        let x = super::one_float(inputs)?;
        let &[images, .., channels] = x.shape.as_slice() else {
            return Err("takes rectangles [N,H,W,h,w,C]".to_owned());
        };
        let loops = self.shape.loops(&[images, self.image[0], self.image[1], channels])?;
        if x.shape != rectangles(&loops) {
            return Err(format!("the rectangles must be {:?}", rectangles(&loops)));
        }
        Ok(loops)
    }
}

fn lower(
    kernel: &'static Kernel<Pick>,
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

impl Op for Picks {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        Ok(x.with_shape(&rectangles(&self.0.loops(&x.shape)?)))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let shape = graph.shape(vjp.inputs[0]);
        let picks = PicksShape { negative: false, ..self.0.clone() };
        let op = PicksGradient { shape: picks, image: [shape[1], shape[2]] };
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
        lower(&window::PICKS, self.0.loops(&inputs[0].shape), output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        window::gpu::picks(&self.0.loops(&inputs[0].shape)?, false)
    }
}

impl Op for PicksGradient {
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
        Ok(vec![Some(graph.picks(vjp.cotangent, &self.shape)?)])
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
        lower(&window::PICKS_GRADIENT, self.loops(inputs), output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        window::gpu::picks(&self.loops(inputs)?, true)
    }
}

impl Graph {
    /// Rectangles of images `x` [N,H,W,C], channels last, by lists of the rows and
    /// columns that they read: [N, down, across, kernel height, kernel width, C].
    ///
    /// # Errors
    /// Lists that are not of whole rectangles.
    #[track_caller]
    pub fn picks(&self, x: NodeId, shape: &PicksShape) -> Result<NodeId, GraphError> {
        self.append(Picks(shape.clone()), &[x])
    }
}
