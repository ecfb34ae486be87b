//! Running an experiment: every run's phases, side by side on the cores, into
//! the store.

mod course;
pub mod evaluate;
mod job;
mod members;
mod progress;
mod setup;
pub mod stage;
mod training;

pub(crate) use course::{Making, pupil};
pub use progress::Display;
pub use setup::learner;

use crate::config::{Experiment, RunConfig};
use crate::store::{Plan, RunRecord, Store};
use crate::{RunError, files};
use job::Job;
use progress::Progress;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How an experiment is run. Nothing here changes a result.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Folder of stores and checkpoints.
    pub folder: PathBuf,
    /// Threads in all.
    pub threads: usize,
    /// Runs side by side; each gets its share of the threads.
    pub jobs: usize,
    /// Forced kernel variants.
    pub kernels: Choice,
    /// Whether programs compute every pixel or what differs.
    pub mode: Mode,
    /// Least time between two checkpoints of a run.
    pub checkpoint_interval: Duration,
    /// Whether bars are drawn.
    pub display: Display,
}

/// Where an experiment's store is.
pub fn store_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sqlite"))
}

/// Runs what the store does not hold yet and returns the store.
///
/// # Errors
/// The first failure of any run; the others stop at their next phase. What was
/// finished is in the store.
pub fn run(experiment: &Experiment, options: &RunOptions) -> Result<Store, RunError> {
    let path = store_path(&options.folder, &experiment.name);
    // Nothing is made for an experiment that cannot be run.
    let jobs: Result<Vec<Job<'_>>, _> =
        experiment.runs.iter().map(|run| Job::new(run, experiment, options)).collect();
    let jobs = jobs?;
    let mut store = Store::open(&path)?;
    let _lock = lock(&path.with_extension("lock"))?;
    store.set_plan(&Plan {
        name: experiment.name.clone(),
        runs: experiment.runs.iter().map(RunConfig::id).collect(),
    })?;
    for run in &experiment.runs {
        store.record_run(&record(run))?;
    }

    let progress = Progress::new(options.display, jobs.iter().map(|job| job.steps()).sum());
    let store = Mutex::new(store);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failure: Mutex<Option<RunError>> = Mutex::new(None);
    let workers = options.jobs.clamp(1, jobs.len().max(1));
    let threads = (options.threads / workers).max(1);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (jobs, progress, store) = (&jobs, &progress, &store);
            let (next, stop, failure) = (&next, &stop, &failure);
            scope.spawn(move || {
                let work = || {
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let bar = progress.start(&job.label, job.steps());
                        if let Err(error) = job.run(store, &bar, stop) {
                            stop.store(true, Ordering::Relaxed);
                            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                            first.get_or_insert(error);
                        }
                        bar.finish();
                    }
                };
                let name = move |thread| format!("speck-{worker}-{thread}");
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name);
                match pool.build() {
                    Ok(pool) => pool.install(work),
                    // Without threads of its own the run goes on this one.
                    Err(_) => work(),
                }
            });
        }
    });
    progress.finish();
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(store.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn record(run: &RunConfig) -> RunRecord {
    RunRecord {
        id: run.id(),
        label: run.label(),
        config_json: run.canonical_json(),
        seed: run.seed,
        model: run.model_label.clone(),
        learner: run.learner_label.clone(),
        data_label: run.data_label.clone(),
    }
}

/// One `speck run` at a time works on a store.
fn lock(path: &Path) -> Result<File, RunError> {
    let failed = |source| RunError::File { path: path.to_owned(), source };
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A phase's name as a file name.
fn file_name(phase: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{}.safetensors", phase.chars().map(safe).collect::<String>())
}

/// Removes a file that is no longer needed; a leftover does no harm.
fn discard(path: &Path) {
    files::remove(path);
}
