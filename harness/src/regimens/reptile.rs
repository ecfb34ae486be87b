//! Reptile: the weights go towards those that some steps in each task lead to.

use super::Regimen;
use super::maml::stretches;
use speck_learners::gradient::meta;

pub(super) const REGIMEN: Regimen = Regimen {
    name: "reptile",
    summary: "θ ← θ + rate · (mean over tasks of θ' - θ), θ' after inner steps on samples of their own; tasks are what data that are random-batch draw",
    source: "Nichol, Achiam, Schulman, \"On First-Order Meta-Learning Algorithms\", 2018",
    dimensions: meta::ALL[2].dimensions,
    stretches: |run, settings| stretches(run, settings, "reptile"),
};
