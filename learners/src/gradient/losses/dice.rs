//! Dice loss: how little what is lit overlaps what should be.

use super::{LossEntry, over_axes};
use crate::predictor::Readout;
use speck_engine::Reduction;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "dice",
    summary: "1 - (2 Σ p t + s) / (Σ p + Σ t + s) of each axis with p = σ(y), summed over the axes, the mean over the samples; it does not mind how many outputs have no target",
    source: "Milletari, Navab and Ahmadi, \"V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation\", 2016, with sums in place of sums of squares",
    readout: Readout::Sigmoid,
    dimensions: &[SMOOTHING],
    build: |settings, graph, outputs, targets| {
        let smoothing = settings.float("overlap_smoothing");
        over_axes(graph, outputs, targets, |outputs, targets| {
            let lit = graph.sigmoid(outputs)?;
            graph.dice(lit, targets, &[1], smoothing, Reduction::None)
        })
    },
};

// Not 0: a sample without specks would divide 0 by 0.
pub(super) const SMOOTHING: Dimension = Dimension::float(
    "overlap_smoothing",
    "added to what overlaps and to what there is: s",
    (1e-6, 1e6),
    1.0,
);
