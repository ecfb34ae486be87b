//! Every kernel variant of an op on the same input, in rounds.
//!
//! A variant is timed by running a program of the one op with the variant
//! forced: the kernel and its share of the executor. In each round every
//! variant runs once for some milliseconds, in turn, so that a machine that
//! slows down slows all of them; the median over the rounds counts. One more
//! program, the same as the first, is the control: its ratio to the first says
//! how far two equal things differ here and now. The multiply-adds of which a
//! variant reaches a share are measured in the rounds as well: a processor is not
//! as fast all the time.

use super::{Peaks, cases, median, time};
use serde::Serialize;
use speck_engine::kernels::{Choice, peak};
use speck_engine::op::Case;
use speck_engine::{
    CompileError, DType, GraphError, OpInfo, Options, Program, RunError, State, check,
};
use thiserror::Error;

/// What to time, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Only variants of this name.
    pub variant: Option<String>,
    /// Shapes of the inputs in place of those of the first case.
    pub shapes: Option<Vec<Vec<usize>>>,
    /// Rounds over all variants.
    pub rounds: usize,
    /// Seconds a variant runs in a round.
    pub seconds: f64,
    /// On a GPU: seconds a variant has for all rounds; one round it has in any case.
    pub budget: f64,
}

impl Default for Settings {
    /// All variants on the usual shapes, 9 rounds of 5 ms, a second on a GPU.
    fn default() -> Self {
        Settings { variant: None, shapes: None, rounds: 9, seconds: 0.005, budget: 1.0 }
    }
}

/// A variant on a case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The op.
    pub op: &'static str,
    /// The case.
    pub case: String,
    /// The kernel.
    pub kernel: &'static str,
    /// The variant; `control` for the second program like the first.
    pub variant: String,
    /// Median seconds of a call.
    pub seconds: f64,
    /// The op's floating-point operations.
    pub flops: u64,
    /// The bytes that the op has to touch.
    pub bytes: u64,
    /// The bound of the roofline over the time: 1 is the limit of the machine.
    /// It exceeds 1 where operands stay in a cache.
    pub share: f64,
    /// The first variant's time over this one's: above 1 is faster.
    pub ratio: f64,
    /// The largest difference from the scalar variant, relative to the largest
    /// magnitude; null without a scalar run.
    pub error: Option<f64>,
    /// Of a GPU: the largest difference from the processor's scalar variant in units
    /// in the last place of its values.
    pub ulps: Option<u64>,
}

/// A case that cannot be timed.
#[derive(Debug, Error)]
pub enum BenchError {
    /// It cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A variant that does not exist.
    #[error(transparent)]
    Kernel(#[from] speck_engine::kernels::KernelError),
    /// The shapes given are as many as the op's inputs.
    #[error("takes {expected} inputs, not {given}; shapes stand as in 256x512,512x128")]
    Shapes {
        /// The op's inputs.
        expected: usize,
        /// The shapes given.
        given: usize,
    },
}

impl BenchError {
    /// What is said of it, with the op's name: a graph's errors bring it along.
    pub fn told(&self, op: &OpInfo) -> String {
        match self {
            BenchError::Graph(error) => error.to_string(),
            other => format!("{}: {other}", op.name),
        }
    }
}

/// Seconds of a first call from which on a variant is not called again: the
/// scalar one on the larger sizes, which a few percent of noise, or the pages
/// first touched, do not make any faster.
const SLOW: f64 = 0.25;

/// Seconds of multiply-adds before each round.
const BURST: f64 = 0.01;

/// One variant, ready to run.
struct Subject {
    kernel: &'static str,
    variant: String,
    program: Program,
    /// Calls a round; 0 where one call was enough to see that it is slow.
    calls: usize,
    times: Vec<f64>,
    output: Vec<f64>,
}

/// Times the variants of an op on its cases.
///
/// # Errors
/// Shapes that do not fit, or memory that the system refuses.
pub fn run(op: &OpInfo, settings: &Settings, peaks: &Peaks) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for case in &chosen(op, settings)? {
        rows.extend(run_case(op, case, settings, peaks)?);
    }
    Ok(rows)
}

/// Whether an op can be built on what it is to be timed on; the machine need not be
/// measured first to know.
///
/// # Errors
/// Shapes that do not fit.
pub fn check(op: &OpInfo, settings: &Settings) -> Result<(), BenchError> {
    chosen(op, settings)?.iter().try_for_each(|case| Ok(cases::build(case).map(drop)?))
}

/// What an op is timed on.
///
/// # Errors
/// Not as many shapes as the op has inputs.
pub(super) fn chosen(op: &OpInfo, settings: &Settings) -> Result<Vec<Case>, BenchError> {
    let mut cases = cases::cases(op);
    if let Some(shapes) = &settings.shapes {
        cases.truncate(1);
        for case in &mut cases {
            let expected = case.inputs.len();
            if shapes.len() != expected {
                return Err(BenchError::Shapes { expected, given: shapes.len() });
            }
            case.inputs.iter_mut().zip(shapes).for_each(|((own, _), new)| own.clone_from(new));
        }
    }
    Ok(cases)
}

