//! Tversky loss: Dice with weights for what is lit wrongly and what is missed.

use super::dice::SMOOTHING;
use super::{LossEntry, over_axes};
use crate::predictor::Readout;
use speck_engine::Reduction;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "tversky",
    summary: "1 - (Σ p t + s) / (Σ p t + α Σ p (1 - t) + β Σ (1 - p) t + s) of each axis with p = σ(y), summed over the axes, the mean over the samples; with α = β = ½ it is dice of twice the smoothing",
    source: "Salehi, Erdogmus and Gholipour, \"Tversky loss function for image segmentation using 3D fully convolutional deep networks\", 2017",
    readout: Readout::Sigmoid,
    dimensions: &[
        Dimension::float("tversky_alpha", "weight of what is lit wrongly: α", (0.0, 1e3), 0.3),
        Dimension::float("tversky_beta", "weight of what is missed: β", (0.0, 1e3), 0.7),
        SMOOTHING,
    ],
    build: |settings, graph, outputs, targets| {
        let weights = [settings.float("tversky_alpha"), settings.float("tversky_beta")];
        let smoothing = settings.float("overlap_smoothing");
        over_axes(graph, outputs, targets, |outputs, targets| {
            let lit = graph.sigmoid(outputs)?;
            graph.tversky(lit, targets, &[1], weights, smoothing, Reduction::None)
        })
    },
};
