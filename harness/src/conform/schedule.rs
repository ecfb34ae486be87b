//! Repeating sequences of learning rates.

use super::case::{Failed, Kernels, agree, failed, outcome};
use super::file::{FileError, ScheduleSpec};
use super::train::{setting, unsupported};
use super::{FileOutcome, file};
use speck_learners::gradient::schedules::{self, Place};
use speck_models::settings::{Settings, Value, resolve};
use std::path::Path;

/// Allowed error of a rate, relative to it.
const TOLERANCE: f64 = 1e-7;

/// The outcomes of a file of sequences; `None` if it holds something else.
pub(super) fn run_file(path: &Path, kernels: &Kernels) -> Result<Option<FileOutcome>, FileError> {
    let Some(specs) = file::read_schedules(path)? else { return Ok(None) };
    // Schedules run on no kernel, and in f64 only.
    let mut kernels = kernels.clone();
    kernels.runs.truncate(1);
    let one = |spec: &ScheduleSpec| {
        let op = format!("schedule/{}", spec.schedule);
        let case = format!("{} steps", spec.lr.len());
        outcome(&op, &case, &kernels, |_, _| check(spec))
    };
    let cases = specs.iter().map(one).collect();
    Ok(Some(FileOutcome { op: "schedules".to_owned(), cases }))
}

fn check(spec: &ScheduleSpec) -> Result<f64, Failed> {
    let settings = settings(spec)?;
    if spec.metric.as_ref().is_some_and(|metric| metric.len() < spec.lr.len()) {
        return Err(failed("fewer metrics than rates"));
    }
    let schedule = schedules::make(&settings);
    let mut memory = schedule.memory();
    let mut found = Vec::new();
    for step in 0..spec.lr.len() {
        let place = Place { base: spec.base_lr, step: step as u64, total: spec.lr.len() as u64 };
        found.push(schedule.rate(place, &memory));
        if let Some(metric) = &spec.metric {
            schedule.observe(place, metric[step], &mut memory);
        }
    }
    agree("lr", &found, &spec.lr, |_, expected| {
        (TOLERANCE * expected.abs() + f64::MIN_POSITIVE, expected.abs())
    })
}

/// The gradient learner's settings for a schedule under the names that the
/// reference has.
fn settings(spec: &ScheduleSpec) -> Result<Settings, Failed> {
    let name = match spec.schedule.as_str() {
        "linear_warmup_cosine" => "cosine",
        "linear_warmup" => "constant",
        name => name,
    };
    let mut given = vec![
        ("schedule".to_owned(), Value::Text(name.to_owned())),
        ("rate".to_owned(), Value::Float(spec.base_lr)),
    ];
    if name == "reduce_on_plateau" {
        given.push(("plateau_steps".to_owned(), Value::Int(1)));
    }
    for (key, value) in spec.hyper.iter().filter(|(_, value)| !value.is_null()) {
        let own = match (name, key.as_str()) {
            ("reduce_on_plateau", "patience") => "plateau_patience",
            ("reduce_on_plateau", "eps") => "smallest_fall",
            ("cyclic", "mode") => "cycle_mode",
            ("linear", key) => key,
            (_, "start_factor") => "warmup_factor",
            (_, "anneal_strategy") => "anneal",
            (_, key) => key,
        };
        given.push((own.to_owned(), setting(key, value)?));
    }
    let dimensions = speck_learners::find("gradient").map_or(&[][..], |entry| entry.dimensions);
    resolve(dimensions, &given).map_err(|error| unsupported(error.to_string()))
}
