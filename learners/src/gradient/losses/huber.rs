//! Huber's loss.

use super::LossEntry;
use crate::predictor::Readout;
use speck_engine::Reduction;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "huber",
    summary: "½ d² where |d| ≤ δ, else δ (|d| - ½ δ), with d = y - t, the mean over all outputs",
    source: "Huber, \"Robust Estimation of a Location Parameter\", 1964; as torch.nn.HuberLoss",
    readout: Readout::Identity,
    dimensions: &[Dimension::float(
        "huber_delta",
        "error from which on it grows in proportion: δ",
        (1e-9, 1e9),
        1.0,
    )],
    build: |settings, graph, outputs, targets| {
        graph.huber(outputs, targets, settings.float("huber_delta"), Reduction::Mean)
    },
};
