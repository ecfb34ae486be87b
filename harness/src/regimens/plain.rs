//! One training from the first step to the last.

use super::{Regimen, Stretch, total};

pub(super) const REGIMEN: Regimen = Regimen {
    name: super::DEFAULT,
    summary: "one training from the first step to the last",
    source: "the usual way",
    dimensions: &[],
    stretches: |run, _| Ok(vec![Stretch::of(run, "training", total(run))]),
};
