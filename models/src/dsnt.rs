//! A fully convolutional network whose heat map is read out as coordinates.

use crate::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};
use crate::{Activation, Builder, Model, ModelEntry, OUTPUTS};
use speck_engine::{GraphError, NodeId};

/// Convolutions that keep the screen's size, then one heat map of it (Nibali, He,
/// Morgan and Prendergast, "Numerical Coordinate Regression with Convolutional
/// Neural Networks", 2018).
///
/// A block is convolution → norm → activation → dropout. The 128 outputs are the
/// logarithms of the marginals of the map's softmax, first of the rows, then of
/// the columns. So the softmax of an axis' outputs is its marginal, and the
/// expectation of the position under it is the paper's soft-argmax of the map,
/// which the loss `coordinate` is made for.
/// Parameters: `conv.I.weight`, `conv.I.bias`, `norm.I.…`, `heat.weight`,
/// `heat.bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dsnt {
    /// Channels of each block.
    pub channels: Vec<usize>,
    /// Edge of the square kernels, odd.
    pub kernel: usize,
    /// Whether blocks are batch-normalized.
    pub norm: bool,
    /// The non-linearity.
    pub activation: Activation,
    /// The probability of an element to be dropped while training.
    pub dropout: f64,
}

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "dsnt",
    summary: "convolutions, a heat map and its marginals (Nibali et al., 2018)",
    dimensions: &[
        Dimension {
            name: "channels",
            doc: "channels of each block; as many blocks as there are numbers",
            kind: Kind::IntList { min: 1, max: 4096, shortest: 1, longest: 16 },
            default: DefaultValue::IntList(&[8, 16]),
        },
        Dimension {
            name: "kernel",
            doc: "edge of the square kernels in pixels, odd",
            kind: Kind::Int { min: 1, max: 15 },
            default: DefaultValue::Int(3),
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
    ],
    make: |settings| Ok(Box::new(Dsnt::from_settings(settings)?)),
};

impl Dsnt {
    /// The config that resolved settings describe.
    ///
    /// # Errors
    /// An even kernel.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let kernel = settings.usize("kernel");
        if kernel.is_multiple_of(2) {
            let message = format!("must be odd, not {kernel}: maps keep their size");
            return Err(SettingError::new("kernel", message));
        }
        Ok(Dsnt {
            channels: settings.int_list("channels"),
            kernel,
            norm: settings.text("norm") == "batch",
            activation: Activation::named(settings.text("activation"))
                .ok_or_else(|| SettingError::new("activation", "has no such value"))?,
            dropout: settings.float("dropout"),
        })
    }
}

impl Model for Dsnt {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let mut x = image;
        for i in 0..self.channels.len() {
            x = graph.scoped(&format!("block.{i}"), |_| self.block(builder, x, i))?;
        }
        let heat = builder.conv_layer("heat", x, 1, 1)?;
        let marginals = graph.log_marginals(heat)?;
        graph.reshape(marginals, &[graph.shape(image)[0], OUTPUTS])
    }
}

impl Dsnt {
    fn block(&self, builder: &Builder<'_>, x: NodeId, i: usize) -> Result<NodeId, GraphError> {
        let y = builder.conv_layer(&format!("conv.{i}"), x, self.channels[i], self.kernel)?;
        let y = if self.norm { builder.batch_norm_layer(&format!("norm.{i}"), y)? } else { y };
        let name = format!("conv.{i}");
        let y = builder.units(&name, self.activation.apply(builder.graph, y)?);
        Ok(builder.layer(&name, builder.dropout_layer(y, self.dropout)?))
    }
}
