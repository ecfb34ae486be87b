//! Focal loss: what is known already weighs less.

use super::LossEntry;
use crate::predictor::Readout;
use speck_engine::Reduction;
use speck_models::Dimension;

pub(super) const ENTRY: LossEntry = LossEntry {
    name: "focal",
    summary: "-αₜ (1 - pₜ)^γ log pₜ, the mean over all outputs; pₜ = σ(y) and αₜ = α with a target, 1 - σ(y) and 1 - α without",
    source: "Lin, Goyal, Girshick, He and Dollár, \"Focal Loss for Dense Object Detection\", 2017, equation 5",
    readout: Readout::Sigmoid,
    dimensions: &[
        Dimension::float("focal_alpha", "weight of outputs with a target: α", (0.0, 1.0), 0.25),
        Dimension::float(
            "focal_gamma",
            "how much less what is known weighs: γ; 0 for binary cross-entropy with weights",
            (0.0, 100.0),
            2.0,
        ),
    ],
    build: |settings, graph, outputs, targets| {
        let alpha = Some(settings.float("focal_alpha"));
        graph.focal(outputs, targets, alpha, settings.float("focal_gamma"), Reduction::Mean)
    },
};
