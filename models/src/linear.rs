//! A linear map from pixels to outputs: one weight a pixel, channel and output.

use crate::{Builder, Model, ModelEntry, OUTPUTS};
use speck_engine::{GraphError, NodeId};

/// y = W x + b on the flattened image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear;

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: "linear",
    summary: "a linear map from the 12288 pixel values to the 128 outputs",
    dimensions: &[],
    make: |_| Ok(Box::new(Linear)),
};

impl Linear {
    /// The name of its layer: the weight is `head.weight` [128, 12288].
    pub const LAYER: &str = "head";
}

impl Model for Linear {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn build(&self, builder: &Builder<'_>, image: NodeId) -> Result<NodeId, GraphError> {
        let pixels = builder.graph.flatten_from(image, 1)?;
        builder.linear_layer(Self::LAYER, pixels, OUTPUTS)
    }
}
