//! Softmax cross-entropy of each axis.

use super::LossEntry;
use crate::predictor::Readout;
use speck_models::SCREEN;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "cross-entropy",
    summary: "-Σ t log softmax(y) / Σ t of each axis, summed over the axes",
    source: "Bridle, \"Probabilistic Interpretation of Feedforward Classification Network Outputs\", 1990",
    readout: Readout::Softmax,
    dimensions: &[],
    build: |_, graph, outputs, targets| graph.axis_cross_entropy(outputs, targets, &SCREEN),
};
