//! Every kernel variant against the scalar one.

use super::{CheckError, compare_all, declare, random_like, tensors};
use crate::dtype::DType;
use crate::graph::Graph;
use crate::op::{Case, OpInfo};
use crate::program::{Options, Program};
use crate::state::State;
use speck_kernels::{Choice, KernelError};

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
    let reference = run(case, DType::F64, "*:scalar", seed, false)?;
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
        let found = run(case, DType::F32, name, seed, true)?;
        for (i, (found, expected)) in found.iter().zip(&reference).enumerate() {
            let part = if i == 0 { "output".to_owned() } else { format!("gradient {}", i - 1) };
            compare_all(&format!("{} / {name} / {part}", case.name), found, expected, F32)?;
        }
    }
    Ok(names)
}

/// The output and the gradients of a case.
fn run(
    case: &Case,
    float: DType,
    choice: &str,
    seed: u64,
    poison: bool,
) -> Result<Vec<Vec<f64>>, CheckError> {
    let kernels = Choice::parse(choice).map_err(crate::CompileError::Kernel)?;
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
    let options = Options { kernels, poison, ..Options::default() };
    let mut program = match Program::compile(&graph, &options) {
        // A variant that this element type does not have.
        Err(crate::CompileError::Kernel(KernelError::NoSuchVariant { .. })) => {
            return run(case, float, "*:scalar", seed, poison);
        }
        other => other?,
    };
    for (i, tensor) in inputs.iter().enumerate() {
        program.set_input(&i.to_string(), tensor)?;
    }
    program.run(&mut State::default())?;
    let read = |name: &String| program.output(name).map(|tensor| tensor.to_f64());
    Ok(names.iter().map(read).collect::<Result<_, _>>()?)
}
