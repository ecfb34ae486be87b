//! `moments`: the means and variances of channels, in one pass.

use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::gpu::Calls;
use speck_kernels::norm;
use speck_kernels::norm::{MOMENTS, MomentsShape};
use speck_kernels::{Choice, KernelError};

/// Of the second dimension, over all others.
#[derive(Debug, Clone, Copy)]
struct Moments;

pub(super) static INFO: OpInfo = OpInfo {
    name: "moments",
    formula: "y = (the mean of each channel, the mean of (x - mean)² of each channel), flat; channels are the second dimension",
    gradient: Gradient::Product("(c of the mean + 2 (x - mean) · c of the variance) / count"),
    rule: None,
    kernels: || vec![MOMENTS.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new("maps", &[(&[2, 3, 2, 2], draw)], |graph, x| graph.moments(x[0])),
            Case::new("over registers", &[(&[1, 2, 37], draw)], |graph, x| graph.moments(x[0])),
            Case::new("vectors", &[(&[4, 3], draw)], |graph, x| graph.moments(x[0])),
            Case::new("no channels", &[(&[2, 0, 3], draw)], |graph, x| graph.moments(x[0])),
        ]
    },
};

fn shape(x: &TensorType) -> Option<MomentsShape> {
    let [samples, channels, pixels @ ..] = x.shape.as_slice() else { return None };
    let pixels = pixels.iter().product();
    Some(MomentsShape { samples: *samples, channels: *channels, pixels })
}

/// The mean and the variance, with dimensions of size 1 around the channels.
#[track_caller]
fn spread(graph: &Graph, both: NodeId, like: NodeId) -> Result<[NodeId; 2], GraphError> {
    let channels = graph.shape(like)[1];
    let mut sizes = vec![1; graph.shape(like).len()];
    sizes[1] = channels;
    let mean = graph.part(both, 0, channels)?;
    let variance = graph.part(both, channels, channels)?;
    Ok([graph.reshape(mean, &sizes)?, graph.reshape(variance, &sizes)?])
}

impl Op for Moments {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        let x = super::one_float(inputs)?;
        let shape = shape(x).ok_or("takes two dimensions or more")?;
        Ok(x.with_shape(&[2 * shape.channels]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let x = vjp.inputs[0];
        let shape = graph.shape(x);
        let count = shape[0] * shape[2..].iter().product::<usize>();
        let share = 1.0 / count.max(1) as f64;
        let [mean, _] = spread(graph, vjp.output, x)?;
        let [to_mean, to_variance] = spread(graph, vjp.cotangent, x)?;
        let bend = graph.scale(to_variance, 2.0 * share)?;
        let bend = graph.mul(graph.sub(x, mean)?, bend)?;
        Ok(vec![Some(graph.add(bend, graph.scale(to_mean, share)?)?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        streaming(4 * inputs[0].elements(), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let Some(shape) = shape(inputs[0]) else { unreachable!("inferred before") };
        with_real!(output.dtype, T => {
            let variant = MOMENTS.select::<T>(choice)?;
            let run = variant.run;
            let scratch = shape.scratch() * size_of::<T>();
            Ok(super::routine("moments", variant.name, scratch, move |call| {
                let x = call.input::<T>(0);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { run(&shape, x, out, scratch) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        let shape = shape(inputs[0]).ok_or("takes two dimensions or more")?;
        norm::gpu::moments_calls(&shape)
    }
    fn plain(&self, graph: &Graph, inputs: &[NodeId]) -> Option<Result<NodeId, GraphError>> {
        Some(graph.plain_moments(inputs[0]))
    }
}

impl Graph {
    /// The mean of each channel of `x`, its second dimension, then the variance of
    /// each, without Bessel's correction: [2 · channels].
    ///
    /// # Errors
    /// Fewer than two dimensions.
    #[track_caller]
    pub fn moments(&self, x: NodeId) -> Result<NodeId, GraphError> {
        self.append(Moments, &[x])
    }

    /// [`Graph::moments`] shaped to stretch over `x`.
    #[track_caller]
    pub(crate) fn channel_moments(&self, x: NodeId) -> Result<[NodeId; 2], GraphError> {
        spread(self, self.moments(x)?, x)
    }
}
