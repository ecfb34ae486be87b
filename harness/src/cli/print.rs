//! `speck print`.

use super::run::choice;
use super::say;
use crate::config::{Experiment, RunConfig};
use crate::data::DataSettings;
use crate::{RunError, registries};
use clap::Args;
use speck_learners::Setup;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct PrintArguments {
    /// The experiment file (TOML).
    experiment: PathBuf,
    /// Which run: its number in `speck run --dry-run`, from 1, or its id.
    #[arg(long, default_value = "1")]
    run: String,
    /// Force kernel variants, as in SPECK_KERNEL: matmul:avx2,exp:scalar.
    #[arg(long, value_name = "KERNEL:VARIANT")]
    kernel: Option<String>,
}

pub(super) fn print(arguments: &PrintArguments) -> Result<(), RunError> {
    let experiment = Experiment::load(&arguments.experiment, &registries())?;
    let number = arguments.run.parse::<usize>().ok();
    let found = experiment
        .runs
        .iter()
        .enumerate()
        .find(|(i, run)| number == Some(i + 1) || run.id() == arguments.run);
    let Some((_, run)) = found else {
        return Err(RunError::Usage(format!(
            "--run {}: the experiment has the runs 1 to {}; `speck run --dry-run` lists them",
            arguments.run,
            experiment.runs.len()
        )));
    };
    let RunConfig { data, model, learner, seed, .. } = run;
    let missing = |what: &str, name: &str| RunError::Usage(format!("there is no {what} `{name}`"));
    let architecture = speck_models::find(&model.0).ok_or_else(|| missing("model", &model.0))?;
    let entry = speck_learners::find(&learner.0).ok_or_else(|| missing("learner", &learner.0))?;
    let setup = Setup {
        model: (architecture.make)(&model.1)?.into(),
        shape: DataSettings::new(data)?.shape(learner.1.usize("batch")),
        seed: *seed,
        kernels: choice(arguments.kernel.as_deref())?,
    };
    let description = (entry.make)(&learner.1, setup)?.describe();
    say(&format!(
        "{}, seed {seed}: {} parameters\n{}",
        run.label(),
        description.parameters,
        description.program
    ))
}
