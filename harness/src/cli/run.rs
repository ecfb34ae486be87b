//! `speck run` and `speck report`.

use super::device::Device;
use super::{Mode, complain, say};
use crate::config::Experiment;
use crate::run::{Display, RunOptions, run as run_experiment, store_path};
use crate::{RunError, registries, report};
use clap::Args;
use speck_engine::kernels::Choice;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args)]
pub(super) struct RunArguments {
    /// The experiment file (TOML).
    experiment: PathBuf,
    /// Folder of stores and checkpoints.
    #[arg(long, default_value = "runs")]
    runs: PathBuf,
    /// The report to write, instead of one beside the store.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Threads in all [default: the machine's cores].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Runs side by side, each with its share of the threads [default: the threads].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Force kernel variants, as in SPECK_KERNEL: matmul:avx2,exp:scalar; * is every kernel.
    #[arg(long, value_name = "KERNEL:VARIANT")]
    kernel: Option<String>,
    /// Where it runs: cpu, gpu, gpu:N, or auto for a GPU if there is one.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Whether every pixel is computed or what differs.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Least seconds between two checkpoints of a run.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    checkpoint_every: f64,
    /// List the runs and stop.
    #[arg(long)]
    dry_run: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

pub(super) fn choice(kernel: Option<&str>) -> Result<Choice, RunError> {
    Ok(match kernel {
        Some(text) => Choice::parse(text)?,
        None => Choice::from_environment()?,
    })
}

pub(super) fn run(arguments: &RunArguments) -> Result<(), RunError> {
    let experiment = Experiment::load(&arguments.experiment, &registries())?;
    let kernels = choice(arguments.kernel.as_deref())?.on(arguments.device.open()?);
    let checkpoint_interval = Duration::try_from_secs_f64(arguments.checkpoint_every)
        .map_err(|error| RunError::Usage(format!("--checkpoint-every: {error}")))?;
    if arguments.dry_run {
        let lines = experiment
            .runs
            .iter()
            .map(|run| format!("{}  {}  seed {}\n", run.id(), run.label(), run.seed));
        return say(&lines.collect::<String>());
    }
    if let (Some(gpu), false) = (kernels.gpu(), arguments.quiet) {
        complain(&super::device::announcement(gpu));
    }
    if let Some(out) = &arguments.report {
        report::check(out)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(cores, usize::from);
    let options = RunOptions {
        folder: arguments.runs.clone(),
        threads,
        jobs: arguments.jobs.map_or(threads, usize::from),
        kernels,
        mode: arguments.mode.into(),
        checkpoint_interval,
        display: if arguments.quiet { Display::Quiet } else { Display::Shown },
    };
    let store = run_experiment(&experiment, &options)?;
    let path = store.path().to_owned();
    let table = report::terminal_table(&store)?;
    drop(store);
    let out = arguments.report.clone().unwrap_or_else(|| path.with_extension("html"));
    let summary = report::write(&path, &out)?;
    say(&format!("{table}\nreport: {}\n", summary.path.display()))
}

/// `speck report`.
pub(super) fn report(store: &Path, runs: &Path, out: Option<PathBuf>) -> Result<(), RunError> {
    // A name, unless it is a path to something.
    let named = store_path(runs, &store.to_string_lossy());
    let is_name = store.components().count() == 1 && store.extension() != Some("sqlite".as_ref());
    let path = if is_name && !store.is_file() { named } else { store.to_owned() };
    let out = out.unwrap_or_else(|| path.with_extension("html"));
    let summary = report::write(&path, &out)?;
    say(&format!("report: {}\n", summary.path.display()))
}
