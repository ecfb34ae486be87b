//! `self_attention`: attention among the rows of a sample, its queries, keys and
//! values read from where a linear layer leaves them, and its gradient.
//!
//! The same as [`attention`](super::attention) with a permutation before and
//! behind, of which nothing is written out.

use super::attention::Attention;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::attention;
use speck_kernels::attention::{ATTENTION, ATTENTION_GRADIENT, AttentionRows, AttentionShape};
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError};

/// `heads` attentions a sample.
#[derive(Debug, Clone, Copy)]
struct SelfAttention {
    heads: usize,
    attention: Attention,
}

/// The gradient for the rows; takes them and the cotangent of the output.
#[derive(Debug, Clone, Copy)]
struct SelfAttentionGradient(SelfAttention);

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) static INFO: OpInfo = OpInfo {
    name: "self_attention",
    formula: "y = softmax(q kᵀ · scale) v for each head, where x [samples, tokens, 3 · heads · size] holds q, k and v, each head after head",
    gradient: Gradient::Product("self_attention_gradient"),
    rule: None,
    kernels: || vec![ATTENTION.status()],
    cases: || {
        vec![
            Case::new("two heads", &[(&[2, 3, 12], DRAW)], |graph, x| {
                graph.self_attention(x[0], 2, 0.5, false)
            }),
            Case::new("causal", &[(&[1, 4, 9], DRAW)], |graph, x| {
                graph.self_attention(x[0], 1, 1.0, true)
            }),
            Case::new("over registers", &[(&[1, 17, 51], DRAW)], |graph, x| {
                graph.self_attention(x[0], 1, 0.3, false)
            }),
            Case::new("no tokens", &[(&[2, 0, 6], DRAW)], |graph, x| {
                graph.self_attention(x[0], 2, 1.0, false)
            }),
        ]
    },
};

pub(super) static GRADIENT: OpInfo = OpInfo {
    name: "self_attention_gradient",
    formula: "y = (dq, dk, dv) as attention_gradient gives them, where q, k and v lie in x",
    gradient: Gradient::Product("that of the same function made of products and a softmax"),
    rule: None,
    kernels: || vec![ATTENTION_GRADIENT.status()],
    cases: || {
        vec![
            Case::new("two heads", &[(&[2, 2, 12], DRAW), (&[2, 2, 4], DRAW)], |graph, x| {
                graph.self_attention_gradient(x[0], x[1], 2, 0.5, false)
            }),
            Case::new("causal", &[(&[1, 3, 6], DRAW), (&[1, 3, 2], DRAW)], |graph, x| {
                graph.self_attention_gradient(x[0], x[1], 1, 1.0, true)
            }),
        ]
    },
};

impl SelfAttention {
    fn attributes(self) -> Vec<(&'static str, String)> {
        let heads = ("heads", self.heads.to_string());
        [heads].into_iter().chain(self.attention.attributes()).collect()
    }

    /// The sizes, or what is wrong with the rows.
    fn shape(self, x: &TensorType) -> Result<AttentionShape, String> {
        let (heads, Attention { scale, causal }) = (self.heads, self.attention);
        super::same_floats(&[x])?;
        let &[samples, tokens, together] = x.shape.as_slice() else {
            return Err("takes samples of rows".to_owned());
        };
        if heads == 0 || !together.is_multiple_of(3 * heads) {
            let message =
                format!("{together} values are no queries, keys and values of {heads} heads");
            return Err(message);
        }
        let size = together / 3 / heads;
        Ok(AttentionShape {
            batch: samples * heads,
            queries: tokens,
            keys: tokens,
            size,
            value: size,
            scale,
            causal,
            rows: AttentionRows::Packed { heads },
        })
    }

    /// The same of ops that have derivatives of every order.
    fn plain(self, graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
        let shape = graph.shape(x);
        let (samples, tokens, size) = (shape[0], shape[1], shape[2] / 3 / self.heads);
        let split = graph.reshape(x, &[samples, tokens, 3, self.heads, size])?;
        let split = graph.permute(split, &[2, 0, 3, 1, 4])?;
        let part = |which| {
            let part = graph.narrow(split, 0, which, 1, 1)?;
            graph.reshape(part, &[samples * self.heads, tokens, size])
        };
        let mixed = self.attention.plain(graph, [part(0)?, part(1)?, part(2)?])?;
        let mixed = graph.reshape(mixed, &[samples, self.heads, tokens, size])?;
        let mixed = graph.permute(mixed, &[0, 2, 1, 3])?;
        graph.reshape(mixed, &[samples, tokens, self.heads * size])
    }
}

