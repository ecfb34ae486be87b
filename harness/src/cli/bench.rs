//! `speck bench`.

use super::device::Device;
use super::{Mode, complain, say};
use crate::RunError;
use crate::bench::evaluation::Pair;
use crate::bench::ops::{self, Row, Settings};
use crate::bench::steps::{Subject, Timing, WORKS, Work};
use crate::bench::{self, Peaks, large};
use crate::data::{Background, background};
use crate::files::write_atomically;
use clap::{Args, Subcommand, ValueEnum};
use speck_engine::OpInfo;
use speck_engine::kernels::Choice;
use speck_learners::drift::{Drift, OPTIMIZERS, measure};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum Bench {
    /// Time the kernel variants of ops against each other and the machine.
    Ops(OpsArguments),
    /// Time training steps of fixed works.
    Steps(StepsArguments),
    /// Measure how far weights that are updated by rows are from the dense ones.
    Drift(DriftArguments),
    /// Time the evaluation of all 4096 positions, dense against structured.
    Evaluation(EvaluationArguments),
}

#[derive(Args)]
pub(super) struct OpsArguments {
    /// Only these ops, separated by commas [default: all].
    #[arg(long, value_delimiter = ',', value_name = "OP")]
    op: Vec<String>,
    /// Only variants of this name.
    #[arg(long)]
    variant: Option<String>,
    /// Shapes of the op's inputs, as in 256x512,512x128 [default: those of the
    /// lab's models]; needs one --op.
    #[arg(long, value_delimiter = ',', value_name = "SHAPE")]
    shape: Vec<String>,
    /// Instead, programs limited by memory on 50 million values: element-wise ops,
    /// norms and their gradients, updates of optimizers; --op picks some. Takes
    /// 1.5 GB.
    #[arg(long, conflicts_with_all = ["variant", "shape"])]
    large: bool,
    /// Where: cpu, gpu, gpu:N, or auto. On a GPU all ops are timed by its own clock.
    #[arg(long, default_value = "cpu", conflicts_with = "large")]
    device: Device,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Rounds over all variants.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// On a GPU: seconds for the rounds of a row. What would take much longer for one
    /// round is left out, and said.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    budget: f64,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
    /// A page with the roofline, to be written here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct StepsArguments {
    /// Only these works, separated by commas [default: all].
    #[arg(long, value_delimiter = ',', value_name = "WORK")]
    work: Vec<String>,
    /// Whether every pixel is computed or what differs.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Colour of the background: a colour, random-batch or random-sample.
    #[arg(long, default_value = "black", value_parser = read_background)]
    background: Background,
    /// Threads [default: as many as the machine has].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// In what the operands of products are stored: f32, bf16, f16; of several,
    /// steps are timed in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    storage: Vec<Storage>,
    /// Where: cpu, gpu, gpu:N, or auto.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Seconds for each work.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Force kernel variants, as in SPECK_KERNEL: matmul:avx2,exp:scalar.
    #[arg(long, value_name = "KERNEL:VARIANT")]
    kernel: Option<String>,
    /// One JSON object a work.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Storage {
    F32,
    Bf16,
    F16,
}

impl Storage {
    fn name(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::Bf16 => "bf16",
            Storage::F16 => "f16",
        }
    }
}

