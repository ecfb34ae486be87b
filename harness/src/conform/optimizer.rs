//! Repeating a trajectory of an optimizer on recorded gradients.

use super::case::{Failed, Kernels, Outcome, agree, failed, largest, outcome};
use super::file::{File, OptimizerSpec};
use super::train::{setting, stored, unsupported};
use serde_json::Value as Json;
use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, GraphError, NodeId, Tensor};
use speck_learners::gradient::{Minimizer, Recorded};
use speck_models::settings::{Settings, Value, resolve};

/// Allowed error of a parameter, relative: in f64 to itself, in f32 to the
/// largest magnitude of its tensor.
const TOLERANCE: f64 = 1e-5;
/// The same in f32 for optimizers that take inverse roots of sums of outer
/// products: where those have no full rank yet, the smallest eigenvalues are
/// rounding of the largest, and the root multiplies it. Of 38 trajectories with
/// drawn settings the worst was off by 1.2e-5.
const ROOTS: f64 = 1e-4;
/// In f64, the part of the largest magnitude below which an element is as good
/// as zero: the reference is stored in f32.
const FLOOR: f64 = 1e-7;

pub(super) fn run(file: &File, op: &str, spec: &OptimizerSpec, kernels: &Kernels) -> Outcome {
    let case = format!("{} steps", spec.steps);
    outcome(op, &case, kernels, |float, choice| check(file, spec, float, choice))
}

fn check(file: &File, spec: &OptimizerSpec, float: DType, choice: &Choice) -> Result<f64, Failed> {
    let settings = settings(spec)?;
    if let Some(objective) = &spec.objective {
        return minimize(file, spec, &settings, objective, float, choice);
    }
    let mut parameters = Vec::new();
    let mut gradients = Vec::new();
    let mut expected = Vec::new();
    for number in 0.. {
        let name = format!("p{number}");
        let Some(initial) = file.tensors.get(&format!("{name}/init")) else { break };
        let shape = [&[spec.steps], initial.shape.as_slice()].concat();
        gradients.push(stored(file, &format!("{name}/grads"), &shape)?.reals());
        expected.push(stored(file, &format!("{name}/params"), &shape)?.reals());
        let tensor = Tensor::from_f64(&initial.shape, initial.reals());
        parameters.push((name, tensor));
    }
    if parameters.is_empty() {
        return Err(failed("the file has no tensor `p0/init`"));
    }
    let mut optimizer = Recorded::new(&settings, &parameters, float, choice.clone())
        .map_err(|error| unsupported(error.to_string()))?;
    let allowed = match (float, spec.optimizer.as_str()) {
        (DType::F32, "shampoo" | "soap") => ROOTS,
        _ => TOLERANCE,
    };
    let mut worst: f64 = 0.0;
    for step in 0..spec.steps {
        let part =
            |all: &Vec<f64>, elements: usize| all[step * elements..(step + 1) * elements].to_vec();
        let elements: Vec<_> =
            parameters.iter().map(|(_, tensor)| tensor.ty().elements()).collect();
        let own: Vec<_> = gradients.iter().zip(&elements).map(|(all, n)| part(all, *n)).collect();
        optimizer.step(&own).map_err(failed)?;
        for (((name, _), all), elements) in parameters.iter().zip(&expected).zip(&elements) {
            let found = optimizer.state().get(name).map(Tensor::to_f64).unwrap_or_default();
            let expected = part(all, *elements);
            let label = format!("{name} after step {}", step + 1);
            worst = worst.max(compare(&label, &found, &expected, float, allowed)?);
        }
    }
    Ok(worst)
}

fn compare(
    name: &str,
    found: &[f64],
    expected: &[f64],
    float: DType,
    allowed: f64,
) -> Result<f64, Failed> {
    let largest = largest(expected).max(f64::MIN_POSITIVE);
    agree(name, found, expected, |_, expected: f64| {
        let scale = match float {
            DType::F64 => expected.abs().max(largest * FLOOR / TOLERANCE),
            _ => largest,
        };
        (allowed * scale, scale)
    })
}

/// In f32 a search takes another way in the long run: which step it takes hangs on
/// comparisons of losses that are nearly equal, and each step multiplies what the
/// last was off by. PyTorch's own L-BFGS with strong Wolfe steps on Rosenbrock's
/// function of 6 numbers is off from its f64 by 6e-7 of the largest number after 20
/// iterations, 2e-4 after 30, 2e-3 after 40, and 5e-7 at the minimum. So the first
/// iterations are held to the reference,
const EARLY: (usize, f64) = (15, 1e-4);
/// the last loss may be so many times the reference's, or this share of the first,
const AS_FAR: [f64; 2] = [10.0, 1e-5];
/// and where the reference is at the minimum (its loss is this share of the first),
/// so is the search, but for this share of the largest number.
const ARRIVED: [f64; 2] = [1e-10, 1e-3];

