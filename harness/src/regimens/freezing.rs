//! Progressive freezing: layers stop learning one after the other.

use super::layers::{Layer, groups, layers};
use super::{Regimen, Stretch, needs_groups, total};
use crate::config::RunConfig;
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
        Ok(stretches(run, &layers(run)?, settings.float("start")))
    },
};

/// Layers that stop learning one after the other, from the image on, over the last
/// part of the steps; the last layer learns to the end.
fn stretches(run: &RunConfig, order: &[Layer], start: f64) -> Vec<Stretch> {
    let all = total(run);
    let first = (all as f64 * start).round() as u64;
    let stages = order.len() as u64 - 1;
    let mut stretches = Vec::new();
    let mut from = 0;
    for frozen in 0..=stages {
        let to = match frozen == stages {
            true => all,
            false => first + (all - first) * frozen / stages.max(1),
        };
        if to > from {
            let name = match frozen {
                0 => "all layers".to_owned(),
                _ => format!("{} stops", order[frozen as usize - 1].name),
            };
            let groups = groups(&order[..frozen as usize], "frozen");
            let stretch = Stretch::of(run, name, to - from).scheduled(all, from);
            stretches.push(stretch.grouped(groups));
            from = to;
        }
    }
    stretches
}
