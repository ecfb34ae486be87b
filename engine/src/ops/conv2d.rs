//! `conv2d` and its two gradients: three linear maps that are each other's
//! adjoints, so that every derivative of any order is made of the same three.

use super::conv2d_half;
use crate::dtype::DType;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{
    Arguments, Case, Cost, Draw, Form, Gradient, Gradients, Lowered, Op, OpInfo, Routine, Vjp,
    streaming,
};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::convolution::half::{self, ConvolutionHalf};
use speck_kernels::convolution::{self, ConvShape, Convolution};
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError};

/// How a window moves over the image: [vertical, horizontal].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Distance between neighbouring outputs.
    pub stride: [usize; 2],
    /// Rows and columns of zeros at each side.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps.
    pub dilation: [usize; 2],
    /// Number of independent groups of channels.
    pub groups: usize,
}

impl Default for Window {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Window { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// Cross-correlation of images [N,C,H,W] with weights [O,C/groups,h,w].
#[derive(Debug)]
struct Conv2d {
    window: Window,
    /// The type of the sums, where the operands are stored in 16 bits.
    sums: Option<DType>,
}

/// The gradient in the image: (c [N,O,H',W'], weights) → [N,C,H,W].
#[derive(Debug)]
struct InputGradient {
    window: Window,
    sums: Option<DType>,
    input: [usize; 2],
}

/// The gradient in the weights: (image, c) → [O,C/groups,h,w].
#[derive(Debug)]
struct WeightGradient {
    window: Window,
    sums: Option<DType>,
    kernel: [usize; 2],
}

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const STRIDED: Window = Window { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 };
const PADDED: Window = Window { padding: [1, 1], ..PLAIN };
const PLAIN: Window = Window { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

pub(super) static INFO: OpInfo = OpInfo {
    name: "conv2d",
    formula: "y[n,o,i,j] = Σ x[n,c,i·s+u·d-p,j·s+v·d-p] w[o,c,u,v], x = 0 outside",
    gradient: Gradient::Product(
        "conv2d_input_gradient(c, w) to x, conv2d_weight_gradient(x, c) to w",
    ),
    rule: None,
    kernels: || vec![convolution::CONV2D.status()],
    cases: || {
        vec![
            Case::new("3×3 padded", &[(&[2, 3, 5, 6], DRAW), (&[4, 3, 3, 3], DRAW)], |g, x| {
                g.conv2d(x[0], x[1], PADDED)
            }),
            Case::new("1×1", &[(&[2, 3, 3, 4], DRAW), (&[2, 3, 1, 1], DRAW)], |g, x| {
                g.conv2d(x[0], x[1], PLAIN)
            }),
            Case::new(
                "strided, dilated",
                &[(&[1, 2, 6, 7], DRAW), (&[3, 2, 3, 2], DRAW)],
                |g, x| g.conv2d(x[0], x[1], STRIDED),
            ),
            Case::new("grouped", &[(&[2, 4, 4, 4], DRAW), (&[6, 2, 3, 3], DRAW)], |g, x| {
                g.conv2d(x[0], x[1], Window { groups: 2, ..PADDED })
            }),
            Case::new("depthwise", &[(&[1, 3, 4, 5], DRAW), (&[3, 1, 2, 3], DRAW)], |g, x| {
                g.conv2d(x[0], x[1], Window { groups: 3, ..PADDED })
            }),
        ]
    },
};

pub(super) static INPUT_GRADIENT: OpInfo = OpInfo {
    name: "conv2d_input_gradient",
    formula: "the adjoint of conv2d in x, applied to c",
    gradient: Gradient::Product(
        "conv2d(k, w) to c, conv2d_weight_gradient(k, c) to w, for cotangent k",
    ),
    rule: None,
    kernels: || vec![convolution::CONV2D_INPUT_GRADIENT.status()],
    cases: || {
        vec![
            Case::new("3×3 padded", &[(&[2, 4, 5, 6], DRAW), (&[4, 3, 3, 3], DRAW)], |g, x| {
                g.conv2d_input_gradient(x[0], x[1], PADDED, [5, 6])
            }),
            Case::new(
                "strided, dilated",
                &[(&[1, 3, 3, 9], DRAW), (&[3, 2, 3, 2], DRAW)],
                |g, x| g.conv2d_input_gradient(x[0], x[1], STRIDED, [6, 7]),
            ),
            Case::new("grouped", &[(&[2, 6, 4, 4], DRAW), (&[6, 2, 3, 3], DRAW)], |g, x| {
                g.conv2d_input_gradient(x[0], x[1], Window { groups: 2, ..PADDED }, [4, 4])
            }),
        ]
    },
};

pub(super) static WEIGHT_GRADIENT: OpInfo = OpInfo {
    name: "conv2d_weight_gradient",
    formula: "the adjoint of conv2d in w, applied to c",
    gradient: Gradient::Product(
        "conv2d_input_gradient(c, k) to x, conv2d(x, k) to c, for cotangent k",
    ),
    rule: None,
    kernels: || vec![convolution::CONV2D_WEIGHT_GRADIENT.status()],
    cases: || {
        vec![
            Case::new("3×3 padded", &[(&[2, 3, 5, 6], DRAW), (&[2, 4, 5, 6], DRAW)], |g, x| {
                g.conv2d_weight_gradient(x[0], x[1], PADDED, [3, 3])
            }),
            Case::new(
                "strided, dilated",
                &[(&[1, 2, 6, 7], DRAW), (&[1, 3, 3, 9], DRAW)],
                |g, x| g.conv2d_weight_gradient(x[0], x[1], STRIDED, [3, 2]),
            ),
            Case::new("grouped", &[(&[2, 4, 4, 4], DRAW), (&[2, 6, 4, 4], DRAW)], |g, x| {
                g.conv2d_weight_gradient(x[0], x[1], Window { groups: 2, ..PADDED }, [3, 3])
            }),
        ]
    },
};

impl Window {
    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("stride", super::sizes(&self.stride)),
            ("padding", super::sizes(&self.padding)),
            ("dilation", super::sizes(&self.dilation)),
            ("groups", self.groups.to_string()),
        ]
    }

