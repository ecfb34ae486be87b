//! A vision transformer.

use crate::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};
use crate::{Activation, Builder, CHANNELS, Model, ModelEntry, OUTPUTS, SCREEN};
use speck_engine::{Graph, GraphError, Initial, NodeId};

/// Square patches as tokens, transformer blocks, the mean of the tokens, and a
/// linear head (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, with
/// the mean in place of a class token, as in their appendix D.3).
///
/// A patch is flattened channel after channel and embedded linearly; a learned
/// vector for its place is added. A block adds attention of the layer norm of its
/// tokens to them, and to the sum two linear layers on its layer norm. Dropout
/// follows the embedding and every linear layer but that of the queries, keys and
/// values (their appendix B.1).
/// Parameters: `patch_embed.…`, `pos_embed` [1, patches, dim], `blocks.I.norm1.…`,
/// `blocks.I.attn.qkv.…` (queries, keys and values under each other, each head
/// after head), `blocks.I.attn.proj.…`, `blocks.I.norm2.…`, `blocks.I.mlp.fc1.…`,
/// `blocks.I.mlp.fc2.…`, `norm.…`, `head.…`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vit {
    /// Values of a token.
    pub dim: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads; they share the values of a token among them.
    pub heads: usize,
    /// Edge of a patch.
    pub patch: usize,
    /// Units of the hidden layer of a block, as a multiple of `dim`.
    pub ratio: usize,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
    /// The probability of an element to be dropped while training.
    pub dropout: f64,
}

/// The standard deviation of the places' vectors at the start, as usual since
/// BERT (Devlin et al., 2018).
const PLACE_DEVIATION: f64 = 0.02;

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "vit",
    summary: "vision transformer on square patches (Dosovitskiy et al., 2021)",
    dimensions: &[
        Dimension {
            name: "dim",
            doc: "values of a token",
            kind: Kind::Int { min: 1, max: 8192 },
            default: DefaultValue::Int(64),
        },
        Dimension {
            name: "depth",
            doc: "number of transformer blocks",
            kind: Kind::Int { min: 1, max: 64 },
            default: DefaultValue::Int(4),
        },
        Dimension {
            name: "heads",
            doc: "attention heads of a block, a divisor of dim",
            kind: Kind::Int { min: 1, max: 256 },
            default: DefaultValue::Int(4),
        },
        Dimension {
            name: "patch",
            doc: "edge of a square patch in pixels, a divisor of 64",
            kind: Kind::Int { min: 1, max: 64 },
            default: DefaultValue::Int(8),
        },
        Dimension {
            name: "ratio",
            doc: "units of a block's hidden layer, as a multiple of dim",
            kind: Kind::Int { min: 1, max: 64 },
            default: DefaultValue::Int(4),
        },
        Dimension {
            name: "activation",
            doc: "non-linearity of the hidden layers",
            kind: Kind::Choice(Activation::NAMES),
            default: DefaultValue::Text("gelu"),
        },
        Dimension {
            name: "dropout",
            doc: "probability of an element to be dropped while training",
            kind: Kind::Float { min: 0.0, max: 0.95 },
            default: DefaultValue::Float(0.0),
        },
    ],
    make: |settings| Ok(Box::new(Vit::from_settings(settings)?)),
};

impl Vit {
    /// The config that resolved settings describe.
    ///
    /// # Errors
    /// Heads that do not share a token evenly, patches that do not fill the screen.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let vit = Vit {
            dim: settings.usize("dim"),
            depth: settings.usize("depth"),
            heads: settings.usize("heads"),
            patch: settings.usize("patch"),
            ratio: settings.usize("ratio"),
            activation: Activation::named(settings.text("activation"))
                .ok_or_else(|| SettingError::new("activation", "has no such value"))?,
            dropout: settings.float("dropout"),
        };
        if !vit.dim.is_multiple_of(vit.heads) {
            let message = format!("{} heads do not divide a dim of {}", vit.heads, vit.dim);
            return Err(SettingError::new("heads", message));
        }
        if !SCREEN[0].is_multiple_of(vit.patch) {
            let message = format!("patches of {} do not fill a screen of {}", vit.patch, SCREEN[0]);
            return Err(SettingError::new("patch", message));
        }
        Ok(vit)
    }
}

impl Model for Vit {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let samples = graph.shape(image)[0];
        let patches = graph.scoped("patches", |graph| self.patches(graph, image))?;
        let tokens = graph.shape(patches)[0] / samples.max(1);
        // Tokens are rows [samples · tokens, dim] wherever they do not meet.
        let x = builder.linear_layer("patch_embed", patches, self.dim)?;
        let places = Initial::Normal { deviation: PLACE_DEVIATION };
        let places = builder.parameter("pos_embed", &[1, tokens, self.dim], places)?;
        let x = graph.reshape(x, &[samples, tokens, self.dim])?;
        let x = builder.dropout_layer(graph.add(x, places)?, self.dropout)?;
        let mut x = graph.reshape(x, &[samples * tokens, self.dim])?;
        for i in 0..self.depth {
            x = graph.scoped(&format!("block.{i}"), |_| self.block(builder, x, samples, i))?;
        }
        let x = builder.layer_norm_layer("norm", x)?;
        let x = graph.reshape(x, &[samples, tokens, self.dim])?;
        let mean = graph.mean(x, &[1])?;
        builder.linear_layer("head", mean, OUTPUTS)
    }
}

impl Vit {
    /// The image cut into patches, row by row: [samples · tokens, values].
    fn patches(&self, graph: &Graph, image: NodeId) -> Result<NodeId, GraphError> {
        let samples = graph.shape(image)[0];
        let edge = self.patch;
        let [down, across] = SCREEN.map(|size| size / edge);
        let split = graph.reshape(image, &[samples, CHANNELS, down, edge, across, edge])?;
        let ordered = graph.permute(split, &[0, 2, 4, 1, 3, 5])?;
        graph.reshape(ordered, &[samples * down * across, CHANNELS * edge * edge])
    }

    fn block(
        &self,
        builder: &Builder<'_>,
        x: NodeId,
        samples: usize,
        i: usize,
    ) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let name = |layer: &str| format!("blocks.{i}.{layer}");
        let y = builder.layer_norm_layer(&name("norm1"), x)?;
        let y = builder.attention_layer(&name("attn"), y, samples, self.heads)?;
        let y = builder.dropout_layer(y, self.dropout)?;
        let x = graph.add(x, builder.drop_path_layer(y, samples)?)?;
        let y = builder.layer_norm_layer(&name("norm2"), x)?;
        let y = builder.linear_layer(&name("mlp.fc1"), y, self.ratio * self.dim)?;
        let y = builder.units(&name("mlp.fc1"), self.activation.apply(graph, y)?);
        let y = builder.dropout_layer(y, self.dropout)?;
        let y = builder.linear_layer(&name("mlp.fc2"), y, self.dim)?;
        let y = builder.dropout_layer(y, self.dropout)?;
        let x = graph.add(x, builder.drop_path_layer(y, samples)?)?;
        Ok(builder.layer(&format!("blocks.{i}"), x))
    }
}
