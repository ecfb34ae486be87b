//! Every kernel variant against the scalar one.

use super::{CheckError, compare_all, declare, random_like, tensors};
use crate::dtype::DType;
use crate::graph::Graph;
use crate::op::{Case, OpInfo};
use crate::program::{Options, Program};
use crate::state::State;
use speck_kernels::gpu::Gpu;
use speck_kernels::{Choice, KernelError};
use std::sync::Arc;

/// Allowed difference between f32 variants and the f64 scalar reference,
/// relative to the largest magnitude of the result.
const F32: f64 = 2e-5;

/// Runs a case, forward and backward, with each supported variant of each of
/// the op's kernels in f32, on an arena filled with NaN, and compares with the
/// scalar kernels in f64. Returns the variants checked.
///
/// # Errors
/// The first value that differs, or a graph that cannot be built.
pub fn check(info: &OpInfo, case: &Case, seed: u64) -> Result<Vec<String>, CheckError> {
    // The reference runs on memory that is not poisoned: what both leave out
    // must not look alike.
    let (reference, _) = run(case, DType::F64, &Where::kernels("*:scalar", false)?, seed)?;
    if reference.iter().flatten().any(|value| value.is_nan()) {
        return Err(CheckError::Shape(format!("{}: the reference is NaN", case.name)));
    }
    let mut names = vec!["*:scalar".to_owned()];
    for kernel in (info.kernels)() {
        for variant in kernel.f32.iter().filter(|variant| variant.refused.is_none()) {
            names.push(format!("{}:{}", kernel.name, variant.name));
        }
    }
    for name in &names {
        let (found, _) = run(case, DType::F32, &Where::kernels(name, true)?, seed)?;
        for (i, (found, expected)) in found.iter().zip(&reference).enumerate() {
            let part = if i == 0 { "output".to_owned() } else { format!("gradient {}", i - 1) };
            compare_all(&format!("{} / {name} / {part}", case.name), found, expected, F32)?;
        }
    }
    Ok(names)
}

/// Runs a case, forward and backward, on a GPU whose buffers are filled with NaN, and
/// compares with the scalar kernels in f64. Returns the largest difference to them, in
/// units in the last place of the largest magnitude of each result.
///
/// # Errors
/// The first value that differs, or an op that the GPU cannot run.
pub fn check_on(gpu: &Arc<Gpu>, case: &Case, seed: u64) -> Result<f64, CheckError> {
    let kernels = Choice::default().on(Some(gpu.clone()));
    Ok(check_shaded(kernels, case, seed, F32)?.units)
}

/// What [`check_shaded`] found.
pub struct Shaded {
    /// The largest difference, in units in the last place of the largest magnitude of
    /// each result.
    pub units: f64,
    /// What ran, in order.
    pub shaders: Vec<String>,
}

/// As [`check_on`], with these kernels and this allowed difference relative to the
/// largest magnitude.
///
/// # Errors
/// As [`check_on`].
pub fn check_shaded(
    kernels: Choice,
    case: &Case,
    seed: u64,
    allowed: f64,
) -> Result<Shaded, CheckError> {
    // The reference runs on memory that is not poisoned: what both leave out must not
    // look alike.
    let (reference, _) = run(case, DType::F64, &Where::kernels("*:scalar", false)?, seed)?;
    if reference.iter().flatten().any(|value| value.is_nan()) {
        return Err(CheckError::Shape(format!("{}: the reference is NaN", case.name)));
    }
    let on_gpu = Options { kernels, poison: true, ..Options::default() };
    let (found, labels) = run(case, DType::F32, &Where(on_gpu), seed)?;
    let mut units: f64 = 0.0;
    for (i, (found, expected)) in found.iter().zip(&reference).enumerate() {
        let part = if i == 0 { "output".to_owned() } else { format!("gradient {}", i - 1) };
        compare_all(&format!("{} / {part}", case.name), found, expected, allowed)?;
        let largest = expected.iter().fold(f64::from(f32::MIN_POSITIVE), |m, v| m.max(v.abs()));
        let unit = largest.log2().floor().exp2() * f64::from(f32::EPSILON);
        let errors = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
        units = errors.filter(|error| error.is_finite()).fold(units, |m, e| m.max(e / unit));
    }
    let names = labels.iter().flat_map(|label| label.split(['+', ':']));
    Ok(Shaded { units, shaders: names.map(str::to_owned).collect() })
}

/// On what a case runs.
struct Where(Options);

impl Where {
    fn kernels(choice: &str, poison: bool) -> Result<Self, CheckError> {
        let kernels = Choice::parse(choice).map_err(crate::CompileError::Kernel)?;
        Ok(Where(Options { kernels, poison, ..Options::default() }))
    }
}

/// The output and the gradients of a case, and what ran.
fn run(
    case: &Case,
    float: DType,
    on: &Where,
    seed: u64,
) -> Result<(Vec<Vec<f64>>, Vec<String>), CheckError> {
    // Values are drawn in f32, so that both element types see the same ones.
    let single = tensors(case, DType::F32, seed);
    let inputs: Vec<_> = tensors(case, float, seed)
        .iter()
        .zip(&single)
        .map(|(own, single)| crate::Tensor::new(own.ty(), &single.to_f64()))
        .collect();
    let graph = Graph::new(float);
    let nodes = declare(&graph, &inputs)?;
    let output = (case.build)(&graph, &nodes)?;
    graph.output("output", output)?;
    let mut names = vec!["output".to_owned()];
    let floats: Vec<_> =
        nodes.iter().copied().filter(|id| graph.ty(*id).dtype.is_float()).collect();
    if graph.ty(output).dtype.is_float() && !floats.is_empty() {
        let cotangent = random_like(&graph, output, 0, seed)?;
        for (i, gradient) in graph.pull_back(output, cotangent, &floats)?.iter().enumerate() {
            names.push(format!("gradient {i}"));
            graph.output(&names[i + 1], *gradient)?;
        }
    }
    let mut program = match Program::compile(&graph, &on.0) {
        // A variant that this element type does not have.
        Err(crate::CompileError::Kernel(KernelError::NoSuchVariant { .. })) => {
            return run(case, float, &Where::kernels("*:scalar", on.0.poison)?, seed);
        }
        other => other?,
    };
    for (i, tensor) in inputs.iter().enumerate() {
        program.set_input(&i.to_string(), tensor)?;
    }
    program.run(&mut State::default())?;
    let read = |name: &String| program.output(name).map(|tensor| tensor.to_f64());
    Ok((names.iter().map(read).collect::<Result<_, _>>()?, program.kernels()))
}