fn run_case(
    op: &OpInfo,
    case: &Case,
    settings: &Settings,
    peaks: &Peaks,
) -> Result<Vec<Row>, BenchError> {
    let mut subjects = subjects(op, case, settings)?;
    let mut state = State::default();
    for subject in &mut subjects {
        let once = time(|| subject.program.run(&mut state))?;
        subject.output = subject.program.output("output")?.to_f64();
        if once > SLOW {
            (subject.calls, subject.times) = (0, vec![once]);
            continue;
        }
        let again = time(|| subject.program.run(&mut state))?.min(once);
        subject.calls = (settings.seconds / again.max(1e-9)).clamp(1.0, 1e6) as usize;
    }
    let mut flops_of_rounds = Vec::new();
    for round in 0..settings.rounds.max(1) {
        flops_of_rounds.push(peak::arithmetic(BURST).flops);
        // Each in turn is the first, so that none always follows the same one.
        let count = subjects.len();
        for i in 0..count {
            let subject = &mut subjects[(i + round) % count];
            let (calls, program) = (subject.calls, &mut subject.program);
            if calls == 0 {
                continue;
            }
            let seconds = time(|| (0..calls).try_for_each(|_| program.run(&mut state)))?;
            subject.times.push(seconds / calls as f64);
        }
    }
    let scalar = subjects.iter().position(|subject| subject.variant == "scalar");
    let expected = scalar.map(|i| subjects[i].output.clone());
    let cost = subjects.first().map(|subject| subject.program.cost()).unwrap_or_default();
    let (flops, bytes) = (cost.flops, cost.read + cost.written);
    let peaks = Peaks { flops: median(&mut flops_of_rounds), ..peaks.clone() };
    let first = subjects.first_mut().map_or(f64::NAN, |subject| median(&mut subject.times));
    let row = |subject: &mut Subject| {
        let seconds = median(&mut subject.times);
        Row {
            op: op.name,
            case: label(case, settings),
            kernel: subject.kernel,
            variant: subject.variant.clone(),
            seconds,
            flops,
            bytes,
            share: peaks.bound(flops, bytes) / seconds,
            ratio: first / seconds,
            error: expected.as_ref().map(|expected| difference(&subject.output, expected)),
            ulps: None,
        }
    };
    Ok(subjects.iter_mut().map(row).collect())
}

/// The case's name, or the shapes that are timed in place of its own.
pub fn label(case: &Case, settings: &Settings) -> String {
    match &settings.shapes {
        Some(shapes) => {
            let sizes = |shape: &Vec<usize>| {
                let sizes: Vec<_> = shape.iter().map(ToString::to_string).collect();
                sizes.join("×")
            };
            shapes.iter().map(sizes).collect::<Vec<_>>().join(" · ")
        }
        None => case.name.to_owned(),
    }
}

/// The programs to be timed, and the control at the end.
fn subjects(op: &OpInfo, case: &Case, settings: &Settings) -> Result<Vec<Subject>, BenchError> {
    let inputs = check::tensors(case, DType::F32, 0);
    let graph = cases::build(case)?.0;
    let mut subjects = Vec::new();
    for kernel in (op.kernels)() {
        let supported = kernel.f32.iter().filter(|variant| variant.refused.is_none());
        let wanted = |name: &str| settings.variant.as_deref().is_none_or(|wanted| wanted == name);
        let mut names: Vec<_> =
            supported.map(|variant| variant.name).filter(|name| wanted(name)).collect();
        names.extend(names.first().copied());
        let last = names.len().saturating_sub(1);
        for (i, name) in names.into_iter().enumerate() {
            // No pass may take the op away, as folding does with one without inputs.
            let without = speck_engine::passes::names().map(|(name, _)| name.to_owned()).collect();
            let kernels = Choice::parse(&format!("{}:{name}", kernel.name))?;
            let options = Options { kernels, without, poison: false };
            let mut program = Program::compile(&graph, &options)?;
            for (i, input) in inputs.iter().enumerate() {
                program.set_input(&i.to_string(), input)?;
            }
            let variant = if i == last { "control" } else { name };
            subjects.push(Subject {
                kernel: kernel.name,
                variant: variant.to_owned(),
                program,
                calls: 1,
                times: Vec::new(),
                output: Vec::new(),
            });
        }
    }
    Ok(subjects)
}

/// The largest difference relative to the largest finite magnitude; a NaN on
/// one side only counts as infinite.
pub(super) fn difference(found: &[f64], expected: &[f64]) -> f64 {
    let finite = expected.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let pairs = found.iter().zip(expected);
    let error = |(found, expected): (&f64, &f64)| match (found == expected, found.is_nan()) {
        (true, _) => 0.0,
        (false, true) if expected.is_nan() => 0.0,
        _ => {
            let error = (found - expected).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        }
    };
    pairs.map(error).fold(0.0, f64::max) / if largest > 0.0 { largest } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use speck_engine::ops;

    #[test]
    fn every_op_with_kernels_is_timed_with_a_control() {
        let settings = Settings { rounds: 1, seconds: 0.0, ..Settings::default() };
        let (device, variant) = ("cpu".to_owned(), "none");
        let peaks = Peaks { device, threads: 1, flops: 1e11, variant, bandwidth: 1e10 };
        for op in ops::ALL.iter().filter(|op| ["relu", "sum", "gather"].contains(&op.name)) {
            let rows = run(op, &settings, &peaks).expect("rows");
            assert!(rows.iter().any(|row| row.variant == "control"), "{}", op.name);
            assert!(rows.iter().any(|row| row.variant == "scalar"), "{}", op.name);
            for row in rows {
                assert!(row.seconds > 0.0 && row.share > 0.0, "{row:?}");
                assert!(row.error.is_some_and(|error| error < 1e-5), "{row:?}");
            }
        }
    }

    #[test]
    fn a_difference_is_relative_and_nan_counts() {
        assert_eq!(difference(&[1.0, 4.5], &[1.0, 4.0]), 0.125);
        assert_eq!(difference(&[f64::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(difference(&[f64::NAN, 1.0], &[f64::NAN, 1.0]), 0.0);
    }
}
