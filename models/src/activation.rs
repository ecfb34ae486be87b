//! Activation functions.

use speck_engine::{Graph, GraphError, NodeId};

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// tanh x
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// x Φ(x), with the exact normal distribution function (Hendrycks and Gimpel, 2016)
    Gelu,
    /// x sigmoid(x) (Elfwing, Uchibe and Doya, 2017)
    Silu,
    /// ln(1 + eˣ)
    Softplus,
    /// x: a network that stays linear
    Identity,
}

impl Activation {
    /// The names, in the order of the variants.
    pub const NAMES: &[&str] = &["relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "identity"];
    const ALL: [Activation; 7] = [
        Activation::Relu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Gelu,
        Activation::Silu,
        Activation::Softplus,
        Activation::Identity,
    ];

    /// The activation of that name.
    pub fn named(name: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self::ALL[index])
    }

    /// Appends it.
    ///
    /// # Errors
    /// `x` is not floating-point.
    #[track_caller]
    pub fn apply(self, graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
        match self {
            Activation::Relu => graph.relu(x),
            Activation::Tanh => graph.tanh(x),
            Activation::Sigmoid => graph.sigmoid(x),
            Activation::Softplus => graph.softplus(x),
            Activation::Identity => Ok(x),
            Activation::Silu => graph.silu(x),
            Activation::Gelu => graph.gelu(x),
        }
    }
}
