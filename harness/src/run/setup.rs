//! From a run's config to its learner.

use crate::RunError;
use crate::config::RunConfig;
use speck_engine::DType;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_learners::{BatchShape, Learner, Setup};
use speck_models::settings::{SettingError, Settings};

/// The run's learner on the run's model, untrained, for batches of `shape`. The
/// learner's settings are the run's own, or those of a retraining.
///
/// # Errors
/// A model or learner that no registry has, or that do not fit each other.
pub fn learner(
    run: &RunConfig,
    settings: &Settings,
    shape: BatchShape,
    kernels: &Choice,
    mode: Mode,
) -> Result<Box<dyn Learner>, RunError> {
    let (kind, model_settings) = &run.model;
    let model = speck_models::find(kind).ok_or_else(|| unknown("model", kind))?;
    let kind = &run.learner.0;
    let entry = speck_learners::find(kind).ok_or_else(|| unknown("learner", kind))?;
    let setup = Setup {
        model: (model.make)(model_settings)?.into(),
        shape,
        seed: run.seed,
        kernels: kernels.clone(),
        float: DType::F32,
        mode,
    };
    Ok((entry.make)(settings, setup)?)
}

/// A kind that the experiment's check let through but no registry has.
pub(super) fn unknown(what: &str, kind: &str) -> RunError {
    RunError::Setting(SettingError::new(what, format!("there is no {what} `{kind}`")))
}
