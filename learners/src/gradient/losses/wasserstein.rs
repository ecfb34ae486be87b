//! The distance over which probability has to be carried.

use super::{LossEntry, over_axes, shares};
use crate::predictor::Readout;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "wasserstein",
    summary: "Σ |F - G|^power of each axis, summed over the axes, the mean over the samples: F and G are the running sums of softmax(y) and of t / Σ t; with power 1 the mean number of pixels that probability is away from the targets",
    source: "on a line the optimal transport is monotone: Vallender, \"Calculation of the Wasserstein distance between probability distributions on the line\", 1974; power 2: Hou, Yu and Samaras, \"Squared Earth Mover's Distance-based Loss for Training Deep Neural Networks\", 2016",
    readout: Readout::Softmax,
    dimensions: &[Dimension::int("wasserstein_power", "power of the differences", (1, 2), 1)],
    build: |settings, graph, outputs, targets| {
        let squared = settings.int("wasserstein_power") == 2;
        over_axes(graph, outputs, targets, |outputs, targets| {
            let (wanted, present) = shares(graph, targets)?;
            let surplus = graph.sub(graph.softmax(outputs, 1)?, wanted)?;
            let carried = graph.cumulative_sum(surplus, 1, false)?;
            let cost = match squared {
                true => graph.square(carried)?,
                false => graph.abs(carried)?,
            };
            graph.mul(graph.sum(cost, &[1])?, present)
        })
    },
};
