//! `picked_conv` and its two gradients: convolution of channels-last images of
//! which each output reads rows and columns given by lists. Three linear maps that
//! are each other's adjoints, as those of `conv2d`.

use super::PicksShape;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::Kernel;
use speck_kernels::gpu::Calls;
use speck_kernels::picked::{self, Correlate, Correlation};
use speck_kernels::{Choice, KernelError};

/// (images [N,H,W,C], weights [O,C,h,w]) → [N, down, across, O].
#[derive(Debug)]
struct PickedConv(PicksShape);

/// (c [N, down, across, O], weights) → images of this height and width.
#[derive(Debug)]
struct InputGradient {
    shape: PicksShape,
    image: [usize; 2],
}

/// (images, c) → weights.
#[derive(Debug)]
struct WeightGradient(PicksShape);

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);
const IMAGES: &[usize] = &[2, 2, 3, 2];
const WEIGHTS: &[usize] = &[3, 2, 2, 2];
const RESULTS: &[usize] = &[2, 2, 3, 3];

/// Two rows and three columns of outputs of an image of 2 × 3; one row is read
/// twice, one place beyond the border.
fn example() -> PicksShape {
    let reads = [[2, 0, 1, 1].as_slice().into(), [0, 1, 3, 2, 2, 0].as_slice().into()];
    PicksShape { kernel: [2, 2], reads, negative: false }
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "picked_conv",
    formula: "y[n,i,j,o] = Σ x[n, rows[i,u], columns[j,v], c] w[o,c,u,v], x = 0 beyond the image",
    gradient: Gradient::Product(
        "picked_conv_input_gradient(c, w) to x, picked_conv_weight_gradient(x, c) to w",
    ),
    rule: None,
    kernels: || vec![picked::PICKED_CONV.status()],
    cases: || {
        let inputs = [(IMAGES, DRAW), (WEIGHTS, DRAW)];
        vec![Case::new("over the border", &inputs, |g, x| g.picked_conv(x[0], x[1], &example()))]
    },
};

pub(super) static INPUT_GRADIENT: OpInfo = OpInfo {
    name: "picked_conv_input_gradient",
    formula: "the adjoint of picked_conv in x, applied to c",
    gradient: Gradient::Product(
        "picked_conv(k, w) to c, picked_conv_weight_gradient(k, c) to w, for cotangent k",
    ),
    rule: None,
    kernels: || vec![picked::PICKED_CONV_INPUT_GRADIENT.status()],
    cases: || {
        let inputs = [(RESULTS, DRAW), (WEIGHTS, DRAW)];
        vec![Case::new("over the border", &inputs, |g, x| {
            g.append(InputGradient { shape: example(), image: [2, 3] }, x)
        })]
    },
};

pub(super) static WEIGHT_GRADIENT: OpInfo = OpInfo {
    name: "picked_conv_weight_gradient",
    formula: "the adjoint of picked_conv in w, applied to c",
    gradient: Gradient::Product(
        "picked_conv_input_gradient(c, k) to x, picked_conv(x, k) to c, for cotangent k",
    ),
    rule: None,
    kernels: || vec![picked::PICKED_CONV_WEIGHT_GRADIENT.status()],
    cases: || {
        let inputs = [(IMAGES, DRAW), (RESULTS, DRAW)];
        vec![Case::new("over the border", &inputs, |g, x| g.append(WeightGradient(example()), x))]
    },
};

/// The loops between images and weights of these sizes.
fn loops(shape: &PicksShape, image: &[usize], weight: &[usize]) -> Result<Correlation, String> {
    let &[outputs, channels, height, width] = weight else {
        return Err("takes weights [O,C,h,w]".to_owned());
    };
    if shape.kernel != [height, width] || image.last() != Some(&channels) {
        return Err(format!(
            "weights [{}] do not fit rectangles of {} of images [{}]",
            super::sizes(weight),
            super::sizes(&shape.kernel),
            super::sizes(image)
        ));
    }
    if shape.negative {
        return Err("what is beyond the border must be 0".to_owned());
    }
    Ok(Correlation::new(shape.loops(image)?, outputs))
}

fn results(correlation: &Correlation) -> [usize; 4] {
    let [down, across] = correlation.picks().output();
    [correlation.picks().images, down, across, correlation.outputs()]
}

/// Checks that the cotangent has the shape of the results.
fn checked(correlation: Correlation, cotangent: &TensorType) -> Result<Correlation, String> {
    let results = results(&correlation);
    if results == cotangent.shape[..] {
        return Ok(correlation);
    }
    Err(format!("the cotangent should be [{}]", super::sizes(&results)))
}

fn operands(inputs: &[&TensorType]) -> Result<(), String> {
    super::arity(inputs, 2)?;
    super::same_floats(inputs)
}

fn price(products: Result<usize, String>, inputs: &[&TensorType], output: &TensorType) -> Cost {
    streaming(2 * products.unwrap_or(0), inputs, output)
}

fn lower(
    kernel: &'static Kernel<Correlate>,
    correlation: Result<Correlation, String>,
    output: &TensorType,
    choice: &Choice,
) -> Result<Lowered, KernelError> {
    let correlation =
        correlation.unwrap_or_else(|message| unreachable!("inferred before: {message}"));
    with_real!(output.dtype, T => {
        let variant = kernel.select::<T>(choice)?;
        let routine = variant.run;
        let scratch = (routine.scratch)(&correlation) * size_of::<T>();
        Ok(super::routine(kernel.name, variant.name, scratch, move |call| {
            let (a, b) = (call.input::<T>(0), call.input::<T>(1));
            let (out, scratch) = call.into_output_and_scratch::<T>();
            // SAFETY: the variant was chosen because the processor has its
            // instruction set.
            unsafe { (routine.run)(&correlation, a, b, out, scratch) };
        }))
    })
}

