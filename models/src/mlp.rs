//! A multi-layer perceptron on the flattened image.

use crate::settings::{DefaultValue, Dimension, Kind, SettingError, Settings};
use crate::{Activation, Builder, Model, ModelEntry, OUTPUTS, Residual};
use speck_engine::{GraphError, NodeId};

/// Hidden layers, then the 128 outputs.
///
/// A hidden layer is linear → norm → activation → dropout → residual.
/// Parameters: `layers.I.weight`, `layers.I.bias`, `norms.I.…`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// The non-linearity.
    pub activation: Activation,
    /// Whether each hidden layer is normalized.
    pub norm: MlpNorm,
    /// The probability of a unit to be dropped while training.
    pub dropout: f64,
    /// What is carried past a hidden layer; `add` skips layers whose width
    /// differs from their input's, in particular the first.
    pub residual: Residual,
}

/// Normalization of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpNorm {
    /// None.
    None,
    /// Over the units of a sample.
    Layer,
    /// Over the samples of a batch.
    Batch,
}

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "mlp",
    summary: "fully connected layers on the flattened image",
    dimensions: &[
        Dimension {
            name: "depth",
            doc: "number of hidden layers, where hidden is empty",
            kind: Kind::Int { min: 1, max: 64 },
            default: DefaultValue::Int(2),
        },
        Dimension {
            name: "width",
            doc: "units of each hidden layer, where hidden is empty",
            kind: Kind::Int { min: 1, max: 65_536 },
            default: DefaultValue::Int(128),
        },
        Dimension {
            name: "hidden",
            doc: "units of each hidden layer, one number a layer, in place of depth and width",
            kind: Kind::IntList { min: 1, max: 65_536, shortest: 0, longest: 64 },
            default: DefaultValue::IntList(&[]),
        },
        Dimension {
            name: "activation",
            doc: "non-linearity of the hidden layers",
            kind: Kind::Choice(Activation::NAMES),
            default: DefaultValue::Text("relu"),
        },
        Dimension {
            name: "dropout",
            doc: "probability of a hidden unit to be dropped while training",
            kind: Kind::Float { min: 0.0, max: 0.95 },
            default: DefaultValue::Float(0.0),
        },
        Dimension {
            name: "norm",
            doc: "normalization of hidden layers before the activation",
            kind: Kind::Choice(&["none", "layer", "batch"]),
            default: DefaultValue::Text("none"),
        },
        Dimension {
            name: "residual",
            doc: "what is carried past a hidden layer",
            kind: Kind::Choice(Residual::NAMES),
            default: DefaultValue::Text("none"),
        },
    ],
    make: |settings| Ok(Box::new(Mlp::from_settings(settings)?)),
};

impl Mlp {
    /// The config that resolved settings describe.
    ///
    /// # Errors
    /// None after resolution; the signature is that of every config.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let unknown = |key: &str| SettingError::new(key, "has no such value");
        let hidden = match settings.int_list("hidden") {
            widths if widths.is_empty() => vec![settings.usize("width"); settings.usize("depth")],
            widths => widths,
        };
        Ok(Mlp {
            hidden,
            activation: Activation::named(settings.text("activation"))
                .ok_or_else(|| unknown("activation"))?,
            norm: match settings.text("norm") {
                "layer" => MlpNorm::Layer,
                "batch" => MlpNorm::Batch,
                _ => MlpNorm::None,
            },
            dropout: settings.float("dropout"),
            residual: Residual::named(settings.text("residual"))
                .ok_or_else(|| unknown("residual"))?,
        })
    }
}

impl Model for Mlp {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let mut x = graph.flatten_from(image, 1)?;
        for i in 0..self.hidden.len() {
            x = graph.scoped(&format!("block.{i}"), |_| self.block(builder, x, i))?;
        }
        builder.linear_layer(&format!("layers.{}", self.hidden.len()), x, OUTPUTS)
    }
}

impl Mlp {
    fn block(&self, builder: &Builder<'_>, x: NodeId, i: usize) -> Result<NodeId, GraphError> {
        let graph = builder.graph;
        let y = builder.linear_layer(&format!("layers.{i}"), x, self.hidden[i])?;
        let norm = format!("norms.{i}");
        let y = match self.norm {
            MlpNorm::None => y,
            MlpNorm::Layer => builder.layer_norm_layer(&norm, y)?,
            MlpNorm::Batch => builder.batch_norm_layer(&norm, y)?,
        };
        let name = format!("layers.{i}");
        let y = builder.units(&name, self.activation.apply(graph, y)?);
        let y = builder.dropout_layer(y, self.dropout)?;
        let y = match self.residual {
            Residual::Add if graph.shape(x) == graph.shape(y) => {
                graph.add(x, builder.drop_path_layer(y, graph.shape(x)[0])?)?
            }
            // The image itself is not carried on: it would make every
            // layer as wide as the screen.
            Residual::Concat if i > 0 => graph.concat(&[x, y], 1)?,
            _ => y,
        };
        Ok(builder.layer(&name, y))
    }
}