    /// The loops of a convolution between image sizes [N,C,H,W] and weight
    /// sizes [O,C/groups,h,w].
    fn shape(&self, image: &[usize], weight: &[usize]) -> Result<ConvShape, String> {
        let (&[batch, in_channels, height, width], &[out_channels, share, rows, columns]) =
            (image, weight)
        else {
            return Err("takes images [N,C,H,W] and weights [O,C/groups,h,w]".to_owned());
        };
        if self.stride.contains(&0) || self.dilation.contains(&0) || self.groups == 0 {
            return Err("stride, dilation and groups must be at least 1".to_owned());
        }
        if share * self.groups != in_channels || out_channels % self.groups != 0 {
            return Err(format!(
                "weights [{}] in {} groups do not fit {in_channels} input channels",
                super::sizes(weight),
                self.groups
            ));
        }
        let shape = ConvShape {
            batch,
            in_channels,
            out_channels,
            groups: self.groups,
            input: [height, width],
            kernel: [rows, columns],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
        };
        if shape.output().contains(&0) {
            return Err(format!(
                "a window of {rows}×{columns} does not fit the padded image of {height}×{width}"
            ));
        }
        Ok(shape)
    }
}

fn output(shape: &ConvShape) -> [usize; 4] {
    let [height, width] = shape.output();
    [shape.batch, shape.out_channels, height, width]
}

/// Checks that the cotangent has the shape of the convolution's output.
fn check(shape: &ConvShape, cotangent: &TensorType) -> Result<(), String> {
    if output(shape) == cotangent.shape[..] {
        return Ok(());
    }
    Err(format!("the cotangent should be [{}]", super::sizes(&output(shape))))
}

fn flops(shape: &ConvShape) -> usize {
    let taps = shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1];
    2 * taps * output(shape).iter().product::<usize>()
}

