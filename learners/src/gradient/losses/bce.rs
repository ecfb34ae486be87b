//! Binary cross-entropy of each output.

use super::LossEntry;
use crate::predictor::Readout;
use speck_engine::Reduction;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "bce",
    summary: "-v t log σ(y) - (1 - t) log(1 - σ(y)), the mean over all outputs; v = positive_weight",
    source: "as torch.nn.BCEWithLogitsLoss with its pos_weight",
    readout: Readout::Sigmoid,
    dimensions: &[Dimension::float(
        "positive_weight",
        "how often an output with a target counts; of 64 outputs of an axis one has one",
        (0.0, 1e6),
        1.0,
    )],
    build: |settings, graph, outputs, targets| match settings.float("positive_weight") {
        1.0 => graph.binary_cross_entropy(outputs, targets),
        weight => {
            let weight = Some(graph.scalar(weight)?);
            let mean = Reduction::Mean;
            graph.binary_cross_entropy_with_logits(outputs, targets, None, weight, mean)
        }
    },
};