impl PickedConv {
    fn loops(&self, inputs: &[&TensorType]) -> Result<Correlation, String> {
        operands(inputs)?;
        loops(&self.0, &inputs[0].shape, &inputs[1].shape)
    }
}

impl Op for PickedConv {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        Ok(inputs[0].with_shape(&results(&self.loops(inputs)?)))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [x, weight] = [vjp.inputs[0], vjp.inputs[1]];
        let shape = graph.shape(x);
        let to_x = InputGradient { shape: self.0.clone(), image: [shape[1], shape[2]] };
        let to_x = vjp.needs[0].then(|| graph.append(to_x, &[vjp.cotangent, weight]));
        let to_weight = WeightGradient(self.0.clone());
        let to_weight = vjp.needs[1].then(|| graph.append(to_weight, &[x, vjp.cotangent]));
        Ok(vec![to_x.transpose()?, to_weight.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        price(self.loops(inputs).map(|loops| loops.products()), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&picked::PICKED_CONV, self.loops(inputs), output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        picked::gpu::forward(&self.loops(inputs)?)
    }
}

impl InputGradient {
    fn loops(&self, inputs: &[&TensorType]) -> Result<Correlation, String> {
        operands(inputs)?;
        let (&[images, ..], &[_, channels, ..]) =
            (inputs[0].shape.as_slice(), inputs[1].shape.as_slice())
        else {
            return Err("takes a cotangent [N,H,W,O] and weights [O,C,h,w]".to_owned());
        };
        let image = [images, self.image[0], self.image[1], channels];
        checked(loops(&self.shape, &image, &inputs[1].shape)?, inputs[0])
    }
}

impl Op for InputGradient {
    fn info(&self) -> &'static OpInfo {
        &INPUT_GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = self.shape.attributes();
        all.push(("image", super::sizes(&self.image)));
        all
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let loops = self.loops(inputs)?;
        let picks = loops.picks();
        let image = [picks.images, picks.image[0], picks.image[1], picks.channels];
        Ok(inputs[0].with_shape(&image))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [cotangent, weight] = [vjp.inputs[0], vjp.inputs[1]];
        let to_cotangent =
            vjp.needs[0].then(|| graph.picked_conv(vjp.cotangent, weight, &self.shape));
        let to_weight = WeightGradient(self.shape.clone());
        let to_weight = vjp.needs[1].then(|| graph.append(to_weight, &[vjp.cotangent, cotangent]));
        Ok(vec![to_cotangent.transpose()?, to_weight.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        price(self.loops(inputs).map(|loops| loops.products()), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&picked::PICKED_CONV_INPUT_GRADIENT, self.loops(inputs), output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        picked::gpu::input_gradient(&self.loops(inputs)?)
    }
}

impl WeightGradient {
    fn loops(&self, inputs: &[&TensorType]) -> Result<Correlation, String> {
        operands(inputs)?;
        let (&[.., channels], &[.., outputs]) =
            (inputs[0].shape.as_slice(), inputs[1].shape.as_slice())
        else {
            return Err("takes images [N,H,W,C] and a cotangent [N,H,W,O]".to_owned());
        };
        let weight = [outputs, channels, self.0.kernel[0], self.0.kernel[1]];
        checked(loops(&self.0, &inputs[0].shape, &weight)?, inputs[1])
    }
}

impl Op for WeightGradient {
    fn info(&self) -> &'static OpInfo {
        &WEIGHT_GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let loops = self.loops(inputs)?;
        let [height, width] = self.0.kernel;
        Ok(inputs[0].with_shape(&[loops.outputs(), loops.picks().channels, height, width]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [x, cotangent] = [vjp.inputs[0], vjp.inputs[1]];
        let shape = graph.shape(x);
        let to_x = InputGradient { shape: self.0.clone(), image: [shape[1], shape[2]] };
        let to_x = vjp.needs[0].then(|| graph.append(to_x, &[cotangent, vjp.cotangent]));
        let to_cotangent = vjp.needs[1].then(|| graph.picked_conv(x, vjp.cotangent, &self.0));
        Ok(vec![to_x.transpose()?, to_cotangent.transpose()?])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        price(self.loops(inputs).map(|loops| loops.products_inside()), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        lower(&picked::PICKED_CONV_WEIGHT_GRADIENT, self.loops(inputs), output, choice)
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        picked::gpu::weight_gradient(&self.loops(inputs)?)
    }
}

impl Graph {
    /// Convolution of images `x` [N,H,W,C], channels last, with weights [O,C,h,w],
    /// by lists of the rows and columns that the outputs read: [N, down, across, O].
    ///
    /// # Errors
    /// Sizes that do not fit; lists that are not of whole rectangles.
    #[track_caller]
    pub fn picked_conv(
        &self,
        x: NodeId,
        weight: NodeId,
        shape: &PicksShape,
    ) -> Result<NodeId, GraphError> {
        self.append(PickedConv(shape.clone()), &[x, weight])
    }
}