fn lower(
    kernels: (&'static Kernel<Convolution>, &'static Kernel<ConvolutionHalf>),
    shape: Result<ConvShape, String>,
    inputs: &[&TensorType],
    output: &TensorType,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let shape = shape.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
    with_real!(output.dtype, T => {
        if let Some(storage) = inputs[0].dtype.storage() {
            let variant = kernels.1.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            return Ok(super::routine(kernels.1.name, variant.name, scratch, move |call| {
                let (a, b) = (call.input_stored(0), call.input_stored(1));
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { (routine.run)(&shape, storage, a, b, out, scratch) };
            }));
        }
        let variant = kernels.0.select::<T>(choice)?;
        let routine = variant.run;
        let scratch = (routine.scratch)(&shape) * size_of::<T>();
        let run = move |call: Arguments<'_>| {
            let (a, b) = (call.input::<T>(0), call.input::<T>(1));
            match (routine.report, call.taker()) {
                (Some(report), Some(taker)) => {
                    let (out, scratch) = call.into_output_pointer_and_scratch::<T>();
                    // SAFETY: sizes come from the shapes; the executor touches what is
                    // handed over, and nothing else.
                    unsafe { report(&shape, a, b, out, scratch, taker) };
                }
                _ => {
                    let (out, scratch) = call.into_output_and_scratch::<T>();
                    // SAFETY: sizes come from the shapes.
                    unsafe { (routine.run)(&shape, a, b, out, scratch) };
                }
            }
        };
        Ok(Lowered::Routine(Routine {
            label: format!("{}:{}", kernels.0.name, variant.name),
            scratch,
            reports: routine.report.is_some(),
            passes: false,
            run: Box::new(run),
        }))
    })
}

impl Op for Conv2d {
    fn form(&self) -> Form<'_> {
        match self.sums {
            None => Form::Convolution(self.window),
            Some(_) => Form::Other,
        }
    }
    fn info(&self) -> &'static OpInfo {
        if self.sums.is_some() { &conv2d_half::INFO } else { &INFO }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.window.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        let dtype = super::type_of_sums(inputs, self.sums)?;
        let shape = self.window.shape(&inputs[0].shape, &inputs[1].shape)?;
        Ok(TensorType::new(dtype, &output(&shape)))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [x, w] = [vjp.inputs[0], vjp.inputs[1]];
        let c = super::like_operands(graph, vjp)?;
        let to_x =
            vjp.needs[0].then(|| graph.conv2d_input_gradient(c, w, self.window, tail(graph, x)));
        let to_w =
            vjp.needs[1].then(|| graph.conv2d_weight_gradient(x, c, self.window, tail(graph, w)));
        Ok(vec![to_x.transpose()?, to_w.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let shape = self.window.shape(&inputs[0].shape, &inputs[1].shape);
        streaming(shape.map_or(0, |shape| flops(&shape)), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = self.window.shape(&inputs[0].shape, &inputs[1].shape);
        lower((&convolution::CONV2D, &half::CONV2D_HALF), shape, inputs, output, choice)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        self.sums.is_some()
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true, false])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let shape = self.window.shape(&inputs[0].shape, &inputs[1].shape)?;
        super::shaded(inputs, output, convolution::gpu::calls(convolution::gpu::FORWARD, &shape)?)
    }
}

/// The last two sizes.
fn tail(graph: &Graph, id: NodeId) -> [usize; 2] {
    let shape = graph.shape(id);
    [shape[2], shape[3]]
}

impl InputGradient {
    fn shape(&self, inputs: &[&TensorType]) -> Result<ConvShape, String> {
        let (&[batch, ..], &[_, share, ..]) =
            (inputs[0].shape.as_slice(), inputs[1].shape.as_slice())
        else {
            return Err("takes a cotangent [N,O,H,W] and weights [O,C/groups,h,w]".to_owned());
        };
        let [height, width] = self.input;
        let image = [batch, share * self.window.groups, height, width];
        let shape = self.window.shape(&image, &inputs[1].shape)?;
        check(&shape, inputs[0])?;
        Ok(shape)
    }
}

