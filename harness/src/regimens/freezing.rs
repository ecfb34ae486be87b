//! Progressive freezing: layers stop learning one after the other.

use super::layers::layers;
use super::unfreezing::freezing;
use super::{Regimen, needs_groups};
use speck_models::settings::Dimension;

pub(super) const REGIMEN: Regimen = Regimen {
    name: "freezing",
    summary: "progressive freezing: from a share of the steps on layers stop learning one after the other, from the image on, at equal distances; the last learns to the end",
    source: "Brock, Lim, Ritchie, Weston, \"FreezeOut: Accelerate Training by Progressively Freezing Layers\", 2017",
    dimensions: &[Dimension::float(
        "start",
        "share of the steps after which the first layer stops",
        (0.0, 1.0),
        0.5,
    )],
    stretches: |run, settings| {
        needs_groups(run, REGIMEN.name)?;
        freezing(run, &layers(run)?, settings.float("start"))
    },
};
