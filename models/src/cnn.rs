//! A convolutional network.

use crate::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};
use crate::{Activation, Builder, Head, Model, ModelEntry, OUTPUTS, Pool, Residual};
use speck_engine::{Graph, GraphError, NodeId, Tensor, TensorType};

/// Convolution blocks, then a linear head.
///
/// A block is convolution → norm → activation → dropout → residual → pooling.
/// Parameters: `conv.I.weight`, `conv.I.bias`, `norm.I.…`, `head.weight`,
/// `head.bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cnn {
    /// Channels of each block.
    pub channels: Vec<usize>,
    /// Edge of the square kernels, odd.
    pub kernel: usize,
    /// What follows each block.
    pub pool: Pool,
    /// Whether blocks are batch-normalized.
    pub norm: bool,
    /// The non-linearity.
    pub activation: Activation,
    /// The probability of an element to be dropped while training.
    pub dropout: f64,
    /// What is carried past a block's layers; `add` skips blocks whose channels
    /// differ from their input's.
    pub residual: Residual,
    /// How maps become a vector for the head.
    pub head: Head,
    /// Channels that a 1×1 convolution after the blocks reduces the maps to, as
    /// it is, without norm or activation (`reduce.weight`, `reduce.bias`); 0 for
    /// none.
    pub reduce: usize,
    /// Whether two channels with the row and column of each pixel in [-1, 1]
    /// join the image (Liu et al., "CoordConv", 2018).
    pub coord: bool,
}

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "cnn",
    summary: "convolution blocks with pooling and a linear head",
    dimensions: &[
        Dimension {
            name: "channels",
            doc: "channels of each block; as many blocks as there are numbers",
            kind: Kind::IntList { min: 1, max: 4096, shortest: 1, longest: 16 },
            default: DefaultValue::IntList(&[8, 16, 16]),
        },
        Dimension {
            name: "kernel",
            doc: "edge of the square kernels in pixels, odd",
            kind: Kind::Int { min: 1, max: 15 },
            default: DefaultValue::Int(3),
        },
        Dimension {
            name: "pool",
            doc: "halving of the maps after each block: maximum or mean of 2×2",
            kind: Kind::Choice(Pool::NAMES),
            default: DefaultValue::Text("max"),
        },
        Dimension {
            name: "norm",
            doc: "normalization of each block before the activation",
            kind: Kind::Choice(&["none", "batch"]),
            default: DefaultValue::Text("none"),
        },
        Dimension {
            name: "activation",
            doc: "non-linearity of the blocks",
            kind: Kind::Choice(Activation::NAMES),
            default: DefaultValue::Text("relu"),
        },
        Dimension {
            name: "dropout",
            doc: "probability of an element of a block to be dropped while training",
            kind: Kind::Float { min: 0.0, max: 0.95 },
            default: DefaultValue::Float(0.0),
        },
        Dimension {
            name: "residual",
            doc: "what is carried past a block's layers",
            kind: Kind::Choice(Residual::NAMES),
            default: DefaultValue::Text("none"),
        },
        Dimension {
            name: "head",
            doc: "from maps to a vector: every position (flatten), or the mean of each map (gap)",
            kind: Kind::Choice(Head::NAMES),
            default: DefaultValue::Text("flatten"),
        },
        Dimension {
            name: "reduce",
            doc: "channels of a 1×1 convolution before the head; 0 for none",
            kind: Kind::Int { min: 0, max: 4096 },
            default: DefaultValue::Int(0),
        },
        Dimension {
            name: "coord",
            doc: "whether row and column of each pixel join the image as two channels",
            kind: Kind::Bool,
            default: DefaultValue::Bool(false),
        },
    ],
    make: |settings| Ok(Box::new(Cnn::from_settings(settings)?)),
};

impl Cnn {
    /// The config that resolved settings describe.
    ///
    /// # Errors
    /// An even kernel, or more halvings than the screen has.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let unknown = |key: &str| SettingError::new(key, "has no such value");
        let cnn = Cnn {
            channels: settings.int_list("channels"),
            kernel: settings.usize("kernel"),
            pool: Pool::named(settings.text("pool")).ok_or_else(|| unknown("pool"))?,
            norm: settings.text("norm") == "batch",
            activation: Activation::named(settings.text("activation"))
                .ok_or_else(|| unknown("activation"))?,
            dropout: settings.float("dropout"),
            residual: Residual::named(settings.text("residual"))
                .ok_or_else(|| unknown("residual"))?,
            head: Head::named(settings.text("head")).ok_or_else(|| unknown("head"))?,
            reduce: settings.usize("reduce"),
            coord: settings.bool("coord"),
        };
        if cnn.kernel.is_multiple_of(2) {
            let message = format!("must be odd, not {}: maps keep their size", cnn.kernel);
            return Err(SettingError::new("kernel", message));
        }
        cnn.pool.check("channels", cnn.channels.len())?;
        Ok(cnn)
    }
}

impl Model for Cnn {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let mut x = if self.coord { with_coordinates(graph, image)? } else { image };
        for i in 0..self.channels.len() {
            x = graph.scoped(&format!("block.{i}"), |_| self.block(builder, x, i))?;
        }
        if self.reduce > 0 {
            x = builder.conv_layer("reduce", x, self.reduce, 1)?;
        }
        let vector = self.head.apply(graph, x)?;
        builder.linear_layer("head", vector, OUTPUTS)
    }
}

impl Cnn {
    fn block(&self, builder: &Builder<'_>, x: NodeId, i: usize) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let y = builder.conv_layer(&format!("conv.{i}"), x, self.channels[i], self.kernel)?;
        let y = if self.norm { builder.batch_norm_layer(&format!("norm.{i}"), y)? } else { y };
        let y = builder.units(&format!("conv.{i}"), self.activation.apply(graph, y)?);
        let y = builder.dropout_layer(y, self.dropout)?;
        let y = match self.residual {
            Residual::Add if graph.shape(x) == graph.shape(y) => {
                graph.add(x, builder.drop_path_layer(y, graph.shape(x)[0])?)?
            }
            Residual::Concat => graph.concat(&[x, y], 1)?,
            _ => y,
        };
        Ok(builder.layer(&format!("conv.{i}"), self.pool.apply(graph, y)?))
    }
}

/// The image with two more channels: the row and the column of each pixel, in
/// equal steps from -1 to 1.
fn with_coordinates(graph: &Graph, image: NodeId) -> Result<NodeId, GraphError> {
    let shape = graph.shape(image);
    let (samples, height, width) = (shape[0], shape[2], shape[3]);
    let scale = |i: usize, size: usize| 2.0 * i as f64 / (size.max(2) - 1) as f64 - 1.0;
    let mut values = Vec::new();
    for row in 0..height {
        values.extend((0..width).map(|_| scale(row, height)));
    }
    for _ in 0..height {
        values.extend((0..width).map(|column| scale(column, width)));
    }
    let ty = TensorType::new(graph.float(), &[1, 2, height, width]);
    let coordinates = graph.constant(Tensor::new(&ty, &values))?;
    let coordinates = graph.expand(coordinates, &[samples, 2, height, width])?;
    graph.concat(&[image, coordinates], 1)
}
