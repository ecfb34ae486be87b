//! `norm`: rows standardized, times a weight, plus a bias; and its gradient.
//!
//! The functions of [`norms`](crate::compositions) come here where rows are long
//! enough; `Norm::plain` is the same as a chain of element-wise ops and sums.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::norm;
use speck_kernels::norm::{NORM, NORM_GRADIENT, NormShape, gradient_scratch};
use speck_kernels::{Choice, KernelError};

/// What shares a mean and a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The last dimensions, so many; each value has a weight.
    Last(usize),
    /// Channels, the second dimension, in so many groups; each channel has a
    /// weight.
    Groups(usize),
}

/// A norm: with a mean and a bias, or without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    pub over: Over,
    pub centred: bool,
    pub epsilon: f64,
}

/// Takes x, the weight and the cotangent of the output.
#[derive(Debug, Clone, Copy)]
struct NormGradient(Norm);

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

fn case(
    name: &'static str,
    inputs: &[&[usize]],
    build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>,
) -> Case {
    let inputs: Vec<_> = inputs.iter().map(|shape| (*shape, DRAW)).collect();
    Case::new(name, &inputs, build)
}

const LAYER: Norm = Norm { over: Over::Last(1), centred: true, epsilon: 0.1 };

pub(super) static INFO: OpInfo = OpInfo {
    name: "norm",
    formula: "y = (x - m) / √(v + epsilon) · w + b, m the mean and v the variance of a row or of a group of channels; or x / √(mean x² + epsilon) · w",
    gradient: Gradient::Product("norm_gradient"),
    rule: None,
    kernels: || vec![NORM.status()],
    cases: || {
        vec![
            case("rows", &[&[3, 5], &[5], &[5]], |g, x| g.norm(x[0], x[1], Some(x[2]), LAYER)),
            case("over registers", &[&[2, 35], &[35], &[35]], |g, x| {
                g.norm(x[0], x[1], Some(x[2]), LAYER)
            }),
            case("two dimensions", &[&[2, 3, 4], &[3, 4], &[3, 4]], |g, x| {
                g.norm(x[0], x[1], Some(x[2]), Norm { over: Over::Last(2), ..LAYER })
            }),
            case("not centred", &[&[2, 6], &[6]], |g, x| {
                g.norm(x[0], x[1], None, Norm { centred: false, ..LAYER })
            }),
            case("groups", &[&[2, 4, 3], &[4], &[4]], |g, x| {
                g.norm(x[0], x[1], Some(x[2]), Norm { over: Over::Groups(2), ..LAYER })
            }),
            case("groups of vectors", &[&[2, 6], &[6], &[6]], |g, x| {
                g.norm(x[0], x[1], Some(x[2]), Norm { over: Over::Groups(2), ..LAYER })
            }),
            case("no rows", &[&[0, 4], &[4], &[4]], |g, x| g.norm(x[0], x[1], Some(x[2]), LAYER)),
        ]
    },
};

pub(super) static GRADIENT: OpInfo = OpInfo {
    name: "norm_gradient",
    formula: "y = (dx, dw, db), flat: with x̂ = (x - m) r, r = 1/√(v + epsilon) and g = c · w, dx = r (g - mean g - x̂ · mean(g x̂)), dw = Σ c x̂ and db = Σ c",
    gradient: Gradient::Product("that of the same function made of element-wise ops and sums"),
    rule: None,
    kernels: || vec![NORM_GRADIENT.status()],
    cases: || {
        vec![
            case("rows", &[&[3, 5], &[5], &[3, 5]], |g, x| {
                g.append(NormGradient(LAYER), &[x[0], x[1], x[2]])
            }),
            case("not centred", &[&[2, 6], &[6], &[2, 6]], |g, x| {
                let norm = Norm { centred: false, ..LAYER };
                g.append(NormGradient(norm), &[x[0], x[1], x[2]])
            }),
            case("groups", &[&[2, 4, 3], &[4], &[2, 4, 3]], |g, x| {
                let norm = Norm { over: Over::Groups(2), ..LAYER };
                g.append(NormGradient(norm), &[x[0], x[1], x[2]])
            }),
        ]
    },
};

impl Norm {
    fn attributes(self) -> Vec<(&'static str, String)> {
        let over = match self.over {
            Over::Last(dimensions) => ("last", dimensions.to_string()),
            Over::Groups(groups) => ("groups", groups.to_string()),
        };
        let centred = ("centred", self.centred.to_string());
        vec![over, centred, ("epsilon", self.epsilon.to_string())]
    }

    /// The sizes, or what is wrong with the input.
    fn shape(self, x: &TensorType) -> Result<NormShape, String> {
        let Norm { over, centred, epsilon } = self;
        let rank = x.rank();
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (rows, width, run, groups) = match over {
            Over::Last(dimensions) if (1..=rank).contains(&dimensions) => {
                let (rows, row) = x.shape.split_at(rank - dimensions);
                (product(rows), product(row), 1, 1)
            }
            Over::Groups(groups) if rank > 1 && groups > 0 && x.shape[1].is_multiple_of(groups) => {
                let pixels = product(&x.shape[2..]);
                (x.shape[0] * groups, x.shape[1] / groups * pixels, pixels, groups)
            }
            _ => return Err("has no such dimensions".to_owned()),
        };
        if width == 0 || run == 0 {
            return Err("rows must hold something".to_owned());
        }
        Ok(NormShape { rows, width, centred, epsilon, run, groups })
    }

    /// The sizes where x and weights fit.
    fn fitting(self, x: &TensorType, weights: &[&TensorType]) -> Result<NormShape, String> {
        let shape = self.shape(x)?;
        if weights.iter().any(|ty| ty.elements() != shape.weights()) {
            return Err(format!("there should be {} weights", shape.weights()));
        }
        Ok(shape)
    }

