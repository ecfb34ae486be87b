//! `speck print`.

use super::device::Device;
use super::run::choice;
use super::{Mode, say};
use crate::config::{Experiment, RunConfig};
use crate::data::{DataSettings, Source};
use crate::run::learner;
use crate::{RunError, registries};
use clap::Args;
use speck_engine::StepTiming;
use speck_learners::{Batches, Learner};
use std::fmt::Write;
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
    /// Where it runs: cpu, gpu, gpu:N, or auto.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Whether every pixel is computed or what differs.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// One JSON object: the plan of the program and its ledger.
    #[arg(long, conflicts_with = "time")]
    json: bool,
    /// Run some steps and print what each kernel call takes, slowest first.
    #[arg(long)]
    time: bool,
}

/// Steps run to time one: the fastest of each call counts.
const TIMED_STEPS: usize = 20;

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
    let RunConfig { data, learner: (_, settings), seed, .. } = run;
    let source = Source::new(&DataSettings::new(data)?, settings.usize("batch"), *seed);
    let kernels = choice(arguments.kernel.as_deref())?.on(arguments.device.open()?);
    let mut learner = learner(run, settings, source.shape(), &kernels, arguments.mode.into())?;
    if arguments.time {
        return say(&times(&mut *learner, &source)?);
    }
    let description = learner.describe();
    if arguments.json {
        let value = serde_json::json!({
            "run": run.id(),
            "label": run.label(),
            "seed": seed,
            "parameters": description.parameters,
            "plan": crate::ledger::plan(&description.plan),
            "ledger": crate::ledger::ledger(&description.ledger),
            "program": description.program,
        });
        return say(&format!("{value}\n"));
    }
    let mut text = format!("{}, seed {seed}: {} parameters\n", run.label(), description.parameters);
    // A learner without a rendered screen to rewrite has no plan.
    if !description.plan.why.is_empty() {
        let _ = write!(text, "{}\n{}\n", description.plan, description.ledger);
    }
    say(&(text + &description.program))
}

/// A table of the kernel calls of one step: the fastest of some steps each.
fn times(learner: &mut dyn Learner, source: &Source) -> Result<String, RunError> {
    let mut best: Vec<StepTiming> = learner.profile(source)?;
    for _ in 1..TIMED_STEPS {
        for (best, now) in best.iter_mut().zip(learner.profile(source)?) {
            best.seconds = best.seconds.min(now.seconds);
        }
    }
    let total: f64 = best.iter().map(|step| step.seconds).sum();
    best.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut text =
        format!("{:>9}  {:>5}  {:>8}  {:>7}  layer and kernel\n", "ms", "share", "GFLOP/s", "GB/s");
    for step in &best {
        let rate = |work: u64| work as f64 / step.seconds.max(1e-9) / 1e9;
        let _ = writeln!(
            text,
            "{:9.4}  {:4.1}%  {:8.1}  {:7.1}  {}  {}",
            step.seconds * 1e3,
            100.0 * step.seconds / total,
            rate(step.cost.flops),
            rate(step.cost.read + step.cost.written),
            if step.path.is_empty() { "-" } else { &step.path },
            shortened(&step.kernel)
        );
    }
    let _ = writeln!(
        text,
        "{:9.4}  sum of {} calls, each the fastest of {TIMED_STEPS}",
        total * 1e3,
        best.len()
    );
    Ok(text)
}

/// The kernels of a group, with a count in place of a long tail.
fn shortened(kernels: &str) -> String {
    let names: Vec<_> = kernels.split('+').collect();
    match names.len() {
        0..=4 => names.join(" + "),
        n => format!("{} + {} more", names[..3].join(" + "), n - 3),
    }
}
