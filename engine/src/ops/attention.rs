//! `attention`: softmax(q kᵀ · scale) v, without the matrix of scores.

use crate::compositions::Attention as Options;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Cost, Draw, Gradient, Gradients, Lowered, Op, OpInfo, Vjp, streaming};
use crate::shape::TensorType;
use crate::with_real;
use speck_kernels::attention::{ATTENTION, AttentionRows, AttentionShape};
use speck_kernels::gpu::Calls;
use speck_kernels::{Choice, KernelError};

/// What an attention is, beside its sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub scale: f64,
    pub causal: bool,
}

pub(super) static INFO: OpInfo = OpInfo {
    name: "attention",
    formula: "y = softmax(q kᵀ · scale) v; causal: of keys 0 to i for query i",
    gradient: Gradient::Product("attention_gradient"),
    rule: Some("without keys y is 0; hidden keys weigh 0, and 0 · ∞ may be NaN (PyTorch)"),
    kernels: || vec![ATTENTION.status()],
    cases: || {
        let draw = Draw::Uniform(-1.0, 1.0);
        vec![
            Case::new(
                "plain",
                &[(&[2, 3, 4], draw), (&[2, 5, 4], draw), (&[2, 5, 2], draw)],
                |graph, x| graph.attention(x[0], x[1], x[2], 0.5, false),
            ),
            Case::new(
                "causal",
                &[(&[1, 4, 3], draw), (&[1, 4, 3], draw), (&[1, 4, 3], draw)],
                |graph, x| graph.attention(x[0], x[1], x[2], 1.0, true),
            ),
            Case::new(
                "over registers and blocks",
                &[(&[1, 2, 17], draw), (&[1, 131, 17], draw), (&[1, 131, 1], draw)],
                |graph, x| graph.attention(x[0], x[1], x[2], 0.3, false),
            ),
        ]
    },
};

impl Attention {
    pub fn attributes(self) -> Vec<(&'static str, String)> {
        let causal = self.causal.then(|| ("causal", self.causal.to_string()));
        [("scale", self.scale.to_string())].into_iter().chain(causal).collect()
    }

    /// The sizes, or what is wrong with queries, keys and values.
    pub fn shape(self, inputs: &[&TensorType]) -> Result<AttentionShape, String> {
        super::same_floats(inputs)?;
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        let ([batch, queries, size], [batch_k, keys, size_k], [batch_v, keys_v, value]) =
            (matrices(q)?, matrices(k)?, matrices(v)?);
        if batch_k != batch || batch_v != batch {
            return Err("the first dimensions differ".to_owned());
        }
        if size_k != size {
            return Err(format!("queries of {size} do not meet keys of {size_k}"));
        }
        if keys_v != keys {
            return Err(format!("there are {keys} keys and {keys_v} values"));
        }
        let Attention { scale, causal } = self;
        let rows = AttentionRows::Apart;
        Ok(AttentionShape { batch, queries, keys, size, value, scale, causal, rows })
    }

    /// The same as products and a softmax.
    pub fn plain(self, graph: &Graph, [q, k, v]: [NodeId; 3]) -> Result<NodeId, GraphError> {
        let options =
            Options { causal: self.causal, scale: Some(self.scale), ..Options::default() };
        let weights = graph.attention_weights(q, k, &options)?;
        graph.attend(weights, v, false)
    }
}

fn matrices(ty: &TensorType) -> Result<[usize; 3], String> {
    let shape = ty.shape.as_slice();
    shape.try_into().map_err(|_| "takes batches of matrices".to_owned())
}

impl Op for Attention {
    fn info(&self) -> &'static OpInfo {
        &INFO
    }
    fn attributes(&self) -> Vec<(&'static str, String)> {
        (*self).attributes()
    }
    fn infer(&self, inputs: &[&TensorType]) -> Result<TensorType, String> {
        super::arity(inputs, 3)?;
        let shape = self.shape(inputs)?;
        Ok(inputs[0].with_shape(&[shape.batch, shape.queries, shape.value]))
    }
    fn vjp(&self, graph: &Graph, vjp: &Vjp<'_>) -> Gradients {
        let [q, k, v] = [vjp.inputs[0], vjp.inputs[1], vjp.inputs[2]];
        let all = graph.attention_gradient([q, k, v], vjp.cotangent, self.scale, self.causal)?;
        let mut start = 0;
        let mut gradients = Vec::new();
        for (input, needed) in vjp.inputs.iter().zip(vjp.needs) {
            let shape = graph.shape(*input);
            let length = shape.iter().product();
            let part = needed.then(|| {
                let part = graph.part(all, start, length)?;
                graph.reshape(part, &shape)
            });
            gradients.push(part.transpose()?);
            start += length;
        }
        Ok(gradients)
    }
    fn cost(&self, inputs: &[&TensorType], output: &TensorType) -> Cost {
        let scores = scores(self.shape(inputs));
        let sizes = inputs[0].shape[2] + output.shape[2];
        // Difference, exponential and sum of each score besides the products.
        streaming(scores * (2 * sizes + 3), inputs, output)
    }
    fn lower(
        &self,
        inputs: &[&TensorType],
        output: &TensorType,
        choice: &Choice,
    ) -> Result<Lowered, KernelError> {
        let shape = inferred(self.shape(inputs));
        with_real!(output.dtype, T => {
            let variant = ATTENTION.select::<T>(choice)?;
            let routine = variant.run;
            let scratch = (routine.scratch)(&shape) * size_of::<T>();
            Ok(super::routine("attention", variant.name, scratch, move |call| {
                let (q, k, v) = (call.input::<T>(0), call.input::<T>(1), call.input::<T>(2));
                let (out, scratch) = call.into_output_and_scratch::<T>();
                // SAFETY: sizes come from the shapes.
                unsafe { (routine.run)(&shape, q, k, v, out, scratch) };
            }))
        })
    }
    fn cut(&self, _: &[&TensorType], _: &TensorType) -> Option<Vec<bool>> {
        Some(vec![true; 3])
    }
    fn shade(&self, inputs: &[&TensorType], _: &TensorType) -> Result<Calls, String> {
        speck_kernels::attention::gpu::forward(&self.shape(inputs)?)
    }
}

pub(super) fn inferred(shape: Result<AttentionShape, String>) -> AttentionShape {
    match shape {
        Ok(shape) => shape,
        Err(message) => unreachable!("inferred before: {message}"),
    }
}

/// How many scores there are; causal ones are about half.
pub(super) fn scores(shape: Result<AttentionShape, String>) -> usize {
    let shape = inferred(shape);
    let all = shape.batch * shape.queries * shape.keys;
    if shape.causal { all.div_ceil(2) } else { all }
}

impl Graph {
    /// softmax(q kᵀ · scale) v for queries [batch, n, size], keys [batch, m,
    /// size] and values [batch, m, value]; if `causal`, query i sees keys 0 to
    /// i. See [`Graph::scaled_dot_product_attention`] for what else there is.
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn attention(
        &self,
        query: NodeId,
        key: NodeId,
        value: NodeId,
        scale: f64,
        causal: bool,
    ) -> Result<NodeId, GraphError> {
        self.append(Attention { scale, causal }, &[query, key, value])
    }
}
