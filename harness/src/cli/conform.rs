//! `speck conform`.

use super::device::Device;
use super::{Mode, complain, say};
use crate::RunError;
use crate::conform::{self, FileOutcome, Kernels, Outcome, Status};
use clap::Args;
use speck_engine::check::shaders::Found;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::Gpu;
use speck_engine::{DType, check, structure};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// With a GPU: besides, every shader and variant against the scalar kernels, and the
    /// largest difference of each in units in the last place.
    #[arg(long)]
    ulp: bool,
    /// One JSON object a case.
    #[arg(long)]
    json: bool,
}

pub(super) fn conform(arguments: &ConformArguments) -> Result<(), RunError> {
    let device = arguments.device.open()?;
    if arguments.ulp && device.is_none() {
        return Err(RunError::Usage("--ulp: shaders run on a GPU (--device gpu)".to_owned()));
    }
    let gpu = device.clone().filter(|_| arguments.ulp);
    let kernels = match device {
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
    let mut failed = count(Status::Fail);
    if let Some(gpu) = gpu {
        failed += shaders(&gpu, arguments.json)?;
    }
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

/// Says what was seen of every shader: the largest difference of the cases that it was
/// dispatched in, and of those in which no other computed. Gives how many cases failed.
fn shaders(gpu: &Arc<Gpu>, json: bool) -> Result<usize, RunError> {
    let mut op = String::new();
    let report = check::shaders::check(gpu, &|_| true, &mut |name| {
        if op != name {
            op = name.to_owned();
            complain(&format!("shaders of {op}"));
        }
    });
    if !json {
        let (all, alone) = ("ULP of cases", "as only shader");
        say(&format!("{:34}{:>6}{all:>14}{alone:>16}\n", "shader", "cases"))?;
    }
    for Found { shader, cases, units, alone, refused } in &report.shaders {
        say(&match (json, refused) {
            (true, _) => format!(
                "{}\n",
                serde_json::json!({
                    "shader": shader, "cases": cases, "ulp": units, "ulp_alone": alone,
                    "refused": refused,
                })
            ),
            (_, Some(reason)) => format!("{shader:34}refused: {reason}\n"),
            _ => {
                let alone = alone.map_or("-".to_owned(), |units| format!("{units:.1}"));
                format!("{shader:34}{cases:>6}{units:>14.1}{alone:>16}\n")
            }
        })?;
    }
    report.failures.iter().for_each(|failure| complain(failure));
    Ok(report.failures.len())
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
