//! Attention.

use crate::check::values::Expectation;
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Composition, Draw};
use crate::tensor::Tensor;

const DRAW: Draw = Draw::Uniform(-1.0, 1.0);

pub(super) const ALL: &[Composition] = &[
    Composition::new(
        "attention_weights",
        "y = softmax(q kᵀ · scale + bias) over the keys that are allowed",
        || {
            vec![
                Case::new("plain", &[(&[2, 3, 4], DRAW), (&[2, 5, 4], DRAW)], |graph, x| {
                    graph.attention_weights(x[0], x[1], &Attention::default())
                }),
                Case::new("causal", &[(&[3, 2], DRAW), (&[3, 2], DRAW)], |graph, x| {
                    let options = Attention { causal: true, ..Attention::default() };
                    graph.attention_weights(x[0], x[1], &options)
                }),
            ]
        },
    )
    .rule("a query that is allowed no key has weights and gradients of 0", || {
        let matrix = |values: &[f64]| Tensor::from_f64(&[2, 2], values.to_vec());
        let inputs = |mask: &[f64]| vec![matrix(&[0.0; 4]), matrix(&[1.0; 4]), matrix(mask)];
        vec![
            Expectation::new(
                "truth values",
                inputs(&[0.0, 0.0, 0.0, 1.0]),
                |graph, x| {
                    let options = Attention { allowed: Some(x[2]), ..Attention::default() };
                    graph.attention_weights(x[0], x[1], &options)
                },
                &[0.0, 0.0, 0.0, 1.0],
            )
            .gradients(&[&[0.0; 4], &[0.0; 4], &[0.0; 4]]),
            Expectation::new(
                "a bias of -infinity",
                inputs(&[f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY]),
                |graph, x| {
                    let options = Attention { bias: Some(x[2]), ..Attention::default() };
                    graph.attention_weights(x[0], x[1], &options)
                },
                &[0.0, 0.0, 1.0, 0.0],
            )
            .gradients(&[&[0.0; 4], &[0.0; 4], &[0.0; 4]]),
            Expectation::new(
                "causal, from the upper left",
                inputs(&[0.0; 4]),
                |graph, x| {
                    let options = Attention { causal: true, ..Attention::default() };
                    graph.attention_weights(x[0], x[1], &options)
                },
                &[1.0, 0.0, 0.5, 0.5],
            ),
        ]
    }),
    Composition::new("attend", "y = weights · v, the heads of v repeated if grouped", || {
        vec![Case::new("grouped", &[(&[4, 2, 3], DRAW), (&[2, 3, 2], DRAW)], |graph, x| {
            graph.attend(x[0], x[1], true)
        })]
    }),
    Composition::new(
        "scaled_dot_product_attention",
        "y = softmax(q kᵀ · scale + bias) v over the keys that are allowed",
        || {
            vec![
                Case::new(
                    "bias and scale",
                    &[(&[3, 2], DRAW), (&[4, 2], DRAW), (&[4, 3], DRAW), (&[3, 4], DRAW)],
                    |graph, x| {
                        let options = Attention {
                            bias: Some(x[3]),
                            scale: Some(0.3),
                            ..Attention::default()
                        };
                        graph.scaled_dot_product_attention(x[0], x[1], x[2], &options)
                    },
                ),
                Case::new(
                    "grouped, causal",
                    &[(&[1, 4, 2, 2], DRAW), (&[1, 2, 3, 2], DRAW), (&[1, 2, 3, 2], DRAW)],
                    |graph, x| {
                        let options =
                            Attention { causal: true, grouped: true, ..Attention::default() };
                        graph.scaled_dot_product_attention(x[0], x[1], x[2], &options)
                    },
                ),
                Case::new(
                    "batches that stretch",
                    &[(&[2, 2, 2], DRAW), (&[2, 1, 3, 2], DRAW), (&[3, 2], DRAW)],
                    |graph, x| {
                        let options = Attention::default();
                        graph.scaled_dot_product_attention(x[0], x[1], x[2], &options)
                    },
                ),
            ]
        },
    )
    .rounding(
        16.0,
        1e-5,
        "a weight is the exponential of a score, so its relative error is the score's absolute \
         one: 1e-7 times the scores, which are in the hundreds for keys and queries of eight \
         values up to 9; and the gradient to a score is what is left of terms c · v where one \
         weight is nearly 1: 1e-7 times those terms, times a key",
    ),
];

/// What attention takes besides queries, keys and values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention {
    /// Added to the scores; broadcasts to […, queries, keys].
    pub bias: Option<NodeId>,
    /// Which keys a query may look at: not 0 where it may. Broadcasts to […,
    /// queries, keys].
    pub allowed: Option<NodeId>,
    /// Query i looks at keys 0 to i only.
    pub causal: bool,
    /// The factor of the scores; without one, 1/√size of a key.
    pub scale: Option<f64>,
    /// The keys and values have fewer heads (the third dimension from the end)
    /// than the queries, each for a group of heads that follow each other
    /// (Ainslie et al., "GQA", 2023).
    pub grouped: bool,
}

