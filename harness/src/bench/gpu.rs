//! Ops on a GPU: the time of their dispatches by the device's own clock, and how far
//! their values are from those of the processor's kernels.
//!
//! An op is timed as a program of it alone: uploads, the host and the waiting are not
//! counted, what the device does between two of the op's dispatches is neither. The
//! difference is told in units in the last place of each value, which is much where
//! sums cancel, and relative to the largest value, which is not. It is that from the
//! scalar kernels, or, where they would take long, from the processor's own choice.
//!
//! A device may be a program on the processor, which takes minutes for what another one
//! does in milliseconds. So a row has a budget of seconds: rounds end when it is spent,
//! and a case of which the roofline says that it cannot be kept is left out.

use super::ops::{self, BenchError, Row, Settings};
use super::{Peaks, cases, median};
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{FAMILIES, PLAIN};
use speck_engine::op::Case;
use speck_engine::{DType, OpInfo, Options, Program, State, check};
use std::time::Instant;

/// Operations up to which the scalar kernels are the reference: half a second's worth.
const SCALAR: u64 = 1 << 28;

/// Share of the roofline's bound that an op of a device which is new to it reaches at
/// worst, as far as leaving out a case goes.
const WORST: f64 = 0.05;

/// Budgets that one run of a case may take at that share.
const BUDGETS: f64 = 2.0;

/// Who hears of rows, and of what is timed now or left out.
pub trait Listener {
    /// A row is done.
    ///
    /// # Errors
    /// The row cannot be told; nothing more is timed.
    fn row(&mut self, row: Row) -> Result<(), crate::RunError>;
    /// What is timed next, or why it is not.
    fn progress(&mut self, line: &str);
}

/// Times an op on its cases.
///
/// # Errors
/// Shapes that do not fit, a device that fails, or a row that cannot be told.
pub fn run(
    op: &OpInfo,
    settings: &Settings,
    peaks: &Peaks,
    device: &Choice,
    listener: &mut dyn Listener,
) -> Result<(), crate::RunError> {
    let failed = |error: BenchError| crate::RunError::Usage(error.told(op));
    for case in ops::chosen(op, settings).map_err(failed)? {
        let label = ops::label(&case, settings);
        let rows = run_case(op, &case, settings, peaks, device, &mut |line| {
            listener.progress(&format!("{} {label}{line}", op.name));
        });
        rows.map_err(failed)?.into_iter().try_for_each(|row| listener.row(row))?;
    }
    Ok(())
}

/// Whether an op computes anything on a GPU.
pub fn is_shaded(op: &OpInfo) -> bool {
    let shaded = |case: Case| {
        let Ok((graph, output)) = cases::build(&case) else { return false };
        let node = graph.node(output);
        let types: Vec<_> = node.inputs.iter().map(|id| graph.ty(*id)).collect();
        let types: Vec<_> = types.iter().collect();
        node.op.shade(&types, &node.ty).is_ok()
    };
    cases::cases(op).into_iter().next().is_some_and(shaded)
}

/// What is run of an op: what the device would choose, the shaders that run anywhere,
/// and every variant that the device can run.
fn choices(device: &Choice) -> Vec<Choice> {
    let others = FAMILIES.iter().flat_map(|family| family.others).map(|(shader, _)| *shader);
    let runs = |shader: &&speck_engine::kernels::gpu::Shader| {
        device.gpu().is_some_and(|gpu| shader.refused(&gpu.limits()).is_none())
    };
    let forced = [PLAIN].into_iter().chain(others.filter(runs).map(|shader| shader.name));
    let forced = forced.map(|name| device.clone().shaded(name));
    [device.clone()].into_iter().chain(forced).collect()
}

