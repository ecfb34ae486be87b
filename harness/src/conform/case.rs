//! Running one case.

use super::adapters;
use super::arguments::{Arguments, Problem};
use super::file::{CaseSpec, File, Stored, Values};
use serde::Serialize;
use speck_engine::kernels::Choice;
use speck_engine::op::Rounding;
use speck_engine::structure::Mode;
use speck_engine::{
    DType, Graph, NodeId, Options, Program, State, Tensor, TensorType, compositions,
};
use std::collections::{BTreeMap, BTreeSet};

/// Which kernels a case runs on.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// How outcomes name them.
    pub name: String,
    /// The element types to run in, each with its forced variants.
    pub runs: Vec<(DType, Choice)>,
    /// Whether training runs compute every pixel or what differs.
    pub mode: Mode,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The operator.
    pub op: String,
    /// The case's id.
    pub case: String,
    /// The kernels it ran on.
    pub kernel: String,
    /// How it went.
    pub status: Status,
    /// The largest error found, relative to the value expected (in f32 to the
    /// largest magnitude of the tensor); null if nothing could be compared.
    pub max_rel_err: Option<f64>,
    /// What differs or is missing.
    pub message: String,
}

/// How a case went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All values agree.
    Pass,
    /// A value differs, or a node that should can not be built.
    Fail,
    /// The operator, or this use of it, is not there.
    Unsupported,
}

/// Allowed error in f64, relative, with an absolute floor.
const F64: (f64, f64) = (1e-5, 1e-6);
/// Allowed error in f32, relative to the largest magnitude of the tensor, where
/// the function's definition does not state another (see [`Rounding`]).
const F32: f64 = 2e-5;

pub(super) fn run(file: &File, op: &str, case: &CaseSpec, kernels: &Kernels) -> Outcome {
    outcome(op, &case.id, kernels, |float, choice| check(file, op, case, float, choice))
}

/// The outcome of a check in each of the element types, up to the first failure.
pub(super) fn outcome(
    op: &str,
    case: &str,
    kernels: &Kernels,
    check: impl Fn(DType, &Choice) -> Result<f64, Failed>,
) -> Outcome {
    let mut outcome = Outcome {
        op: op.to_owned(),
        case: case.to_owned(),
        kernel: kernels.name.clone(),
        status: Status::Pass,
        max_rel_err: None,
        message: String::new(),
    };
    for (float, choice) in &kernels.runs {
        match check(*float, choice) {
            Ok(worst) => outcome.max_rel_err = larger(outcome.max_rel_err, Some(worst)),
            Err(Failed { status, message, worst }) => {
                outcome.status = status;
                outcome.message = format!("{float}: {message}");
                outcome.max_rel_err = larger(outcome.max_rel_err, worst);
                break;
            }
        }
    }
    outcome
}

/// The larger of two errors, either of which may not be known.
fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// Why a check did not pass.
pub(super) struct Failed {
    pub status: Status,
    pub message: String,
    pub worst: Option<f64>,
}

pub(super) fn failed(message: impl ToString) -> Failed {
    Failed { status: Status::Fail, message: message.to_string(), worst: None }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Graph(error) => failed(error),
            Problem::Unsupported(message) => {
                Failed { status: Status::Unsupported, message, worst: None }
            }
        }
    }
}

/// Builds, runs and compares; returns the largest relative error.
fn check(
    file: &File,
    op: &str,
    case: &CaseSpec,
    float: DType,
    choice: &Choice,
) -> Result<f64, Failed> {
    let graph = Graph::new(float);
    let stored = |part: &str, name: &str| {
        let key = format!("{}/{part}/{name}", case.id);
        file.tensors.get(&key).ok_or_else(|| failed(format!("the file has no tensor `{key}`")))
    };
    let mut inputs = BTreeMap::new();
    let mut values = Vec::new();
    let mut truths = BTreeSet::new();
    for name in &case.inputs {
        let input = stored("in", name)?;
        if input.truth {
            truths.insert(name.clone());
        }
        let tensor = host(input, float)?;
        let node = graph.input(name, tensor.ty().dtype, tensor.shape()).map_err(failed)?;
        inputs.insert(name.clone(), node);
        values.push((name, tensor));
    }
    let arguments = Arguments { graph: &graph, inputs, attributes: &case.attributes, truths };
    let outputs = adapters::build(op, &arguments)?;
    if outputs.len() != case.outputs {
        return Err(failed(format!("{} outputs instead of {}", outputs.len(), case.outputs)));
    }
    let mut expected: Vec<(String, &Stored)> = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let name = format!("output {i}");
        graph.output(&name, *output).map_err(failed)?;
        expected.push((name, stored("out", &i.to_string())?));
    }
    let gradients = gradients(&arguments, file, case, &outputs)?;
    for (name, gradient) in case.grads.iter().zip(gradients) {
        let label = format!("gradient of {name}");
        graph.output(&label, gradient).map_err(failed)?;
        expected.push((label, stored("grad", name)?));
    }
    let options = Options { kernels: choice.clone(), poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options).map_err(failed)?;
    for (name, tensor) in &values {
        program.set_input(name, tensor).map_err(failed)?;
    }
    program.run(&mut State::default()).map_err(failed)?;
    let composition = compositions::all().find(|composition| composition.name == op);
    let rounding = composition.and_then(|composition| composition.rounding);
    let mut worst: f64 = 0.0;
    for (name, expected) in expected {
        let found = program.output(&name).map_err(failed)?;
        if found.shape() != expected.shape {
            let shapes = format!("{name}: {:?} instead of {:?}", found.shape(), expected.shape);
            return Err(failed(shapes));
        }
        worst = worst.max(compare(&name, &found.to_f64(), &expected.reals(), float, rounding)?);
    }
    Ok(worst)
}