impl Graph {
    /// softmax(q kᵀ · scale + bias) for queries […, n, size] and keys […, m,
    /// size], whose dimensions before the last two broadcast: […, n, m].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn attention_weights(
        &self,
        query: NodeId,
        key: NodeId,
        options: &Attention,
    ) -> Result<NodeId, GraphError> {
        let shape = self.shape(query);
        let key = if options.grouped { self.repeat_heads(key, &shape)? } else { key };
        let size = shape.last().copied().unwrap_or(1);
        let scale = options.scale.unwrap_or(1.0 / (size as f64).sqrt());
        let scaled = self.scale(query, scale)?;
        let mut scores = self.broadcast_matmul(scaled, key, false, true)?;
        if let Some(bias) = options.bias {
            scores = self.add(scores, bias)?;
        }
        let mut allowed = options.allowed;
        if options.causal {
            let shape = self.shape(scores);
            let (queries, keys) = (shape[shape.len() - 2], shape[shape.len() - 1]);
            let row = self.iota(queries)?;
            let row = self.reshape(row, &[queries, 1])?;
            let column = self.iota(keys)?;
            let earlier = self.greater_equal(row, column)?;
            allowed = Some(match allowed {
                Some(allowed) => self.mul(allowed, earlier)?,
                None => earlier,
            });
        }
        if let Some(allowed) = allowed {
            let never = self.scalar(f64::NEG_INFINITY)?;
            scores = self.select(allowed, scores, never)?;
        }
        let last = self.shape(scores).len() - 1;
        if options.bias.is_none() && options.allowed.is_none() {
            return self.softmax(scores, last);
        }
        // A row of -infinity has no softmax: it is put aside before and after.
        let held = self.detach(scores)?;
        let largest = self.max(held, &[last])?;
        let largest = self.restore_axes(largest, &self.shape(scores), &[last])?;
        let never = self.scalar(f64::NEG_INFINITY)?;
        let nothing = self.equal(largest, never)?;
        let zero = self.scalar(0.0)?;
        let safe = self.select(nothing, zero, scores)?;
        let weights = self.softmax(safe, last)?;
        self.select(nothing, zero, weights)
    }

    /// Values […, m, size] averaged by `weights` […, n, m] of
    /// [`Graph::attention_weights`], between which and here there may be a
    /// [`Graph::dropout`].
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn attend(
        &self,
        weights: NodeId,
        value: NodeId,
        grouped: bool,
    ) -> Result<NodeId, GraphError> {
        let value = if grouped { self.repeat_heads(value, &self.shape(weights))? } else { value };
        self.broadcast_matmul(weights, value, false, false)
    }

    /// softmax(q kᵀ · scale + bias) v (Vaswani et al., "Attention Is All You
    /// Need", 2017).
    ///
    /// # Errors
    /// Sizes that do not fit.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        &self,
        query: NodeId,
        key: NodeId,
        value: NodeId,
        options: &Attention,
    ) -> Result<NodeId, GraphError> {
        if let Some(y) = self.attention_at_once(query, key, value, options)? {
            return Ok(y);
        }
        let weights = self.attention_weights(query, key, options)?;
        self.attend(weights, value, options.grouped)
    }

    /// The op `attention`, where it applies: nothing is added to the scores or
    /// masks them but causality, and the dimensions before the last two are
    /// the same.
    #[track_caller]
    fn attention_at_once(
        &self,
        query: NodeId,
        key: NodeId,
        value: NodeId,
        options: &Attention,
    ) -> Result<Option<NodeId>, GraphError> {
        let shape = self.shape(query);
        let [mut key, mut value] = [key, value];
        if options.grouped {
            (key, value) = (self.repeat_heads(key, &shape)?, self.repeat_heads(value, &shape)?);
        }
        let inputs = [query, key, value];
        let split = |shape: &[usize]| Some(shape.split_last_chunk::<2>()?.0.to_vec());
        let batch = split(&shape);
        let alike = inputs.iter().all(|input| split(&self.shape(*input)) == batch);
        let plain = options.bias.is_none() && options.allowed.is_none();
        let (Some(batch), true) = (batch, alike && plain) else { return Ok(None) };
        let size = shape.last().copied().unwrap_or(1);
        let scale = options.scale.unwrap_or(1.0 / (size as f64).sqrt());
        let mut flat = Vec::new();
        for input in inputs {
            let shape = self.shape(input);
            let matrix = &shape[batch.len()..];
            let count = batch.iter().product();
            flat.push(self.reshape(input, &[count, matrix[0], matrix[1]])?);
        }
        let y = self.attention(flat[0], flat[1], flat[2], scale, options.causal)?;
        let columns = self.shape(y)[2];
        self.reshape(y, &[batch, vec![shape[shape.len() - 2], columns]].concat()).map(Some)
    }

    /// `x` with each of its heads repeated in place, as many times as it takes
    /// to have the heads of the shape `like`.
    #[track_caller]
    fn repeat_heads(&self, x: NodeId, like: &[usize]) -> Result<NodeId, GraphError> {
        let shape = self.shape(x);
        let heads = |shape: &[usize]| Some(*shape.get(shape.len().checked_sub(3)?)?);
        let (Some(own), Some(wanted)) = (heads(&shape), heads(like)) else {
            let message = "grouped attention needs a dimension of heads".to_owned();
            return Err(self.error("attention", &[x], message));
        };
        if own == wanted {
            return Ok(x);
        }
        if own == 0 || wanted % own != 0 {
            let message = format!("{wanted} heads are not a multiple of {own}");
            return Err(self.error("attention", &[x], message));
        }
        let (before, after) = shape.split_at(shape.len() - 2);
        let single = self.reshape(x, &[before, &[1], after].concat())?;
        let repeated = self.expand(single, &[before, &[wanted / own], after].concat())?;
        let batch = &before[..before.len() - 1];
        self.reshape(repeated, &[batch, &[wanted], after].concat())
    }
}
