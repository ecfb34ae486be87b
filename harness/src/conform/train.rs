//! Repeating a training run.

use super::case::{Failed, Kernels, Outcome, Status, agree, failed, largest, outcome};
use super::file::{File, Stored, TrainSpec, Values};
use serde_json::{Map, Value as Json};
use speck_engine::kernels::Choice;
use speck_engine::{
    DType, Graph, GraphError, Options, Program, State, Tensor, TensorType, structure,
};
use speck_learners::gradient::Step;
use speck_learners::{BatchShape, Batches, Learner, PRIVATE, SCREEN, Setup, SpeckBatch, screen};
use speck_models::settings::{Settings, Value, resolve};
use speck_models::{Builder, Mode, Model};
use std::sync::Arc;

/// Allowed errors: of a loss relative to itself, of a tensor relative to its
/// largest magnitude.
struct Tolerance {
    /// Of the losses of the first [`EARLY`] steps.
    early_loss: f64,
    /// Of the later losses.
    loss: f64,
    /// Of the first gradients.
    gradient: f64,
    /// Of the weights and running statistics after the last step, and of the
    /// outputs in evaluation.
    result: f64,
    /// Where the true gradient of a tensor is zero, all of what is found is
    /// rounding: it is held against this share of the largest gradient of all.
    gradient_floor: f64,
    /// An element whose first gradient is below this share of the largest
    /// gradient is taken to have none.
    noise: f64,
}

/// In f64 the run is the same up to the order of sums; what is left is the
/// rounding of the stored tensors to f32, 6e-8. So this is stricter than the
/// losses' tolerance by contract: an epsilon or a momentum that is off by a tenth
/// shows.
const F64: Tolerance = Tolerance {
    early_loss: 1e-6,
    loss: 1e-6,
    gradient: 1e-6,
    result: 1e-6,
    gradient_floor: 1e-6,
    noise: 0.0,
};

/// In f32 every step adds its rounding, and the next ones amplify it. Losses are
/// held to the contract; weights and outputs to the same as the last loss.
const F32: Tolerance = Tolerance {
    early_loss: 1e-4,
    loss: 2e-3,
    gradient: 1e-4,
    result: 2e-3,
    gradient_floor: 0.1,
    noise: 1e-6,
};

/// The steps whose losses are early.
const EARLY: usize = 10;

pub(super) fn run(file: &File, op: &str, spec: &TrainSpec, kernels: &Kernels) -> Outcome {
    let case = format!("{} steps", spec.steps);
    outcome(op, &case, kernels, |float, choice| check(file, spec, float, choice, kernels.mode))
}

fn check(
    file: &File,
    spec: &TrainSpec,
    float: DType,
    choice: &Choice,
    mode: structure::Mode,
) -> Result<f64, Failed> {
    let tolerance = if float == DType::F64 { &F64 } else { &F32 };
    let (model, settings) = (model(spec)?, learner_settings(spec)?);
    let data = Recorded::new(file, spec)?;
    let setup = Setup {
        model: model.clone(),
        shape: data.shape(),
        seed: 0,
        kernels: choice.clone(),
        float,
        mode,
    };
    let entry = speck_learners::find("gradient").ok_or_else(|| failed("no gradient learner"))?;
    let mut learner = (entry.make)(&settings, setup).map_err(failed)?;
    load(file, &mut *learner, float)?;

    let mut worst: f64 = 0.0;
    let step = Step::new(&settings, &*model, data.shape(), float, mode).map_err(failed)?;
    let steepest = steepest(file);
    for (name, found) in gradients(step, &data, learner.state().map_err(failed)?, choice)? {
        if let Some(expected) = file.tensors.get(&format!("grad0/{name}")) {
            let scale = largest(&expected.reals()).max(tolerance.gradient_floor * steepest);
            let limit = |_| (tolerance.gradient * scale, scale);
            worst =
                worst.max(compare(&format!("first gradient of {name}"), &found, expected, limit)?);
        }
    }
    let mut losses = Vec::new();
    for _ in 0..spec.steps {
        losses.push(learner.learn(&data, 1).map_err(failed)?);
    }
    let expected = stored(file, "loss", &[spec.steps])?.reals();
    let limit = |step, expected: f64| {
        let share = if step < EARLY { tolerance.early_loss } else { tolerance.loss };
        (share * expected.abs(), expected.abs())
    };
    worst = worst.max(agree("loss", &losses, &expected, limit)?);
    let travel = settings.float("rate") * spec.steps as f64;
    for (name, found) in learner.state().map_err(failed)?.iter() {
        if let Some(expected) = file.tensors.get(&format!("final/{name}")) {
            let first = file.tensors.get(&format!("grad0/{name}")).map(Stored::reals);
            let flat = |i: usize| {
                let first = first.as_ref().and_then(|values| values.get(i));
                first.is_some_and(|value| value.abs() < tolerance.noise * steepest)
            };
            let scale = largest(&expected.reals());
            // Adam divides a gradient by its own size: where there is none, it
            // makes steps up to the rate out of its rounding, in any direction.
            let limit = |i| {
                let own = tolerance.result * scale;
                let allowed = if flat(i) { own.max(travel) } else { own };
                (allowed, allowed / tolerance.result)
            };
            worst = worst.max(compare(&format!("final {name}"), found, expected, limit)?);
        }
    }
    let (graph, _) = mode
        .choose(|structured| evaluation(&*model, spec, &data, float, structured), |graph| graph)
        .map_err(failed)?;
    let mut program = compile(&graph, choice)?;
    data.feed(&mut program)?;
    let mut state = learner.state().map_err(failed)?.copy().map_err(failed)?;
    program.run(&mut state).map_err(failed)?;
    let found = program.output("output").map_err(failed)?;
    let expected = stored(file, "eval/output", found.shape())?;
    let scale = largest(&expected.reals());
    let limit = |_| (tolerance.result * scale, scale);
    Ok(worst.max(compare("evaluation", &found, expected, limit)?))
}