    /// The same of ops that have derivatives of every order, and rules in the
    /// structure rewrite.
    fn plain(
        self,
        graph: &Graph,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
    ) -> Result<NodeId, GraphError> {
        let shape = graph.shape(x);
        match self.over {
            Over::Last(dimensions) => {
                let first = shape.len() - dimensions;
                let axes: Vec<_> = (first..shape.len()).collect();
                let y = match self.centred {
                    true => graph.standardize(x, &axes, self.epsilon)?,
                    false => graph.divide_by_root_mean_square(x, &axes, self.epsilon)?,
                };
                let y = graph.mul(y, graph.reshape(weight, &shape[first..])?)?;
                let Some(bias) = bias else { return Ok(y) };
                graph.add(y, graph.reshape(bias, &shape[first..])?)
            }
            Over::Groups(groups) => {
                let y = graph.standardize_groups(x, groups, self.epsilon)?;
                graph.channel_affine(y, weight, bias)
            }
        }
    }
}

fn inferred(shape: Result<NormShape, String>) -> NormShape {
    match shape {
        Ok(shape) => shape,
        Err(message) => unreachable!("inferred before: {message}"),
    }
}

impl Op for Norm {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        (*self).attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, if self.centred { 3 } else { 2 })?;
        super::same_floats(inputs)?;
        self.fitting(inputs[0], &inputs[1..])?;
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let gradient = NormGradient(*self);
        let all = graph.append(gradient, &[vjp.inputs[0], vjp.inputs[1], vjp.cotangent])?;
        let mut start = 0;
        let mut gradients = Vec::new();
        for (input, needed) in vjp.inputs.iter().zip(vjp.needs) {
            let shape = graph.shape(*input);
            let length = shape.iter().product();
            let part = needed.then(|| graph.reshape(graph.part(all, start, length)?, &shape));
            gradients.push(part.transpose()?);
            start += length;
        }
        Ok(gradients)
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        // Mean, squares of the differences, product and sum.
        let each = if self.centred { 7 } else { 3 };
        streaming(each * output.elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = inferred(self.shape(inputs[0]));
        with_real!(output.dtype, T => {
            let variant = NORM.select::<T>(choice)?;
            let run = variant.run;
            Ok(super::routine("norm", variant.name, 0, move |call| {
                let (x, weight) = (call.input::<T>(0), call.input::<T>(1));
                let bias = if shape.centred { call.input::<T>(2) } else { &[] };
                // SAFETY: sizes come from the shapes.
                unsafe { run(&shape, x, weight, bias, call.into_output()) };
            }))
        })
    }
    fn cut(&self, inputs: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        let rows = match self.over {
            Over::Last(dimensions) => inputs[0].rank() > dimensions,
            Over::Groups(_) => true,
        };
        rows.then(|| (0..inputs.len()).map(|number| number == 0).collect())
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        norm::gpu::forward(&self.shape(inputs[0])?)
    }
    fn plain(&self, graph: &Graph, inputs: &[NodeId]) -> Option<Result<NodeId, GraphError>> {
        Some((*self).plain(graph, inputs[0], inputs[1], inputs.get(2).copied()))
    }
}

impl Op for NormGradient {
    fn info(&self) -> &'static OpInfo {
        &GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 3)?;
        super::same_floats(inputs)?;
        let shape = self.0.fitting(inputs[0], &inputs[1..2])?;
        if inputs[2] != inputs[0] {
            return Err("the cotangent does not have the shape of the output".to_owned());
        }
        Ok(inputs[0].with_shape(&[shape.gradients()]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        // Of nodes that stand for the inputs, so that none depends on another.
        let inputs = vjp.inputs.iter().map(|input| graph.barrier(*input, vjp.inputs[2]));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let [x, weight, c] = [inputs[0], inputs[1], inputs[2]];
        let bias = self.0.centred.then(|| graph.constant_like(weight, 0.0)).transpose()?;
        let output = self.0.plain(graph, x, weight, bias)?;
        let wanted: Vec<_> = [x, weight].into_iter().chain(bias).collect();
        let mut parts = Vec::new();
        for gradient in graph.pull_back(output, c, &wanted)? {
            let length = graph.ty(gradient).elements();
            parts.push(graph.reshape(gradient, &[length])?);
        }
        let all = graph.concat(&parts, 0)?;
        let gradients = graph.pull_back(all, vjp.cotangent, &inputs)?;
        Ok(gradients.into_iter().zip(vjp.needs).map(|(own, need)| need.then_some(own)).collect())
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let each = if self.0.centred { 17 } else { 12 };
        streaming(each * inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = inferred(self.0.shape(inputs[0]));
        with_real!(output.dtype, T => {
            let variant = NORM_GRADIENT.select::<T>(choice)?;
            let run = variant.run;
            let scratch = gradient_scratch(&shape) * size_of::<T>();
            Ok(super::routine("norm_gradient", variant.name, scratch, move |call| {
                let (x, weight) = (call.input::<T>(0), call.input::<T>(1));
                let c = call.input::<T>(2);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { run(&shape, x, weight, c, out, scratch) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        norm::gpu::backward(&self.0.shape(inputs[0])?)
    }
}

impl Graph {
    /// The norm of `x` as one kernel; a bias where it is centred.
    #[track_caller]
    pub(crate) fn norm(
        &self,
        x: NodeId,
        weight: NodeId,
        bias: Option<NodeId>,
        norm: Norm,
    ) -> Result<NodeId, GraphError> {
        let inputs: Vec<_> = [x, weight].into_iter().chain(bias).collect();
        self.append(norm, &inputs)
    }
}
