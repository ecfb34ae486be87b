//! Squared error.

use super::LossEntry;
use crate::predictor::Readout;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "mse",
    summary: "(y - t)², the mean over all outputs",
    source: "as torch.nn.MSELoss",
    readout: Readout::Identity,
    dimensions: &[],
    build: |_, graph, outputs, targets| graph.mean_squared_error(outputs, targets),
};