/// A trajectory on a function instead of recorded gradients.
fn minimize(
    file: &File,
    spec: &OptimizerSpec,
    settings: &Settings,
    objective: &str,
    float: DType,
    choice: &Choice,
) -> Result<f64, Failed> {
    if !objective.starts_with("rosenbrock") {
        return Err(unsupported(format!("there is no objective {objective:?}")));
    }
    let start =
        file.tensors.get("x/init").ok_or_else(|| failed("the file has no tensor `x/init`"))?;
    let n = start.shape.iter().product::<usize>();
    let expected = stored(file, "x/params", &[spec.steps, n])?.reals();
    let losses = stored(file, "loss", &[spec.steps])?.reals();
    let start = Tensor::from_f64(&start.shape, start.reals());
    let mut minimizer = Minimizer::new(settings, &start, &rosenbrock, float, choice)
        .map_err(|error| unsupported(error.to_string()))?;
    let mut worst: f64 = 0.0;
    for step in 0..spec.steps {
        let loss = minimizer.step().map_err(failed)?;
        let own = &expected[step * n..(step + 1) * n];
        if float == DType::F64 {
            // A loss near the minimum is the difference of what is nearly equal.
            let wanted = losses[step];
            let scale = wanted.abs().max(1e-4);
            let limit = |_, _| (TOLERANCE * scale, scale);
            let label = format!("loss of step {}", step + 1);
            worst = worst.max(agree(&label, &[loss], &[wanted], limit)?);
            let label = format!("x after step {}", step + 1);
            worst = worst.max(compare(&label, &minimizer.x(), own, float, TOLERANCE)?);
            continue;
        }
        let moves = settings.get("max_iter").map_or(1, |_| settings.usize("max_iter"));
        let early = (step + 1) * moves <= EARLY.0;
        let last = step + 1 == spec.steps;
        if early || last && losses[step] <= ARRIVED[0] * losses[0] {
            let allowed = if early { EARLY.1 } else { ARRIVED[1] };
            let label = format!("x after step {}", step + 1);
            worst = worst.max(compare(&label, &minimizer.x(), own, float, allowed)?);
        }
        if last {
            let most = (AS_FAR[0] * losses[step].abs()).max(AS_FAR[1] * losses[0].abs());
            if !(loss <= most) {
                return Err(failed(format!("the last loss is {loss}, not {}", losses[step])));
            }
        }
    }
    Ok(worst)
}

/// Σ 100 (xᵢ₊₁ - xᵢ²)² + (1 - xᵢ)²
fn rosenbrock(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
    let n = graph.shape(x)[0];
    let head = graph.narrow(x, 0, 0, 1, n - 1)?;
    let tail = graph.narrow(x, 0, 1, 1, n - 1)?;
    let valley = graph.square(graph.sub(tail, graph.square(head)?)?)?;
    let slope = graph.square(graph.offset(head, -1.0)?)?;
    graph.sum_all(graph.add_scaled(slope, valley, 100.0)?)
}

/// The gradient learner's settings for an optimizer under the names that the
/// reference has.
fn settings(spec: &OptimizerSpec) -> Result<Settings, Failed> {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut given = vec![("optimizer".to_owned(), text(&spec.optimizer))];
    for (key, value) in spec.hyper.iter().filter(|(_, value)| !value.is_null()) {
        let pair = |names: [&str; 2]| -> Result<Vec<(String, Value)>, Failed> {
            let Json::Array(values) = value else {
                return Err(unsupported(format!("`{key}` is {value}, not two numbers")));
            };
            let both = names.iter().zip(values).filter(|(_, value)| !value.is_null());
            both.map(|(name, value)| Ok(((*name).to_owned(), setting(key, value)?))).collect()
        };
        match key.as_str() {
            // How the reference computes, not what.
            "foreach" | "fused" | "capturable" | "differentiable" => {}
            "betas" => given.extend(pair(["beta1", "beta2"])?),
            "etas" => given.extend(pair(["eta_minus", "eta_plus"])?),
            "step_sizes" => given.extend(pair(["smallest_step", "largest_step"])?),
            "eps" if value.is_array() => given.extend(pair(["epsilon1", "epsilon2"])?),
            "lr" => given.push(("rate".to_owned(), setting(key, value)?)),
            "eps" => given.push(("epsilon".to_owned(), setting(key, value)?)),
            "lr_decay" => given.push(("rate_decay".to_owned(), setting(key, value)?)),
            "initial_accumulator_value" => {
                given.push(("initial_accumulator".to_owned(), setting(key, value)?));
            }
            _ => given.push((key.clone(), setting(key, value)?)),
        }
    }
    let dimensions = speck_learners::find("gradient").map_or(&[][..], |entry| entry.dimensions);
    resolve(dimensions, &given).map_err(|error| unsupported(error.to_string()))
}
