//! Layers with parameters, initialised as PyTorch's modules are.

use crate::{Builder, Mode};
use speck_engine::ops::Window;
use speck_engine::{GraphError, Initial, NodeId, RunningStatistics};

/// What batch and layer norm add to a variance before its root.
const EPSILON: f64 = 1e-5;
/// The weight of the newest batch in running statistics.
const MOMENTUM: f64 = 0.1;

/// PyTorch's default for linear and convolution layers, weights and biases
/// alike: uniform within 1/√fan_in.
fn default_initial(fan_in: usize) -> Initial {
    Initial::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
}

impl Builder<'_> {
    /// `name.weight` [outputs, inputs] and `name.bias` on rows of `x`.
    #[track_caller]
    pub(crate) fn linear_layer(
        &self,
        name: &str,
        x: NodeId,
        outputs: usize,
    ) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[1];
        let initial = default_initial(inputs);
        let weight =
            self.parameter(&format!("{name}.weight"), &[outputs, inputs], initial.clone())?;
        let bias = self.parameter(&format!("{name}.bias"), &[outputs], initial)?;
        self.graph.scoped(name, |graph| graph.linear(x, weight, Some(bias)))
    }

    /// `name.weight` [channels, in, kernel, kernel] and `name.bias`; the image
    /// keeps its size if the kernel is odd and the stride 1.
    #[track_caller]
    pub(crate) fn conv_layer(
        &self,
        name: &str,
        x: NodeId,
        channels: usize,
        kernel: usize,
    ) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[1];
        let y = self.plain_conv_layer(name, x, channels, kernel)?;
        let initial = default_initial(inputs * kernel * kernel);
        let bias = self.parameter(&format!("{name}.bias"), &[channels], initial)?;
        self.graph.scoped(name, |graph| {
            let bias = graph.on_channels(bias, y)?;
            graph.add(y, bias)
        })
    }

    /// [`Builder::conv_layer`] without its bias.
    #[track_caller]
    pub(crate) fn plain_conv_layer(
        &self,
        name: &str,
        x: NodeId,
        channels: usize,
        kernel: usize,
    ) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[1];
        let initial = default_initial(inputs * kernel * kernel);
        let shape = [channels, inputs, kernel, kernel];
        let weight = self.parameter(&format!("{name}.weight"), &shape, initial)?;
        self.graph.scoped(name, |graph| {
            let window = Window { padding: [kernel / 2; 2], ..Window::default() };
            graph.conv2d(x, weight, window)
        })
    }

    /// Batch norm over the second dimension, with PyTorch's four tensors.
    #[track_caller]
    pub(crate) fn batch_norm_layer(&self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        let channels = [self.graph.shape(x)[1]];
        let one = Initial::Constant(1.0);
        let zero = Initial::Constant(0.0);
        let weight = self.parameter(&format!("{name}.weight"), &channels, one.clone())?;
        let bias = self.parameter(&format!("{name}.bias"), &channels, zero.clone())?;
        let mean = self.slot(&format!("{name}.running_mean"), &channels, zero)?;
        let variance = self.slot(&format!("{name}.running_var"), &channels, one)?;
        let running = RunningStatistics { mean, variance, momentum: MOMENTUM };
        self.graph.scoped(name, |graph| match self.mode {
            Mode::Training { .. } => graph.batch_norm(x, weight, bias, running, EPSILON),
            Mode::Evaluation => graph.batch_norm_evaluation(x, weight, bias, running, EPSILON),
        })
    }

    /// Layer norm over the last dimension of rows of `x`.
    #[track_caller]
    pub(crate) fn layer_norm_layer(&self, name: &str, x: NodeId) -> Result<NodeId, GraphError> {
        let width = [self.graph.shape(x)[1]];
        let weight = self.parameter(&format!("{name}.weight"), &width, Initial::Constant(1.0))?;
        let bias = self.parameter(&format!("{name}.bias"), &width, Initial::Constant(0.0))?;
        self.graph.scoped(name, |graph| graph.layer_norm(x, weight, bias, EPSILON))
    }

    /// Multi-head self-attention (Vaswani et al., 2017) among the tokens of each
    /// of `samples` samples: rows [samples · tokens, dim] to the same.
    /// `name.qkv` makes queries, keys and values, `name.proj` joins the heads.
    #[track_caller]
    pub(crate) fn attention_layer(
        &self,
        name: &str,
        x: NodeId,
        samples: usize,
        heads: usize,
    ) -> Result<NodeId, GraphError> {
        let [rows, dim] = [self.graph.shape(x)[0], self.graph.shape(x)[1]];
        let (tokens, width) = (rows / samples.max(1), dim / heads);
        let all = self.linear_layer(&format!("{name}.qkv"), x, 3 * dim)?;
        let joined = self.graph.scoped(name, |graph| {
            let all = graph.reshape(all, &[samples, tokens, 3 * dim])?;
            let mixed = graph.self_attention(all, heads, (width as f64).sqrt().recip(), false)?;
            graph.reshape(mixed, &[rows, dim])
        })?;
        self.linear_layer(&format!("{name}.proj"), joined, dim)
    }
}