fn run_case(
    op: &OpInfo,
    case: &Case,
    settings: &Settings,
    peaks: &Peaks,
    device: &Choice,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Row>, BenchError> {
    let graph = cases::build(case)?.0;
    // No pass may take the op away, as folding does with one without inputs.
    let without: Vec<_> = speck_engine::passes::names().map(|(name, _)| name.to_owned()).collect();
    let compile = |kernels: Choice| {
        Program::compile(&graph, &Options { kernels, without: without.clone(), poison: false })
    };
    let cost = compile(Choice::default())?.cost();
    let (flops, bytes) = (cost.flops, cost.read + cost.written);
    let expected_seconds = peaks.bound(flops, bytes) / WORST;
    if settings.shapes.is_none() && expected_seconds > settings.budget * BUDGETS {
        progress(&format!(
            ": left out, may take {expected_seconds:.0} s a run here (--budget, --shape)"
        ));
        return Ok(Vec::new());
    }
    progress("");
    let inputs = check::tensors(case, DType::F32, 0);
    let with_inputs = |mut program: Program| -> Result<Program, BenchError> {
        for (i, input) in inputs.iter().enumerate() {
            program.set_input(&i.to_string(), input)?;
        }
        Ok(program)
    };
    let mut state = State::default();
    let scalar = if flops <= SCALAR { Choice::parse("*:scalar")? } else { Choice::default() };
    let mut reference = with_inputs(compile(scalar)?)?;
    reference.run(&mut state)?;
    let expected = reference.output("output")?.to_f64();
    drop(reference);
    let mut rows: Vec<Row> = Vec::new();
    for kernels in choices(device) {
        let program = compile(kernels)?;
        let name = program.kernels().join("+");
        // A choice that changes nothing for this op or this shape, or what nobody
        // asked for.
        let wanted = settings.variant.as_deref().is_none_or(|wanted| name.contains(wanted));
        if rows.iter().any(|row| row.variant == name) || !wanted {
            continue;
        }
        let mut program = with_inputs(program)?;
        let mut times = Vec::new();
        let begin = Instant::now();
        program.run(&mut state)?;
        let found = program.output("output")?.to_f64();
        for _ in 0..settings.rounds.max(1) {
            let steps = program.run_timed(&mut state)?;
            times.push(steps.iter().map(|step| step.seconds).sum());
            if begin.elapsed().as_secs_f64() > settings.budget {
                break;
            }
        }
        let seconds = median(&mut times);
        let first = rows.first().map_or(seconds, |row: &Row| row.seconds);
        rows.push(Row {
            op: op.name,
            case: ops::label(case, settings),
            kernel: op.name,
            variant: name,
            seconds,
            flops,
            bytes,
            share: peaks.bound(flops, bytes) / seconds,
            ratio: first / seconds,
            error: Some(ops::difference(&found, &expected)),
            ulps: Some(apart(&found, &expected)),
        });
    }
    Ok(rows)
}

/// The largest difference in units in the last place, as f32: how many numbers lie
/// between. What is no number on one side only is the furthest there is.
fn apart(found: &[f64], expected: &[f64]) -> u64 {
    // Numbers in order: the bits, those of negative ones counted backwards.
    let order = |value: f64| {
        let bits = i64::from((value as f32).to_bits());
        if bits >> 31 == 1 { (1 << 31) - bits } else { bits }
    };
    let one = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => order(*a).abs_diff(order(*b)),
        _ => u64::MAX,
    };
    found.iter().zip(expected).map(one).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use speck_engine::kernels::gpu::{Gpu, GpuError};
    use speck_engine::ops;

    #[test]
    fn units_in_the_last_place_are_counted_over_zero() {
        let next = f64::from(f32::from_bits(1.0f32.to_bits() + 3));
        assert_eq!(apart(&[1.0, next], &[1.0, 1.0]), 3);
        let least = f64::from(f32::from_bits(1));
        assert_eq!(apart(&[least], &[-least]), 2);
        assert_eq!(apart(&[0.0], &[-0.0]), 0);
        assert_eq!(apart(&[f64::NAN], &[f64::NAN]), 0);
        assert_eq!(apart(&[f64::NAN], &[1.0]), u64::MAX);
    }

    #[derive(Default)]
    struct Heard {
        rows: Vec<Row>,
        lines: Vec<String>,
    }

    impl Listener for Heard {
        fn row(&mut self, row: Row) -> Result<(), crate::RunError> {
            self.rows.push(row);
            Ok(())
        }
        fn progress(&mut self, line: &str) {
            self.lines.push(line.to_owned());
        }
    }

    #[test]
    fn ops_are_timed_on_a_gpu() {
        let gpu = match Gpu::open(0, false) {
            Ok(gpu) => gpu,
            Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
                println!("skipped: timing on a GPU, for there is none");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let device = Choice::default().on(Some(gpu));
        let peaks = Peaks::of(&device).expect("a clock");
        assert!(peaks.flops > 0.0 && peaks.flops.is_finite(), "{peaks:?}");
        assert!(peaks.bandwidth > 0.0 && peaks.bandwidth.is_finite(), "{peaks:?}");
        let shapes = Some(vec![vec![20, 33], vec![33, 40]]);
        let settings = Settings { rounds: 1, seconds: 0.0, shapes, ..Settings::default() };
        let matmul = ops::ALL.iter().find(|op| op.name == "matmul").expect("the op");
        let mut heard = Heard::default();
        run(matmul, &settings, &peaks, &device, &mut heard).expect("rows");
        assert!(heard.rows.len() > 1, "the plain shader and variants");
        for row in heard.rows {
            assert!(row.seconds > 0.0 && row.share > 0.0, "{row:?}");
            assert!(row.error.is_some_and(|error| error < 2e-3), "{row:?}");
        }
        // What a budget cannot pay is left out, and said.
        let poor = Settings { rounds: 1, budget: 1e-9, ..Settings::default() };
        let mut heard = Heard::default();
        run(matmul, &poor, &peaks, &device, &mut heard).expect("nothing");
        assert!(heard.rows.is_empty());
        assert!(heard.lines.iter().all(|line| line.contains("left out")), "{:?}", heard.lines);
    }
}
