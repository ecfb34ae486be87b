//! Derivatives against finite differences, in f64.
//!
//! The output y is reduced to L = Σ r·y with a random cotangent r (a plain sum
//! would let wrong gradients pass: the true gradient of Σ softmax is zero). For
//! random directions d the slope ⟨∇L, d⟩ is compared with the central
//! difference (L(x+hd) - L(x-hd)) / 2h. For the second order the same is done
//! to S = Σ ⟨∇L, v⟩ with random v. (Random projections as in HIPS autograd's
//! test_util.)

use super::{CheckError, compare, declare, random_like, tensors};
use crate::dtype::DType;
use crate::graph::{Graph, NodeId};
use crate::op::Case;
use crate::program::{Options, Program};
use crate::state::State;
use crate::tensor::Tensor;

/// Step of the differences. The truncation error is of order h², rounding of
/// order 1e-16/h: both far below the tolerances.
const H: f64 = 1e-5;
/// Allowed error, relative to 1 + |slope|.
const FIRST: f64 = 2e-7;
const SECOND: f64 = 2e-6;
const DIRECTIONS: usize = 4;

/// What was found out about a case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checked {
    /// Slopes compared at first order: 0 if no input or the output is not
    /// floating-point.
    pub first: usize,
    /// Slopes compared at second order.
    pub second: usize,
    /// The largest error, relative to 1 + |slope|.
    pub worst: f64,
}

/// Checks the first and second derivatives of a case.
///
/// # Errors
/// The first slope that differs, or a graph that cannot be built.
pub fn check(case: &Case, seed: u64) -> Result<Checked, CheckError> {
    let tensors = tensors(case, DType::F64, seed);
    let graph = Graph::new(DType::F64);
    let inputs = declare(&graph, &tensors)?;
    let output = (case.build)(&graph, &inputs)?;
    let floats: Vec<usize> =
        (0..tensors.len()).filter(|i| tensors[*i].ty().dtype.is_float()).collect();
    let mut checked = Checked::default();
    if floats.is_empty() || !graph.ty(output).dtype.is_float() {
        return Ok(checked);
    }
    let weights = random_like(&graph, output, 0, seed)?;
    let weighted = graph.mul(output, weights)?;
    let loss = graph.sum_all(weighted)?;
    let nodes: Vec<NodeId> = floats.iter().map(|i| inputs[*i]).collect();
    let gradients = graph.gradient(loss, &nodes)?;

    let mut along = graph.scalar(0.0)?;
    for (i, gradient) in gradients.iter().enumerate() {
        let direction = random_like(&graph, *gradient, 1 + i, seed)?;
        let product = graph.mul(*gradient, direction)?;
        let sum = graph.sum_all(product)?;
        along = graph.add(along, sum)?;
    }
    let second = graph.gradient(along, &nodes)?;

    let what = format!("{} / first order", case.name);
    checked.first = compare_slopes(
        &graph,
        &tensors,
        &floats,
        loss,
        &gradients,
        FIRST,
        seed,
        &what,
        &mut checked.worst,
    )?;
    let what = format!("{} / second order", case.name);
    checked.second = compare_slopes(
        &graph,
        &tensors,
        &floats,
        along,
        &second,
        SECOND,
        seed,
        &what,
        &mut checked.worst,
    )?;
    Ok(checked)
}

/// Compares ⟨gradient, d⟩ with differences of `value`; returns how many.
fn compare_slopes(
    graph: &Graph,
    tensors: &[Tensor],
    floats: &[usize],
    value: NodeId,
    gradients: &[NodeId],
    tolerance: f64,
    seed: u64,
    what: &str,
    worst: &mut f64,
) -> Result<usize, CheckError> {
    let order = what.rsplit(' ').nth(1).unwrap_or(what);
    let name = |i: usize| format!("{order} gradient {i}");
    graph.output(order, value)?;
    for (i, gradient) in gradients.iter().enumerate() {
        graph.output(&name(i), *gradient)?;
    }
    let mut program = Program::compile(graph, &Options { poison: true, ..Options::default() })?;
    let mut run = |inputs: &[Tensor]| -> Result<Evaluation, CheckError> {
        for (i, tensor) in inputs.iter().enumerate() {
            program.set_input(&i.to_string(), tensor)?;
        }
        program.run(&mut State::default())?;
        let gradients: Result<Vec<_>, _> =
            (0..gradients.len()).map(|i| program.output(&name(i)).map(|t| t.to_f64())).collect();
        Ok(Evaluation { value: program.output(order)?.to_f64()[0], gradients: gradients? })
    };
    let here = run(tensors)?;
    let mut count = 0;
    for (i, input) in floats.iter().enumerate() {
        let n = tensors[*input].ty().elements();
        if n == 0 {
            continue;
        }
        for direction in 0..DIRECTIONS {
            let range = crate::op::Draw::Uniform(-1.0, 1.0);
            let d = super::draw(range, n, 2000 + 100 * i + direction, seed);
            let moved = |h: f64| {
                let mut inputs = tensors.to_vec();
                let values: Vec<f64> =
                    tensors[*input].to_f64().iter().zip(&d).map(|(x, d)| x + h * d).collect();
                inputs[*input] = Tensor::new(tensors[*input].ty(), &values);
                inputs
            };
            let numeric = (run(&moved(H))?.value - run(&moved(-H))?.value) / (2.0 * H);
            let analytic: f64 = here.gradients[i].iter().zip(&d).map(|(g, d)| g * d).sum();
            let allowed = tolerance * (1.0 + numeric.abs());
            let what = || format!("{what}, input {input}, direction {direction}: slope");
            if !numeric.is_finite() {
                return Err(CheckError::Shape(format!("{} is not finite", what())));
            }
            compare(what, analytic, numeric, allowed)?;
            *worst = worst.max((analytic - numeric).abs() / (1.0 + numeric.abs()));
            count += 1;
        }
    }
    Ok(count)
}

/// One evaluation: the value and its gradients.
struct Evaluation {
    value: f64,
    gradients: Vec<Vec<f64>>,
}
