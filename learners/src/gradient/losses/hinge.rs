//! Hinge loss of each output.

use super::LossEntry;
use crate::predictor::Readout;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "hinge",
    summary: "max(0, margin - (2 t - 1) y), or its square, the mean over all outputs: y is to be above the margin with a target, below -margin without",
    source: "Cortes and Vapnik, \"Support-Vector Networks\", 1995; squared: Tang, \"Deep Learning using Linear Support Vector Machines\", 2013",
    readout: Readout::Sigmoid,
    dimensions: &[
        Dimension::float("hinge_margin", "from where on an output costs nothing", (1e-9, 1e9), 1.0),
        Dimension::bool("hinge_squared", "whether what is missing is squared", false),
    ],
    build: |settings, graph, outputs, targets| {
        let sides = graph.offset(graph.scale(targets, 2.0)?, -1.0)?;
        let margin = graph.scalar(settings.float("hinge_margin"))?;
        let missing = graph.relu(graph.sub(margin, graph.mul(sides, outputs)?)?)?;
        graph.mean_all(match settings.bool("hinge_squared") {
            true => graph.square(missing)?,
            false => missing,
        })
    },
};