impl Op for InputGradient {
    fn form(&self) -> Form<'_> {
        match self.sums {
            None => Form::TransposedConvolution(self.window, self.input),
            Some(_) => Form::Other,
        }
    }
    fn info(&self) -> &'static OpInfo {
        if self.sums.is_some() { &conv2d_half::INPUT_GRADIENT } else { &INPUT_GRADIENT }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = self.window.attributes();
        attributes.push(("input", super::sizes(&self.input)));
        attributes
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        let dtype = super::type_of_sums(inputs, self.sums)?;
        let shape = self.shape(inputs)?;
        let [height, width] = shape.input;
        Ok(TensorType::new(dtype, &[shape.batch, shape.in_channels, height, width]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [c, w] = [vjp.inputs[0], vjp.inputs[1]];
        let k = super::like_operands(graph, vjp)?;
        let to_c = vjp.needs[0].then(|| graph.conv2d(k, w, self.window));
        let to_w =
            vjp.needs[1].then(|| graph.conv2d_weight_gradient(k, c, self.window, tail(graph, w)));
        Ok(vec![to_c.transpose()?, to_w.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(self.shape(inputs).map_or(0, |shape| flops(&shape)), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let kernels = (&convolution::CONV2D_INPUT_GRADIENT, &half::CONV2D_INPUT_GRADIENT_HALF);
        lower(kernels, self.shape(inputs), inputs, output, choice)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        self.sums.is_some()
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true, false])
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let calls =
            convolution::gpu::calls(convolution::gpu::INPUT_GRADIENT, &self.shape(inputs)?)?;
        super::shaded(inputs, output, calls)
    }
}

impl WeightGradient {
    fn shape(&self, inputs: &[&TensorType]) -> Result<ConvShape, String> {
        let (&[_, channels, ..], &[_, out_channels, ..]) =
            (inputs[0].shape.as_slice(), inputs[1].shape.as_slice())
        else {
            return Err("takes images [N,C,H,W] and a cotangent [N,O,H',W']".to_owned());
        };
        let [rows, columns] = self.kernel;
        let share = channels / self.window.groups.max(1);
        let weight = [out_channels, share, rows, columns];
        let shape = self.window.shape(&inputs[0].shape, &weight)?;
        check(&shape, inputs[1])?;
        Ok(shape)
    }
}

impl Op for WeightGradient {
    fn info(&self) -> &'static OpInfo {
        if self.sums.is_some() { &conv2d_half::WEIGHT_GRADIENT } else { &WEIGHT_GRADIENT }
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = self.window.attributes();
        attributes.push(("kernel", super::sizes(&self.kernel)));
        attributes
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        let dtype = super::type_of_sums(inputs, self.sums)?;
        let shape = self.shape(inputs)?;
        let [rows, columns] = shape.kernel;
        let share = shape.in_channels / shape.groups;
        Ok(TensorType::new(dtype, &[shape.out_channels, share, rows, columns]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [x, c] = [vjp.inputs[0], vjp.inputs[1]];
        let k = super::like_operands(graph, vjp)?;
        let to_x =
            vjp.needs[0].then(|| graph.conv2d_input_gradient(c, k, self.window, tail(graph, x)));
        let to_c = vjp.needs[1].then(|| graph.conv2d(x, k, self.window));
        Ok(vec![to_x.transpose()?, to_c.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(self.shape(inputs).map_or(0, |shape| flops(&shape)), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let kernels = (&convolution::CONV2D_WEIGHT_GRADIENT, &half::CONV2D_WEIGHT_GRADIENT_HALF);
        lower(kernels, self.shape(inputs), inputs, output, choice)
    }
    fn takes_stored(&self, _: &[&TensorType]) -> bool {
        self.sums.is_some()
    }
    fn shade(&self, inputs: &[&TensorType], output: &TensorType) -> Result<Calls, String> {
        let calls =
            convolution::gpu::calls(convolution::gpu::WEIGHT_GRADIENT, &self.shape(inputs)?)?;
        super::shaded(inputs, output, calls)
    }
}

impl Graph {
    /// Cross-correlation of images [N,C,H,W] with weights [O,C/groups,h,w], as
    /// PyTorch's `conv2d`; the image is zero outside. Operands stored in 16 bits are
    /// both of one format; the result is of the graph's type.
    ///
    /// # Errors
    /// Sizes that do not fit, or a window larger than the padded image.
    #[track_caller]
    pub fn conv2d(&self, x: NodeId, weight: NodeId, window: Window) -> Result<NodeId, GraphError> {
        let [x, weight] = self.operands([x, weight])?;
        let sums = self.type_of_stored(&[x, weight]);
        self.append(Conv2d { window, sums }, &[x, weight])
    }

    /// The gradient of [`Graph::conv2d`] in its image of `input` = [H,W], also
    /// known as transposed convolution.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn conv2d_input_gradient(
        &self,
        cotangent: NodeId,
        weight: NodeId,
        window: Window,
        input: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let sums = self.type_of_stored(&[cotangent, weight]);
        self.append(InputGradient { window, sums, input }, &[cotangent, weight])
    }

    /// The gradient of [`Graph::conv2d`] in its weights of `kernel` = [h,w].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn conv2d_weight_gradient(
        &self,
        x: NodeId,
        cotangent: NodeId,
        window: Window,
        kernel: [usize; 2],
    ) -> Result<NodeId, GraphError> {
        let sums = self.type_of_stored(&[x, cotangent]);
        self.append(WeightGradient { window, sums, kernel }, &[x, cotangent])
    }
}