/// The largest element of all first gradients.
fn steepest(file: &File) -> f64 {
    let gradients = file.tensors.iter().filter(|(key, _)| key.starts_with("grad0/"));
    gradients.fold(0.0, |steepest: f64, (_, values)| steepest.max(largest(&values.reals())))
}

/// The model of the file, through the registry and its settings.
fn model(spec: &TrainSpec) -> Result<Arc<dyn Model>, Failed> {
    let kind = spec.model.get("arch").and_then(Json::as_str).unwrap_or_default();
    let entry = speck_models::find(kind)
        .ok_or_else(|| unsupported(format!("there is no model `{kind}`")))?;
    let mut given = Vec::new();
    for (key, value) in spec.model.iter().filter(|(key, _)| *key != "arch") {
        given.push((key.clone(), setting(key, value)?));
    }
    let settings =
        resolve(entry.dimensions, &given).map_err(|error| unsupported(error.to_string()))?;
    Ok((entry.make)(&settings).map_err(failed)?.into())
}

/// The settings of the gradient learner for the file's loss and optimizer.
fn learner_settings(spec: &TrainSpec) -> Result<Settings, Failed> {
    let text = |text: &str| Value::Text(text.to_owned());
    let loss = match spec.loss.as_str() {
        "axis_cross_entropy" => "cross-entropy",
        "bce" => "bce",
        "mse" => "mse",
        "coordinate_mse" => "coordinate",
        other => return Err(unsupported(format!("there is no loss `{other}`"))),
    };
    let mut given = vec![("loss".to_owned(), text(loss))];
    for (key, value) in [("batch", spec.batch), ("steps", spec.steps)] {
        let value = i64::try_from(value).map_err(failed)?;
        given.push((key.to_owned(), Value::Int(value)));
    }
    given.extend(optimizer(&spec.optimizer)?);
    let dimensions = speck_learners::find("gradient").map_or(&[][..], |entry| entry.dimensions);
    resolve(dimensions, &given).map_err(|error| unsupported(error.to_string()))
}

/// An optimizer under PyTorch's names, in the learner's settings.
fn optimizer(spec: &Map<String, Json>) -> Result<Vec<(String, Value)>, Failed> {
    let name = spec.get("name").and_then(Json::as_str).unwrap_or_default();
    let mut given = vec![("optimizer".to_owned(), Value::Text(name.to_owned()))];
    for (key, value) in spec.iter().filter(|(key, _)| *key != "name") {
        match (key.as_str(), value) {
            ("lr", _) => given.push(("rate".to_owned(), setting(key, value)?)),
            ("eps", _) => given.push(("epsilon".to_owned(), setting(key, value)?)),
            ("betas", Json::Array(betas)) if betas.len() == 2 => {
                given.push(("beta1".to_owned(), setting(key, &betas[0])?));
                given.push(("beta2".to_owned(), setting(key, &betas[1])?));
            }
            _ => given.push((key.clone(), setting(key, value)?)),
        }
    }
    Ok(given)
}

pub(super) fn setting(key: &str, value: &Json) -> Result<Value, Failed> {
    let value = serde_json::from_value(value.clone());
    value.map_err(|_| unsupported(format!("`{key}` is no setting")))
}

pub(super) fn unsupported(message: String) -> Failed {
    Failed { status: Status::Unsupported, message, worst: None }
}

/// Puts the file's initial tensors into the learner: by name, each of them, and
/// nothing that the model does not have. Nor may the file compare what is not
/// there.
fn load(file: &File, learner: &mut dyn Learner, float: DType) -> Result<(), Failed> {
    let mut initial = Vec::new();
    for (key, tensor) in &file.tensors {
        let Some((part, name)) = key.split_once('/') else { continue };
        if !["init", "grad0", "final"].contains(&part) {
            continue;
        }
        if name.starts_with(PRIVATE) || learner.state().map_err(failed)?.get(name).is_none() {
            return Err(failed(format!("the model has no tensor `{name}`")));
        }
        if part != "init" {
            continue;
        }
        let ty = TensorType::new(float, &tensor.shape);
        initial.push((name.to_owned(), Tensor::new(&ty, &tensor.reals())));
    }
    learner.adopt(&initial).map_err(failed)
}

