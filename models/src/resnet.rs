//! A residual network.

use crate::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};
use crate::{Activation, Builder, Head, Model, ModelEntry, OUTPUTS, Pool};
use speck_engine::{GraphError, NodeId};

/// Residual blocks of one width on a convolutional stem, then a linear head (He,
/// Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016: the
/// basic block with the identity as its shortcut).
///
/// The stem is convolution → batch norm → activation. A block adds its input to
/// convolution → batch norm → activation → dropout → convolution → batch norm and
/// puts the sum through the activation; pooling follows. Convolutions are 3×3 and
/// have no bias: the norm after them has one.
/// Parameters: `stem.conv.weight`, `stem.bn.…`, `blocks.I.conv1.weight`,
/// `blocks.I.bn1.…`, `blocks.I.conv2.weight`, `blocks.I.bn2.…`, `head.weight`,
/// `head.bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Resnet {
    /// Channels everywhere.
    pub width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// The non-linearity.
    pub activation: Activation,
    /// The probability of an element to be dropped while training.
    pub dropout: f64,
    /// What follows each block.
    pub pool: Pool,
    /// How maps become a vector for the head.
    pub head: Head,
}

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "resnet",
    summary: "residual blocks with batch norm (He et al., 2016) and a linear head",
    dimensions: &[
        Dimension {
            name: "width",
            doc: "channels of the stem and of every block",
            kind: Kind::Int { min: 1, max: 4096 },
            default: DefaultValue::Int(16),
        },
        Dimension {
            name: "blocks",
            doc: "number of residual blocks",
            kind: Kind::Int { min: 1, max: 64 },
            default: DefaultValue::Int(3),
        },
        Dimension {
            name: "activation",
            doc: "non-linearity of the stem and the blocks",
            kind: Kind::Choice(Activation::NAMES),
            default: DefaultValue::Text("relu"),
        },
        Dimension {
            name: "dropout",
            doc: "probability of an element between a block's convolutions to be dropped while training",
            kind: Kind::Float { min: 0.0, max: 0.95 },
            default: DefaultValue::Float(0.0),
        },
        Dimension {
            name: "pool",
            doc: "halving of the maps after each block: maximum or mean of 2×2",
            kind: Kind::Choice(Pool::NAMES),
            default: DefaultValue::Text("max"),
        },
        Dimension {
            name: "head",
            doc: "from maps to a vector: every position (flatten), or the mean of each map (gap)",
            kind: Kind::Choice(Head::NAMES),
            default: DefaultValue::Text("flatten"),
        },
    ],
    make: |settings| Ok(Box::new(Resnet::from_settings(settings)?)),
};

impl Resnet {
    /// The config that resolved settings describe.
    ///
    /// # Errors
    /// More halvings than the screen has.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let unknown = |key: &str| SettingError::new(key, "has no such value");
        let resnet = Resnet {
            width: settings.usize("width"),
            blocks: settings.usize("blocks"),
            activation: Activation::named(settings.text("activation"))
                .ok_or_else(|| unknown("activation"))?,
            dropout: settings.float("dropout"),
            pool: Pool::named(settings.text("pool")).ok_or_else(|| unknown("pool"))?,
            head: Head::named(settings.text("head")).ok_or_else(|| unknown("head"))?,
        };
        resnet.pool.check("blocks", resnet.blocks)?;
        Ok(resnet)
    }
}

impl Model for Resnet {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let x = self.convolution(builder, "stem.conv", "stem.bn", image)?;
        let x = builder.units("stem", self.activation.apply(graph, x)?);
        let mut x = builder.layer("stem", x);
        for i in 0..self.blocks {
            x = graph.scoped(&format!("block.{i}"), |_| self.block(builder, x, i))?;
        }
        let vector = self.head.apply(graph, x)?;
        builder.linear_layer("head", vector, OUTPUTS)
    }
}

impl Resnet {
    fn block(&self, builder: &Builder<'_>, x: NodeId, i: usize) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let name = |layer: &str| format!("blocks.{i}.{layer}");
        let y = self.convolution(builder, &name("conv1"), &name("bn1"), x)?;
        let y = builder.units(&name("conv1"), self.activation.apply(graph, y)?);
        let y = builder.dropout_layer(y, self.dropout)?;
        let y = self.convolution(builder, &name("conv2"), &name("bn2"), y)?;
        let y = builder.drop_path_layer(y, graph.shape(x)[0])?;
        let y = self.activation.apply(graph, graph.add(x, y)?)?;
        let y = builder.units(&name("conv2"), y);
        Ok(builder.layer(&format!("blocks.{i}"), self.pool.apply(graph, y)?))
    }

    fn convolution(
        &self,
        builder: &Builder<'_>,
        convolution: &str,
        norm: &str,
        x: NodeId,
    ) -> Result<NodeId, GraphError> {
        let y = builder.plain_conv_layer(convolution, x, self.width, 3)?;
        builder.batch_norm_layer(norm, y)
    }
}
