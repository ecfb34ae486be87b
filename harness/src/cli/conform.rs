//! `speck conform`.

use super::device::Device;
use super::{Mode, say};
use crate::RunError;
use crate::conform::{self, FileOutcome, Kernels, Outcome, Status};
use clap::Args;
use speck_engine::kernels::Choice;
use speck_engine::{DType, structure};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct ConformArguments {
    /// A conformance file, or a folder of them.
    path: PathBuf,
    /// Where the programs run: cpu, gpu, gpu:N, or auto.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// The variant to force on every kernel that has it [default: the scalar
    /// kernels in f64 and the fastest in f32].
    #[arg(long, value_name = "VARIANT", conflicts_with = "device")]
    kernel: Option<String>,
    /// Whether training runs compute every pixel or what differs.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// One JSON object a case.
    #[arg(long)]
    json: bool,
}

pub(super) fn conform(arguments: &ConformArguments) -> Result<(), RunError> {
    let kernels = match arguments.device.open()? {
        None => kernels(arguments.kernel.as_deref(), arguments.mode.into())?,
        Some(gpu) => Kernels {
            name: gpu.name().to_owned(),
            runs: vec![(DType::F32, Choice::default().on(Some(gpu)))],
            mode: arguments.mode.into(),
        },
    };
    let mut outcomes = Vec::new();
    let mut unread = 0;
    for file in conform::files(&arguments.path)? {
        let Some(outcome) = conform::run(&file, &kernels)? else {
            unread += 1;
            continue;
        };
        if arguments.json {
            for case in &outcome.cases {
                say(&format!("{}\n", serde_json::json!(case)))?;
            }
        }
        outcomes.push(outcome);
    }
    let all = || outcomes.iter().flat_map(|outcome| &outcome.cases);
    let count = |status| all().filter(|case| case.status == status).count();
    let failed = count(Status::Fail);
    let (passed, unsupported) = (count(Status::Pass), count(Status::Unsupported));
    if !arguments.json {
        say(&table(&outcomes))?;
        match unread {
            0 => (),
            1 => say("1 file is of a kind that is not read\n")?,
            _ => say(&format!("{unread} files are of kinds that are not read\n"))?,
        }
        say(&format!("{passed} passed, {failed} failed, {unsupported} unsupported\n"))?;
    }
    if passed + failed + unsupported == 0 {
        let path = arguments.path.display();
        return Err(RunError::Usage(format!("{path}: there are no conformance cases here")));
    }
    if failed > 0 { Err(RunError::Conformance { failed }) } else { Ok(()) }
}

fn kernels(variant: Option<&str>, mode: structure::Mode) -> Result<Kernels, RunError> {
    let scalar = || Choice::parse("*:scalar");
    Ok(match variant {
        None => Kernels {
            name: "default".to_owned(),
            runs: vec![(DType::F64, scalar()?), (DType::F32, Choice::default())],
            mode,
        },
        Some("scalar") => Kernels {
            name: "scalar".to_owned(),
            runs: vec![(DType::F64, scalar()?), (DType::F32, scalar()?)],
            mode,
        },
        Some(variant) => Kernels {
            name: variant.to_owned(),
            runs: vec![(DType::F32, Choice::parse(&format!("*:{variant}"))?)],
            mode,
        },
    })
}

fn table(outcomes: &[FileOutcome]) -> String {
    let mut text = format!(
        "{:34}{:>6}{:>6}{:>13}{:>13}\n",
        "operator", "pass", "fail", "unsupported", "worst error"
    );
    for FileOutcome { op, cases } in outcomes {
        let count = |status| cases.iter().filter(|case| case.status == status).count();
        let worst = cases
            .iter()
            .filter_map(|case| case.max_rel_err)
            .fold(None, |worst, error| Some(error.max(worst.unwrap_or(0.0))));
        let worst = worst.map_or("-".to_owned(), |worst: f64| format!("{worst:.1e}"));
        let _ = writeln!(
            text,
            "{op:34}{:>6}{:>6}{:>13}{worst:>13}",
            count(Status::Pass),
            count(Status::Fail),
            count(Status::Unsupported),
        );
        let first = |case: &&Outcome| case.status == Status::Fail;
        if let Some(case) = cases.iter().find(first) {
            let _ = writeln!(text, "    case {}: {}", case.case, case.message);
        }
    }
    text
}