/// The gradients of the first step.
fn gradients(
    step: Step,
    data: &Recorded,
    state: &State,
    choice: &Choice,
) -> Result<Vec<(String, Tensor)>, Failed> {
    let Step { graph, parameters, gradients, .. } = step;
    let output = |name: &str| format!("gradient of {name}");
    for ((name, _), gradient) in parameters.iter().zip(gradients) {
        graph.output(&output(name), gradient).map_err(failed)?;
    }
    let mut program = compile(&graph, choice)?;
    data.feed(&mut program)?;
    let rate = Tensor::zeros(&TensorType::new(graph.float(), &[]));
    program.set_input("rate", &rate).map_err(failed)?;
    program.run(&mut state.copy().map_err(failed)?).map_err(failed)?;
    let names = parameters.into_iter().map(|(name, _)| name);
    names.map(|name| Ok((name.clone(), program.output(&output(&name)).map_err(failed)?))).collect()
}

/// What the model puts out for a batch in evaluation; of a model trained on
/// coordinates, the coordinates.
fn evaluation(
    model: &dyn Model,
    spec: &TrainSpec,
    data: &Recorded,
    float: DType,
    structured: bool,
) -> Result<structure::Built<Graph>, GraphError> {
    let graph = Graph::new(float);
    let screen = screen::declare(&graph, data.shape())?;
    let builder = Builder::new(&graph, Mode::Evaluation);
    let mut output = model.append(&builder, screen.image)?;
    if spec.loss == "coordinate_mse" {
        output = graph.coordinates(output, &speck_models::SCREEN)?;
    }
    graph.output("output", output)?;
    let notes = if structured { structure::rewrite_noted(&graph, &[])?.1 } else { Vec::new() };
    Ok((graph, notes))
}

fn compile(graph: &Graph, choice: &Choice) -> Result<Program, Failed> {
    let options = Options { kernels: choice.clone(), poison: true, ..Options::default() };
    Program::compile(graph, &options).map_err(failed)
}

fn compare(
    name: &str,
    found: &Tensor,
    expected: &Stored,
    limit: impl Fn(usize) -> (f64, f64),
) -> Result<f64, Failed> {
    if found.shape() != expected.shape {
        let message = format!("{name}: {:?} instead of {:?}", found.shape(), expected.shape);
        return Err(failed(message));
    }
    agree(name, &found.to_f64(), &expected.reals(), |i, _| limit(i))
}

pub(super) fn stored<'a>(
    file: &'a File,
    name: &str,
    shape: &[usize],
) -> Result<&'a Stored, Failed> {
    let tensor =
        file.tensors.get(name).ok_or_else(|| failed(format!("the file has no tensor `{name}`")))?;
    if tensor.shape != shape {
        let message = format!("`{name}` is {:?}, {shape:?} is wanted", tensor.shape);
        return Err(failed(message));
    }
    Ok(tensor)
}

/// The batches of the run.
struct Recorded {
    shape: BatchShape,
    batches: Vec<SpeckBatch>,
}

impl Recorded {
    fn new(file: &File, spec: &TrainSpec) -> Result<Self, Failed> {
        let (steps, samples) = (spec.steps, spec.batch);
        let colours = stored(file, "specks/colour", &[steps, samples, 3])?.reals();
        let backgrounds = stored(file, "background/colour", &[steps, samples, 3])?.reals();
        let rows = places(stored(file, "specks/row", &[steps, samples])?)?;
        let columns = places(stored(file, "specks/col", &[steps, samples])?)?;
        let shape = BatchShape { samples, specks: 1, backgrounds: samples, size: 1, falloff: 0.0 };
        let part = |values: &[f64], step: usize| {
            values[step * samples * 3..(step + 1) * samples * 3].iter().map(|v| *v as f32).collect()
        };
        let batch = |step: usize| {
            let own = step * samples..(step + 1) * samples;
            let pairs = rows[own.clone()].iter().zip(&columns[own]);
            SpeckBatch {
                shape,
                positions: pairs.flat_map(|(row, column)| [*row, *column]).collect(),
                colours: part(&colours, step),
                background: part(&backgrounds, step),
            }
        };
        if steps == 0 || samples == 0 {
            return Err(failed("a run without steps or samples"));
        }
        Ok(Recorded { shape, batches: (0..steps).map(batch).collect() })
    }

    fn feed(&self, program: &mut Program) -> Result<(), Failed> {
        screen::feed(program, &self.batches[0]).map_err(failed)
    }
}

impl Batches for Recorded {
    fn shape(&self) -> BatchShape {
        self.shape
    }

    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clone_from(&self.batches[step as usize % self.batches.len()]);
    }
}

/// Rows or columns of the screen.
fn places(stored: &Stored) -> Result<Vec<i32>, Failed> {
    let Values::Integer(values) = &stored.values else {
        return Err(failed("rows and columns must be whole numbers"));
    };
    let place = |value: &i64| {
        let place = i32::try_from(*value).ok().filter(|_| (0..SCREEN as i64).contains(value));
        place.ok_or_else(|| failed(format!("{value} is no row or column of the screen")))
    };
    values.iter().map(place).collect()
}
