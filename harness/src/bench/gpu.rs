//! Ops on a GPU: the time of their dispatches by the device's own clock, and how far
//! their values are from those of the processor's scalar kernels.
//!
//! An op is timed as a program of it alone: uploads, the host and the waiting are not
//! counted, what the device does between two of the op's dispatches is neither. The
//! difference is told in units in the last place of each value, which is much where
//! sums cancel, and relative to the largest value, which is not.

use super::ops::{self, BenchError, Row, Settings};
use super::{Peaks, cases, median};
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{ALL, Needs};
use speck_engine::op::Case;
use speck_engine::{DType, OpInfo, Options, Program, State, check};

/// Times an op on its cases.
///
/// # Errors
/// Shapes that do not fit, or a device that fails.
pub fn run(
    op: &OpInfo,
    settings: &Settings,
    peaks: &Peaks,
    device: &Choice,
) -> Result<Vec<Row>, BenchError> {
    let cases = ops::chosen(op, settings)?;
    let timed = |case| run_case(op, case, settings, peaks, device);
    Ok(cases.iter().map(timed).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
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
/// and those that need more and that the device has it for.
fn choices(device: &Choice) -> Vec<Choice> {
    let limits = device.gpu().map(|gpu| gpu.limits());
    let beyond = ALL.iter().filter(|shader| {
        shader.needs != Needs::NOTHING && limits.is_some_and(|limits| limits.run(shader.needs))
    });
    let forced = ["plain"].into_iter().chain(beyond.map(|shader| shader.name));
    let forced = forced.map(|name| device.clone().shaded(name));
    [device.clone()].into_iter().chain(forced).collect()
}

fn run_case(
    op: &OpInfo,
    case: &Case,
    settings: &Settings,
    peaks: &Peaks,
    device: &Choice,
) -> Result<Vec<Row>, BenchError> {
    let inputs = check::tensors(case, DType::F32, 0);
    let graph = cases::build(case)?.0;
    // No pass may take the op away, as folding does with one without inputs.
    let without: Vec<_> = speck_engine::passes::names().map(|(name, _)| name.to_owned()).collect();
    let compile = |kernels: Choice| -> Result<Program, BenchError> {
        let options = Options { kernels, without: without.clone(), poison: false };
        let mut program = Program::compile(&graph, &options)?;
        for (i, input) in inputs.iter().enumerate() {
            program.set_input(&i.to_string(), input)?;
        }
        Ok(program)
    };
    let mut state = State::default();
    let mut scalar = compile(Choice::parse("*:scalar")?)?;
    scalar.run(&mut state)?;
    let expected = scalar.output("output")?.to_f64();
    drop(scalar);
    let mut rows = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for kernels in choices(device) {
        let mut program = compile(kernels)?;
        let mut times = Vec::new();
        let mut name = String::new();
        for _ in 0..settings.rounds.max(1) {
            let steps = program.run_timed(&mut state)?;
            let labels: Vec<_> = steps.iter().map(|step| step.kernel.as_str()).collect();
            name = labels.join("+");
            times.push(steps.iter().map(|step| step.seconds).sum());
        }
        // A choice that changes nothing for this op or this shape, or what nobody
        // asked for.
        let wanted = settings.variant.as_deref().is_none_or(|wanted| name.contains(wanted));
        if names.contains(&name) || !wanted {
            continue;
        }
        names.push(name.clone());
        program.run(&mut state)?;
        let found = program.output("output")?.to_f64();
        let seconds = median(&mut times);
        let cost = program.cost();
        let (flops, bytes) = (cost.flops, cost.read + cost.written);
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
        let rows = run(matmul, &settings, &peaks, &device).expect("rows");
        assert!(!rows.is_empty());
        for row in rows {
            assert!(row.seconds > 0.0 && row.share > 0.0, "{row:?}");
            assert!(row.error.is_some_and(|error| error < 2e-3), "{row:?}");
        }
    }
}