#[derive(Args)]
pub(super) struct DriftArguments {
    /// Only these optimizers, separated by commas [default: all].
    #[arg(long, value_delimiter = ',', value_name = "OPTIMIZER")]
    optimizer: Vec<String>,
    /// Steps of training.
    #[arg(long, default_value_t = speck_learners::drift::STEPS)]
    steps: u64,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct EvaluationArguments {
    /// Only these works, separated by commas [default: each model once].
    #[arg(long, value_delimiter = ',', value_name = "WORK")]
    work: Vec<String>,
    /// Colour of the background: a colour, random-batch or random-sample.
    #[arg(long, default_value = "black", value_parser = read_background)]
    background: Background,
    /// Steps of training before.
    #[arg(long, default_value_t = 20)]
    steps: u16,
    /// Threads [default: as many as the machine has].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Rounds: both are timed in turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Force kernel variants, as in SPECK_KERNEL: matmul:avx2,exp:scalar.
    #[arg(long, value_name = "KERNEL:VARIANT")]
    kernel: Option<String>,
    /// One JSON object a work.
    #[arg(long)]
    json: bool,
}

/// Fewest steps timed of a work, however long they take.
const FEWEST: usize = 5;

pub(super) fn bench(command: &Bench) -> Result<(), RunError> {
    match command {
        Bench::Ops(arguments) => ops(arguments),
        Bench::Steps(arguments) => steps(arguments),
        Bench::Drift(arguments) => drift(arguments),
        Bench::Evaluation(arguments) => evaluation(arguments),
    }
}

fn read_background(text: &str) -> Result<Background, String> {
    Background::read(text)
        .ok_or_else(|| format!("is neither a colour nor one of {}", background::WORDS.join(", ")))
}

fn threads(wanted: Option<u16>) -> usize {
    let here = || std::thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or_else(here, usize::from)
}

fn usage(message: String) -> RunError {
    RunError::Usage(message)
}

/// The entries called `names`, in the registry's order; all if there are none.
fn named<'a, T>(
    all: &'a [T],
    names: &[String],
    what: &str,
    name_of: impl Fn(&'a T) -> &'static str,
) -> Result<Vec<&'a T>, RunError> {
    for name in names {
        if !all.iter().any(|entry| name_of(entry) == name) {
            let known = all.iter().map(&name_of);
            let near = speck_models::settings::nearest(name, known);
            let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            return Err(usage(format!("there is no {what} `{name}`{hint}")));
        }
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    Ok(all.iter().filter(|entry| wanted(name_of(entry))).collect())
}

fn shapes(texts: &[String]) -> Result<Option<Vec<Vec<usize>>>, RunError> {
    let shape = |text: &String| {
        let sizes = text.split('x').map(|size| size.trim().parse::<usize>());
        sizes.collect::<Result<Vec<_>, _>>().map_err(|_| {
            usage(format!("--shape {text}: sizes are whole numbers with x between, as in 64x128"))
        })
    };
    let shapes = texts.iter().map(shape).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(shapes).filter(|shapes| !shapes.is_empty()))
}

/// `speck bench ops --large`.
fn large_ops(arguments: &OpsArguments) -> Result<(), RunError> {
    let chosen = named(large::ALL, &arguments.op, "work on large arrays", |large| large.name)?;
    timed(arguments, &Choice::default(), COLUMNS, |peaks, row| {
        for large in chosen {
            let rounds = usize::from(arguments.rounds);
            row(large::run(large, rounds, peaks).map_err(|error| usage(error.to_string()))?)?;
        }
        Ok(())
    })
}

fn ops(arguments: &OpsArguments) -> Result<(), RunError> {
    if arguments.large {
        return large_ops(arguments);
    }
    let device = Choice::default().on(arguments.device.open()?);
    // On a GPU an op may have a shader where the processor has no kernel of its own.
    let timed_op = |op: &&OpInfo| match device.gpu() {
        Some(_) => bench::gpu::is_shaded(op),
        None => !(op.kernels)().is_empty(),
    };
    let with_kernels: Vec<&OpInfo> =
        speck_engine::ops::ALL.iter().copied().filter(timed_op).collect();
    let chosen = named(&with_kernels, &arguments.op, "op with kernels", |op| op.name)?;
    if !arguments.shape.is_empty() && chosen.len() != 1 {
        return Err(usage("--shape needs exactly one --op".to_owned()));
    }
    if let Some(variant) = &arguments.variant
        && device.gpu().is_none()
    {
        // The parser of forced variants knows the names and the nearest one.
        Choice::parse(&format!("*:{variant}"))?;
    }
    let settings = Settings {
        variant: arguments.variant.clone(),
        shapes: shapes(&arguments.shape)?,
        rounds: usize::from(arguments.rounds),
        budget: arguments.budget,
        ..Settings::default()
    };
    if arguments.budget.is_nan() || arguments.budget < 0.0 {
        return Err(usage(format!("--budget {} is no length of time", arguments.budget)));
    }
    for op in &chosen {
        ops::check(op, &settings).map_err(|error| usage(error.told(op)))?;
    }
    timed(arguments, &device, widths(&chosen, &settings), |peaks, row| {
        for (number, op) in chosen.iter().enumerate() {
            if device.gpu().is_some() {
                let mut told = Told { row: &mut *row, number: number + 1, of: chosen.len() };
                bench::gpu::run(op, &settings, peaks, &device, &mut told)?;
                continue;
            }
            let rows = ops::run(op, &settings, peaks);
            let rows = rows.map_err(|error| usage(error.told(op)))?;
            rows.into_iter().try_for_each(&mut *row)?;
        }
        Ok(())
    })
}

/// Rows as they come, and on the error stream what is timed.
struct Told<'a> {
    row: &'a mut dyn FnMut(Row) -> Result<(), RunError>,
    number: usize,
    of: usize,
}

impl bench::gpu::Listener for Told<'_> {
    fn row(&mut self, row: Row) -> Result<(), RunError> {
        (self.row)(row)
    }
    fn progress(&mut self, line: &str) {
        complain(&format!("[{}/{}] {line}", self.number, self.of));
    }
}