/// The gradients listed by the case, of all outputs with their cotangents.
fn gradients(
    arguments: &Arguments<'_>,
    file: &File,
    case: &CaseSpec,
    outputs: &[NodeId],
) -> Result<Vec<NodeId>, Failed> {
    let graph = arguments.graph;
    let wanted: Result<Vec<NodeId>, Problem> =
        case.grads.iter().map(|name| arguments.input(name)).collect();
    let wanted = wanted?;
    let mut total: Option<Vec<NodeId>> = None;
    for (i, output) in outputs.iter().enumerate() {
        let Some(cotangent) = file.tensors.get(&format!("{}/cot/{i}", case.id)) else { continue };
        if wanted.is_empty() || !graph.ty(*output).dtype.is_float() {
            continue;
        }
        let cotangent = graph.constant(host(cotangent, graph.float())?).map_err(failed)?;
        let own = graph.pull_back(*output, cotangent, &wanted).map_err(failed)?;
        total = Some(match total {
            Some(sum) => {
                let pairs = sum.into_iter().zip(own);
                pairs.map(|(a, b)| graph.add(a, b)).collect::<Result<_, _>>().map_err(failed)?
            }
            None => own,
        });
    }
    match total {
        Some(gradients) => Ok(gradients),
        None if wanted.is_empty() => Ok(Vec::new()),
        None => Err(failed("gradients are listed but no output has a cotangent")),
    }
}

/// A stored tensor in the element type the graph computes in; whole numbers
/// become `i32`.
fn host(stored: &Stored, float: DType) -> Result<Tensor, Failed> {
    match &stored.values {
        Values::Real(values) => Ok(Tensor::new(&TensorType::new(float, &stored.shape), values)),
        Values::Integer(values) => {
            let narrow: Result<Vec<i32>, _> = values.iter().map(|v| i32::try_from(*v)).collect();
            let narrow = narrow.map_err(|_| failed("a whole number does not fit into 32 bits"))?;
            Ok(Tensor::from_i32(&stored.shape, narrow))
        }
    }
}

/// Compares an output or a gradient of a case.
fn compare(
    name: &str,
    found: &[f64],
    expected: &[f64],
    float: DType,
    rounding: Option<Rounding>,
) -> Result<f64, Failed> {
    if float == DType::F64 {
        return agree(name, found, expected, |_, expected| {
            (F64.0 * expected.abs() + F64.1, expected.abs().max(F64.1 / F64.0))
        });
    }
    // Beyond f32's range the right answer in f32 is an infinity.
    let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value as f32)).collect();
    let largest = largest(&expected).max(F64.1);
    let (factor, floor) = rounding.map_or((1.0, 0.0), |rounding| (rounding.factor, rounding.floor));
    agree(name, found, &expected, |_, _| ((factor * F32 * largest).max(floor), largest))
}

/// The largest finite magnitude.
pub(super) fn largest(values: &[f64]) -> f64 {
    let finite = values.iter().filter(|value| value.is_finite());
    finite.fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

/// Compares element by element so that a NaN on one side only fails. `limit`
/// gives, for the place and the value expected there, the error allowed and what
/// errors are relative to. Returns the largest relative error.
pub(super) fn agree(
    name: &str,
    found: &[f64],
    expected: &[f64],
    limit: impl Fn(usize, f64) -> (f64, f64),
) -> Result<f64, Failed> {
    let mut worst: f64 = 0.0;
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found == expected || (found.is_nan() && expected.is_nan()) {
            continue;
        }
        let error = (found - expected).abs();
        let (allowed, scale) = limit(i, *expected);
        let relative = error / scale;
        if !(error <= allowed) {
            return Err(Failed {
                status: Status::Fail,
                message: format!("{name}[{i}] is {found} instead of {expected}"),
                worst: Some(relative),
            });
        }
        worst = worst.max(relative);
    }
    Ok(worst)
}
