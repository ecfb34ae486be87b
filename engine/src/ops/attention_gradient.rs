//! `attention_gradient`: what attention passes back, in one array.

use super::attention::{Attention, inferred, scores};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::attention::ATTENTION_GRADIENT;
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError};

/// The gradients for queries, keys and values, one after the other: one op has
/// one output, and the three share the scores.
#[derive(Debug, Clone, Copy)]
struct AttentionGradient(Attention);

pub(super) static INFO: OpInfo = OpInfo {
    name: "attention_gradient",
    formula: "y = (dq, dk, dv), flat: with P = softmax(q kᵀ · scale), S = c vᵀ and G = P ∘ (S - P·S) · scale, dq = G k, dk = Gᵀ q, dv = Pᵀ c",
    gradient: Gradient::Product("that of the same function made of products and a softmax"),
    rule: None,
    kernels: || vec![ATTENTION_GRADIENT.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new(
                "plain",
                &[(&[2, 2, 3], draw), (&[2, 3, 3], draw), (&[2, 3, 2], draw), (&[2, 2, 2], draw)],
                |graph, x| graph.attention_gradient([x[0], x[1], x[2]], x[3], 0.5, false),
            ),
            Case::new(
                "causal",
                &[(&[1, 3, 2], draw), (&[1, 3, 2], draw), (&[1, 3, 2], draw), (&[1, 3, 2], draw)],
                |graph, x| graph.attention_gradient([x[0], x[1], x[2]], x[3], 1.0, true),
            ),
            Case::new("of one node", &[(&[1, 3, 2], draw)], |graph, x| {
                graph.attention_gradient([x[0]; 3], x[0], 1.0, false)
            }),
        ]
    },
};

impl Op for AttentionGradient {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 4)?;
        let shape = self.0.shape(inputs)?;
        if inputs[3].shape != [shape.batch, shape.queries, shape.value] {
            return Err("the cotangent does not have the shape of the output".to_owned());
        }
        let length = inputs[..3].iter().map(|input| input.elements()).sum();
        Ok(inputs[0].with_shape(&[length]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        // The same function of nodes that stand for the inputs, so that none
        // depends on another, made of ops that have derivatives of every order.
        let inputs = vjp.inputs.iter().map(|input| graph.barrier(*input, vjp.inputs[3]));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let [q, k, v, c] = [inputs[0], inputs[1], inputs[2], inputs[3]];
        let output = self.0.plain(graph, [q, k, v])?;
        let mut parts = Vec::new();
        for gradient in graph.pull_back(output, c, &[q, k, v])? {
            let length = graph.ty(gradient).elements();
            parts.push(graph.reshape(gradient, &[length])?);
        }
        let all = graph.concat(&parts, 0)?;
        let gradients = graph.pull_back(all, vjp.cotangent, &inputs)?;
        Ok(gradients.into_iter().zip(vjp.needs).map(|(own, need)| need.then_some(own)).collect())
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let scores = scores(self.0.shape(inputs));
        let (size, value) = (inputs[0].shape[2], inputs[2].shape[2]);
        // Five products, and some eight operations on each score.
        streaming(scores * (6 * size + 4 * value + 8), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = inferred(self.0.shape(inputs));
        with_real!(output.dtype, T => {
            let variant = ATTENTION_GRADIENT.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            Ok(super::routine("attention_gradient", variant.name, scratch, move |call| {
                let (q, k, v) = (call.input::<T>(0), call.input::<T>(1), call.input::<T>(2));
                let c = call.input::<T>(3);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { (routine.run)(&shape, q, k, v, c, out, scratch) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        speck_kernels::attention::gpu::backward(&self.0.shape(inputs)?)
    }
}

impl Graph {
    /// The gradients of [`Graph::attention`] for queries, keys and values, flat
    /// and one after the other, where `cotangent` is that of its output.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn attention_gradient(
        &self,
        [query, key, value]: [NodeId; 3],
        cotangent: NodeId,
        scale: f64,
        causal: bool,
    ) -> Result<NodeId, GraphError> {
        let op = AttentionGradient(Attention { scale, causal });
        self.append(op, &[query, key, value, cotangent])
    }
}