/// Measures the machine, then says what `work` times, row by row.
fn timed(
    arguments: &OpsArguments,
    device: &Choice,
    widths: [usize; 3],
    work: impl FnOnce(&Peaks, &mut dyn FnMut(Row) -> Result<(), RunError>) -> Result<(), RunError>
    + Send,
) -> Result<(), RunError> {
    let timed = bench::on_threads(usize::from(arguments.threads), || -> Result<_, RunError> {
        let peaks = Peaks::of(device).map_err(usage)?;
        if arguments.json {
            say(&format!("{}\n", serde_json::json!(peaks)))?;
        } else {
            say(&format!("{}\n{}\n", peaks_line(&peaks), heading(widths)))?;
        }
        let mut all = Vec::new();
        work(&peaks, &mut |row: Row| {
            match arguments.json {
                true => say(&format!("{}\n", serde_json::json!(row)))?,
                false => say(&line(&row, widths))?,
            }
            all.push(row);
            Ok(())
        })?;
        Ok((peaks, all))
    });
    let (peaks, rows) = timed.map_err(usage)??;
    if let Some(path) = &arguments.html {
        let page = bench::page(&rows, &peaks);
        write_atomically(path, page.as_bytes())
            .map_err(|source| RunError::File { path: path.clone(), source })?;
        complain(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn peaks_line(peaks: &Peaks) -> String {
    let whose = match peaks.threads {
        _ if peaks.on_gpu() => peaks.device.clone(),
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    format!(
        "{whose}: {:.0} GFLOP/s of multiply-adds ({}), {:.1} GB/s of a copy",
        peaks.flops / 1e9,
        peaks.variant,
        peaks.bandwidth / 1e9
    )
}

/// The usual widths of the columns of op, case and variant.
const COLUMNS: [usize; 3] = [24, 30, 16];

/// Width of the op's, the case's and the variant's columns: what is longest of an
/// op that is known before it is timed, and no less than the usual.
fn widths(ops: &[&&OpInfo], settings: &Settings) -> [usize; 3] {
    let mut widths = COLUMNS.map(|width| width - 2);
    let widen = |width: &mut usize, text: &str| *width = (*width).max(text.chars().count());
    for op in ops {
        widen(&mut widths[0], op.name);
        for case in bench::cases::cases(op) {
            widen(&mut widths[1], &ops::label(&case, settings));
        }
        for variant in (op.kernels)().iter().flat_map(|kernel| &kernel.f32) {
            widen(&mut widths[2], variant.name);
        }
    }
    widths.map(|width| width + 2)
}

fn heading([op, case, variant]: [usize; 3]) -> String {
    format!(
        "{:op$}{:case$}{:variant$}{:>12}{:>10}{:>8}{:>7}{:>8}{:>8}{:>12}",
        "op", "case", "variant", "us", "GFLOP/s", "GB/s", "roof", "ratio", "error", "ULP"
    )
}

fn line(row: &Row, [op, case, variant]: [usize; 3]) -> String {
    format!(
        "{:op$}{:case$}{:variant$}{:>12.1}{:>10}{:>8}{:>6.0}%{:>7.2}x{:>8}{:>12}\n",
        row.op,
        row.case,
        row.variant,
        row.seconds * 1e6,
        bench::rate(row.flops, row.seconds),
        bench::rate(row.bytes, row.seconds),
        row.share * 100.0,
        row.ratio,
        bench::error(row.error),
        bench::units(row.ulps),
    )
}

fn steps(arguments: &StepsArguments) -> Result<(), RunError> {
    let chosen = named(WORKS, &arguments.work, "work", |work| work.name)?;
    if !(arguments.seconds >= 0.0 && arguments.seconds.is_finite()) {
        return Err(usage(format!("--seconds {} is no length of time", arguments.seconds)));
    }
    let device = arguments.device.open()?;
    let kernels = super::run::choice(arguments.kernel.as_deref())?.on(device);
    let threads = threads(arguments.threads);
    bench::on_threads(threads, || -> Result<(), RunError> {
        let peaks = Peaks::of(&kernels).map_err(usage)?;
        if !arguments.json {
            say(&format!(
                "{}\n{:10}{:>5}{:>7}{:>12}{:>12}{:>7}{:>14}{:>10}{:>7}{:>12}\n",
                peaks_line(&peaks),
                "work",
                "",
                "batch",
                "median ms",
                "least ms",
                "steps",
                "samples/s",
                "GFLOP/s",
                "peak",
                "device ms"
            ))?;
        }
        // Steps of a work may take a minute each on a program on the processor.
        let software = kernels.gpu().is_some_and(|gpu| gpu.is_software());
        let fewest = if software { 1 } else { FEWEST };
        if let Some(gpu) = kernels.gpu() {
            complain(&super::device::announcement(gpu));
        }
        for work in chosen {
            if kernels.gpu().is_some() {
                complain(&format!("{} …", work.name));
            }
            let failed = |error: bench::steps::WorkError| usage(error.to_string());
            let (mode, background) = (arguments.mode.into(), arguments.background);
            let subject = |storage: &Storage| {
                Subject::new(work, kernels.clone(), mode, background, storage.name())
            };
            let subjects = arguments.storage.iter().map(subject);
            let mut subjects: Vec<_> = subjects.collect::<Result<_, _>>().map_err(failed)?;
            let wanted = |subject: &Subject| {
                subject.timed().0 < arguments.seconds || subject.timed().1 < fewest
            };
            while subjects.iter().any(wanted) {
                subjects.iter_mut().try_for_each(Subject::step).map_err(failed)?;
            }
            for subject in &mut subjects {
                if kernels.gpu().is_some() {
                    (0..fewest).try_for_each(|_| subject.step_on_device()).map_err(failed)?;
                }
                let timing = subject.timing(&peaks);
                match arguments.json {
                    true => say(&format!("{}\n", serde_json::json!(timing)))?,
                    false => say(&step_line(&timing))?,
                }
            }
        }
        Ok(())
    })
    .map_err(usage)?
}

fn step_line(timing: &Timing) -> String {
    format!(
        "{:10}{:>5}{:>7}{:>12.2}{:>12.2}{:>7}{:>14.0}{:>10.1}{:>6.0}%{:>12}\n",
        timing.work,
        timing.storage,
        timing.batch,
        timing.ms_median,
        timing.ms_min,
        timing.n,
        timing.samples_per_s,
        timing.gflops,
        timing.share_of_peak * 100.0,
        timing.device_ms.map_or("-".to_owned(), |ms| format!("{ms:.2}"))
    )
}

fn drift(arguments: &DriftArguments) -> Result<(), RunError> {
    let optimizers =
        named(OPTIMIZERS, &arguments.optimizer, "optimizer", |name| name)?.into_iter().copied();
    if !arguments.json {
        say(&format!(
            "distance from the dense program in f64 after {} steps, relative to the values\n\
             {:12}{:10}{:>10}{:>10}\n",
            arguments.steps, "optimizer", "rows", "f64", "f32"
        ))?;
    }
    for optimizer in optimizers {
        let all =
            measure(optimizer, &[], arguments.steps).map_err(|error| usage(error.to_string()))?;
        for Drift { optimizer, rows, double, single } in all {
            match arguments.json {
                true => say(&format!(
                    "{}\n",
                    serde_json::json!({
                        "optimizer": optimizer, "rows": rows, "f64": double, "f32": single,
                    })
                ))?,
                false => {
                    say(&format!("{optimizer:12}{rows:10}{double:>10.1e}{single:>10.1e}\n"))?;
                }
            }
        }
    }
    Ok(())
}

fn evaluation(arguments: &EvaluationArguments) -> Result<(), RunError> {
    let mut chosen = named(WORKS, &arguments.work, "work", |work| work.name)?;
    if arguments.work.is_empty() {
        let mut models: Vec<&Work> = Vec::new();
        for work in chosen {
            if !models.iter().any(|known| known.is_model_of(work)) {
                models.push(work);
            }
        }
        chosen = models;
    }
    let kernels = super::run::choice(arguments.kernel.as_deref())?;
    let threads = threads(arguments.threads);
    bench::on_threads(threads, || -> Result<(), RunError> {
        if !arguments.json {
            say(&format!(
                "{:10}{:>11}{:>12}{:>15}{:>8}{:>8}{:>13}\n",
                "work", "positions", "dense ms", "structured ms", "ratio", "rounds", "difference"
            ))?;
        }
        for work in chosen {
            let failed = |error: bench::steps::WorkError| usage(error.to_string());
            let steps = u64::from(arguments.steps);
            let mut pair =
                Pair::new(work, &kernels, arguments.background, steps).map_err(failed)?;
            for _ in 0..arguments.rounds {
                pair.round().map_err(failed)?;
            }
            let result = pair.result(threads);
            match arguments.json {
                true => say(&format!("{}\n", serde_json::json!(result)))?,
                false => say(&format!(
                    "{:10}{:>11}{:>12.1}{:>15.2}{:>7.1}x{:>8}{:>13.1e}\n",
                    result.work,
                    result.positions,
                    result.dense_ms,
                    result.structured_ms,
                    result.ratio,
                    result.n,
                    result.difference
                ))?,
            }
        }
        Ok(())
    })
    .map_err(usage)?
}
