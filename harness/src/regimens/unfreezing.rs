//! Gradual unfreezing: layers join the training one after the other.

use super::layers::{Layer, groups, layers};
use super::{Regimen, Stretch, needs_groups, total};
use crate::config::RunConfig;
use speck_models::settings::{Dimension, SettingError, Settings};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "unfreezing",
    summary: "gradual unfreezing: in stage i of n the first i layers are trained, counted from the output (or the image), the others stay as they are",
    source: "Howard, Ruder, \"Universal Language Model Fine-tuning for Text Classification\", 2018",
    dimensions: &[
        Dimension::choice(
            "from",
            "where the first trained layer is",
            &["output", "image"],
            "output",
        ),
        Dimension::float(
            "share",
            "share of the steps over which layers join; all are trained from then on",
            (0.0, 1.0),
            0.5,
        ),
    ],
    stretches,
};

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    needs_groups(run, REGIMEN.name)?;
    let mut order = layers(run)?;
    if settings.text("from") == "output" {
        order.reverse();
    }
    staged(run, &order, settings.float("share"))
}

/// Stages in which more and more layers are trained, in the order given, over a
/// share of the run's steps, then all of them. Each stage has new moments: those
/// of a layer that joins late would be corrected as if they were old.
pub(super) fn staged(
    run: &RunConfig,
    order: &[Layer],
    share: f64,
) -> Result<Vec<Stretch>, SettingError> {
    let (all, stages) = (total(run), order.len() as u64 - 1);
    let joining = (all as f64 * share).round() as u64;
    if stages > 0 && joining > 0 && joining < stages {
        let message = format!(
            "{joining} steps for {stages} layers to join in; {:.3} is the least",
            stages as f64 / all as f64
        );
        return Err(SettingError::new("share", message));
    }
    let mut from = 0;
    let mut stretches = Vec::new();
    for trained in 1..=stages {
        let to = joining * trained / stages;
        if to > from {
            let name = match trained {
                1 => format!("{} alone", order[0].name),
                _ => format!("{} joins", order[trained as usize - 1].name),
            };
            let frozen = groups(&order[trained as usize..], "frozen");
            let stretch = Stretch::of(run, name, to - from).scheduled(all, from);
            stretches.push(stretch.grouped(frozen));
            from = to;
        }
    }
    if from < all {
        stretches.push(Stretch::of(run, "all layers", all - from).scheduled(all, from));
    }
    Ok(stretches)
}
