//! The squared distance of the expected position.

use super::LossEntry;
use crate::predictor::Readout;
use speck_engine::{Divergence, HeatRegularizer};
use speck_models::settings::{DefaultValue, Kind, Part};
use speck_models::{Dimension, SCREEN, Settings};

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "coordinate",
    summary: "squared distance of the expected position under softmax(y) from the targets' mean, in halves of the screen, plus a heat regularizer",
    source: "Nibali, He, Morgan and Prendergast, \"Numerical Coordinate Regression with Convolutional Neural Networks\", 2018",
    readout: Readout::Softmax,
    dimensions: &[Dimension {
        name: "heat_regularizer",
        doc: "what draws the softmax of each axis together: its variance, or a divergence from a Gaussian around the target",
        kind: Kind::Entry(REGULARIZERS),
        default: DefaultValue::Text("none"),
    }],
    build: |settings, graph, outputs, targets| {
        graph.coordinate_loss(outputs, targets, &SCREEN, regularizer(settings))
    },
};

/// The heat regularizers: sections 3.3 of the paper.
pub(crate) const REGULARIZERS: &[Part] = &[
    Part { name: "none", dimensions: &[] },
    Part { name: "variance", dimensions: HEAT },
    Part { name: "kullback-leibler", dimensions: HEAT },
    Part { name: "jensen-shannon", dimensions: HEAT },
];

const HEAT: &[Dimension] = &[
    Dimension::float("heat_weight", "what the heat regularizer is multiplied by", (0.0, 1e6), 1.0),
    Dimension::float(
        "heat_deviation",
        "standard deviation in pixels that the heat regularizer wants",
        (0.01, 64.0),
        1.0,
    ),
];

fn regularizer(settings: &Settings) -> Option<HeatRegularizer> {
    let divergence = match settings.text("heat_regularizer") {
        "variance" => Divergence::Variance,
        "kullback-leibler" => Divergence::KullbackLeibler,
        "jensen-shannon" => Divergence::JensenShannon,
        _ => return None,
    };
    // A screen of 64 pixels spans [-1, 1].
    let pixel = 2.0 / SCREEN[0] as f64;
    Some(HeatRegularizer {
        divergence,
        weight: settings.float("heat_weight"),
        deviation: settings.float("heat_deviation") * pixel,
    })
}