fn inferred(shape: Result<AttentionShape, String>) -> AttentionShape {
    super::attention::inferred(shape)
}

/// The keys from the first on, and the values.
fn parts<'a, T>(shape: &AttentionShape, heads: usize, x: &'a [T]) -> [&'a [T]; 2] {
    let skipped = |parts: usize| (parts * heads * shape.size).min(x.len());
    [&x[skipped(1)..], &x[skipped(2)..]]
}

impl Op for SelfAttention {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        (*self).attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 1)?;
        let AttentionShape { size, .. } = self.shape(inputs[0])?;
        let [samples, tokens] = [inputs[0].shape[0], inputs[0].shape[1]];
        Ok(inputs[0].with_shape(&[samples, tokens, self.heads * size]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let gradient = SelfAttentionGradient(*self);
        Ok(vec![Some(graph.append(gradient, &[vjp.inputs[0], vjp.cotangent])?)])
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let shape = inferred(self.shape(inputs[0]));
        streaming(super::attention::scores(Ok(shape)) * (4 * shape.size + 3), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (shape, heads) = (inferred(self.shape(inputs[0])), self.heads);
        with_real!(output.dtype, T => {
            let variant = ATTENTION.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            Ok(super::routine("attention", variant.name, scratch, move |call| {
                let x = call.input::<T>(0);
                let [k, v] = parts(&shape, heads, x);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { (routine.run)(&shape, x, k, v, out, scratch) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        attention::gpu::forward(&self.shape(inputs[0])?)
    }
}

impl Op for SelfAttentionGradient {
    fn info(&self) -> &'static OpInfo {
        &GRADIENT
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        self.0.attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 2)?;
        super::same_floats(inputs)?;
        if *inputs[1] != self.0.infer(&inputs[..1])? {
            return Err("the cotangent does not have the shape of the output".to_owned());
        }
        Ok(inputs[0].clone())
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        // Of nodes that stand for the inputs, as in `attention_gradient`.
        let [x, c] = [vjp.inputs[0], vjp.inputs[1]];
        let inputs = [graph.barrier(x, c)?, graph.barrier(c, c)?];
        let output = self.0.plain(graph, inputs[0])?;
        let gradient = graph.pull_back(output, inputs[1], &inputs[..1])?[0];
        let gradients = graph.pull_back(gradient, vjp.cotangent, &inputs)?;
        Ok(gradients.into_iter().zip(vjp.needs).map(|(own, need)| need.then_some(own)).collect())
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let shape = inferred(self.0.shape(inputs[0]));
        streaming(super::attention::scores(Ok(shape)) * (10 * shape.size + 8), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let (shape, heads) = (inferred(self.0.shape(inputs[0])), self.0.heads);
        with_real!(output.dtype, T => {
            let variant = ATTENTION_GRADIENT.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            Ok(super::routine("attention_gradient", variant.name, scratch, move |call| {
                let (x, c) = (call.input::<T>(0), call.input::<T>(1));
                let [k, v] = parts(&shape, heads, x);
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { (routine.run)(&shape, x, k, v, c, out, scratch) };
            }))
        })
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        attention::gpu::backward(&self.0.shape(inputs[0])?)
    }
}

impl Graph {
    /// softmax(q kᵀ · scale) v for each of `heads` heads of each sample of rows
    /// x [samples, tokens, 3 · heads · size], a row being the token's queries,
    /// keys and values, each head after head; if `causal`, token i sees tokens 0
    /// to i. The output is [samples, tokens, heads · size].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn self_attention(
        &self,
        x: NodeId,
        heads: usize,
        scale: f64,
        causal: bool,
    ) -> Result<NodeId, GraphError> {
        self.append(SelfAttention { heads, attention: Attention { scale, causal } }, &[x])
    }

    /// The gradient of [`Graph::self_attention`] for its rows, where `cotangent`
    /// is that of its output.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn self_attention_gradient(
        &self,
        x: NodeId,
        cotangent: NodeId,
        heads: usize,
        scale: f64,
        causal: bool,
    ) -> Result<NodeId, GraphError> {
        let attention = SelfAttention { heads, attention: Attention { scale, causal } };
        self.append(SelfAttentionGradient(attention), &[x, cotangent])
    }
}
