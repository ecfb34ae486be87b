//! Linear probing: what the last layer can make of features that it did not shape.

use super::layers::{groups, names, split};
use super::{Regimen, Start, Stretch, needs_groups, share_of};
use crate::config::RunConfig;
use speck_models::settings::{Dimension, SettingError, Settings};

pub(super) const REGIMEN: Regimen = Regimen {
    name: "probing",
    summary: "linear probing: after a share of the steps the layers behind the early ones are drawn anew and trained alone, on features that stay as they are",
    source: "Alain, Bengio, \"Understanding Intermediate Layers Using Linear Classifier Probes\", 2016",
    dimensions: &[
        Dimension::float(
            "share",
            "share of the steps in which all layers are trained; 0 probes random features",
            (0.0, 1.0),
            0.5,
        ),
        Dimension::int(
            "probes",
            "layers from the output on that are drawn anew; one is a linear probe",
            (1, 1000),
            1,
        ),
    ],
    stretches,
};

fn stretches(run: &RunConfig, settings: &Settings) -> Result<Vec<Stretch>, SettingError> {
    needs_groups(run, REGIMEN.name)?;
    let all = super::layers(run)?.len();
    let probes = settings.usize("probes");
    if probes >= all {
        let message = format!(
            "{probes} of the {all} layers of `{}` leave no features; {} is the most",
            run.model.0,
            all.saturating_sub(1)
        );
        return Err(SettingError::new("probes", message));
    }
    let (features, probe) = split(run, "probes", all - probes)?;
    let [before, after] = share_of(run, settings.float("share"));
    let mut stretches = Vec::new();
    if before > 0 {
        stretches.push(Stretch::of(run, "all layers", before).scheduled(before, 0));
    }
    if after > 0 {
        let stretch = Stretch::of(run, "probe", after).scheduled(after, 0);
        let start = Start::Weights { renewed: names(&probe) };
        stretches.push(Stretch { start, ..stretch.grouped(groups(&features, "frozen")) });
    }
    Ok(stretches)
}
