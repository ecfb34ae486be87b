//! How training begins: weights scaled by the first batch, and weights out of
//! files.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{DType, Tensor};
use speck_learners::{BatchShape, Batches, Learner, LearnerError, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};
use std::path::Path;

const SHAPE: BatchShape =
    BatchShape { samples: 9, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };

/// White specks on black.
struct Specks;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        let places = batch.positions.iter_mut().enumerate();
        places.for_each(|(i, at)| *at = ((step as usize * 31 + i * 17 + i * i) % 64) as i32);
    }
}

fn learner(
    hidden: &[i64],
    given: &[(&str, Value)],
    float: DType,
    mode: Mode,
) -> Result<Box<dyn Learner>, LearnerError> {
    let entry = speck_models::find("mlp").unwrap();
    let hidden = Value::List(hidden.iter().map(|n| Value::Int(*n)).collect());
    let of_model = resolve(entry.dimensions, &[("hidden".to_owned(), hidden)]).unwrap();
    let model = (entry.make)(&of_model).unwrap().into();
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let entry = speck_learners::find("gradient").unwrap();
    let settings = resolve(entry.dimensions, &given).unwrap();
    let setup = Setup { model, shape: SHAPE, seed: 4, kernels: Choice::default(), float, mode };
    (entry.make)(&settings, setup)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn texts(values: &[&str]) -> Value {
    Value::List(values.iter().map(|value| text(value)).collect())
}

fn state(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let all = learner.state().unwrap().iter();
    all.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn values(learner: &mut dyn Learner, name: &str) -> Vec<f64> {
    learner.state().unwrap().get(name).unwrap().to_f64()
}

fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
}

/// What a layer puts out for inputs of several samples.
fn layer(learner: &mut dyn Learner, number: usize, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let weight = values(learner, &format!("layers.{number}.weight"));
    let bias = values(learner, &format!("layers.{number}.bias"));
    let row = |x: &Vec<f64>, o: usize| {
        let row = &weight[o * x.len()..(o + 1) * x.len()];
        bias[o] + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
    };
    inputs.iter().map(|x| (0..bias.len()).map(|o| row(x, o)).collect()).collect()
}

#[test]
fn lsuv_gives_every_layer_variance_1_for_the_first_batch() {
    let given = [
        ("initialization", text("lsuv")),
        ("lsuv_tolerance", Value::Float(1e-3)),
        ("lsuv_iterations", Value::Int(50)),
        ("optimizer", text("sgd")),
        ("rate", Value::Float(0.0)),
    ];
    let mut batch = SpeckBatch::new(SHAPE);
    Specks.fill(0, &mut batch);
    let images: Vec<Vec<f64>> = batch
        .positions
        .chunks(2)
        .map(|place| {
            let mut image = vec![0.0; 3 * 4096];
            (0..3).for_each(|c| image[c * 4096 + (place[0] * 64 + place[1]) as usize] = 1.0);
            image
        })
        .collect();
    for mode in [Mode::Dense, Mode::Structured] {
        let mut learner = learner(&[12, 10], &given, DType::F64, mode).unwrap();
        let before = values(&mut *learner, "layers.0.weight");
        learner.begin(&Specks).unwrap();
        let begun = state(&mut *learner);
        learner.begin(&Specks).unwrap();
        assert!(state(&mut *learner) == begun, "once and for all");
        learner.learn(&Specks, 1).unwrap();
        let kept = begun.iter().find(|(name, _)| name == "layers.0.weight").unwrap();
        assert_eq!(values(&mut *learner, "layers.0.weight"), kept.1.to_f64(), "{mode:?}");
        let mut x = images.clone();
        for number in 0..3 {
            let y = layer(&mut *learner, number, &x);
            let found = variance(&y.concat());
            assert!((found - 1.0).abs() <= 1e-3, "layer {number}: {found}");
            x = y.iter().map(|y| y.iter().map(|y| y.max(0.0)).collect()).collect();
        }
        let after = values(&mut *learner, "layers.0.weight");
        // Scaled as a whole.
        let scale = after[0] / before[0];
        assert!((scale - 1.0).abs() > 0.1);
        for (a, b) in after.iter().zip(&before) {
            assert!((a - b * scale).abs() <= 1e-12 * b.abs());
        }
    }
}

#[test]
fn lsuv_leaves_what_was_learned() {
    let given = [("initialization", text("lsuv"))];
    let made = || learner(&[8], &given, DType::F32, Mode::Structured).unwrap();
    let mut whole = made();
    whole.learn(&Specks, 2).unwrap();
    let saved = state(&mut *whole);
    whole.learn(&Specks, 2).unwrap();
    let mut resumed = made();
    resumed.restore(saved.clone()).unwrap();
    resumed.learn(&Specks, 2).unwrap();
    assert_eq!(state(&mut *resumed), state(&mut *whole));
    // Weights of another learner begin as they are.
    let still = [given[0].clone(), ("optimizer", text("sgd")), ("rate", Value::Float(0.0))];
    let mut student = learner(&[8], &still, DType::F32, Mode::Dense).unwrap();
    student.adopt(&saved).unwrap();
    student.learn(&Specks, 1).unwrap();
    let learned = saved.iter().find(|(name, _)| name == "layers.0.weight").unwrap();
    assert_eq!(values(&mut *student, "layers.0.weight"), learned.1.to_f64());
}

#[test]
fn what_training_is_bound_to_are_the_scaled_weights() {
    for (key, value) in [("origin_decay", Value::Float(0.1)), ("adapter_rank", Value::Int(2))] {
        let given = [("initialization", text("lsuv")), (key, value)];
        let mut learner = learner(&[8], &given, DType::F32, Mode::Dense).unwrap();
        learner.begin(&Specks).unwrap();
        let name = "layers.0.weight";
        let origin = values(&mut *learner, &format!("learner/origin/{name}"));
        assert_eq!(values(&mut *learner, name), origin, "{key}");
        learner.learn(&Specks, 1).unwrap();
        // Not thrown back to weights that nothing has scaled.
        let moved = values(&mut *learner, name);
        let way = moved.iter().zip(&origin).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(way < 0.01, "{key}: {way}");
    }
}

#[test]
fn lsuv_leaves_weights_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.safetensors");
    write(&path, &[("layers.0.bias", &[8], 0.5), ("layers.1.weight", &[128, 8], -0.5)]);
    let given = [
        ("initialization", text("lsuv")),
        ("load", texts(&[&format!("layers.1.weight: {}", path.display())])),
    ];
    let mut learner = learner(&[8], &given, DType::F32, Mode::Dense).unwrap();
    let before = state(&mut *learner);
    learner.begin(&Specks).unwrap();
    for ((name, before), (_, after)) in before.iter().zip(&state(&mut *learner)) {
        assert_eq!(before != after, name == "layers.0.weight", "{name}");
    }
}

/// Writes tensors in f32, but one in f64.
fn write(path: &Path, tensors: &[(&str, &[usize], f64)]) {
    let bytes: Vec<(Dtype, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape, first)| {
            let n: usize = shape.iter().product();
            let all = (0..n).map(|at| first + at as f64);
            match name.ends_with("bias") {
                true => (Dtype::F64, all.flat_map(f64::to_le_bytes).collect()),
                false => (Dtype::F32, all.flat_map(|v| (v as f32).to_le_bytes()).collect()),
            }
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), (dtype, bytes))| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn tensors_are_loaded_by_pattern_and_the_rest_is_initialized() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write(
        &path,
        &[
            ("layers.0.bias", &[5], 10.0),
            ("layers.1.weight", &[128, 5], 20.0),
            ("layers.0.weight", &[5, 7], 30.0),
        ],
    );
    let path = path.to_str().unwrap();
    let plain =
        |name: &str| values(&mut *learner(&[5], &[], DType::F64, Mode::Dense).unwrap(), name);
    let load = |patterns: &[&str], missing: &str| {
        let all: Vec<_> = patterns.iter().map(|p| format!("{p}: {path}")).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let given = [("load", texts(&all)), ("load_missing", text(missing))];
        learner(&[5], &given, DType::F64, Mode::Dense)
    };
    let mut found = load(&["layers.0.bias", "layers.1.w*"], "refuse").unwrap();
    assert_eq!(values(&mut *found, "layers.0.bias"), [10.0, 11.0, 12.0, 13.0, 14.0]);
    assert_eq!(values(&mut *found, "layers.1.weight")[639], 659.0);
    for name in ["layers.0.weight", "layers.1.bias"] {
        assert_eq!(values(&mut *found, name), plain(name), "{name}");
    }
    // What is not there, or not of that shape.
    let error = |patterns: &[&str]| load(patterns, "refuse").err().unwrap().to_string();
    assert!(error(&["*.bias"]).contains("has no tensor layers.1.bias"));
    assert!(error(&["layers.0.weight"]).contains("is [5, 7], not [5, 12288]"));
    assert!(error(&["conv*"]).contains("no tensor is called \"conv*\"; there are layers.0"));
    let mut found = load(&["*"], "initialize").unwrap();
    assert_eq!(values(&mut *found, "layers.0.bias")[0], 10.0);
    for name in ["layers.0.weight", "layers.1.bias"] {
        assert_eq!(values(&mut *found, name), plain(name), "{name}");
    }
    // Files that cannot be read.
    let refused = |given: &str| {
        let given = [("load", texts(&[given]))];
        learner(&[5], &given, DType::F64, Mode::Dense).err().unwrap().to_string()
    };
    assert!(refused("layers*").contains("expected \"PATTERN: FILE.safetensors\""));
    assert!(refused("*: nowhere.safetensors").contains("nowhere.safetensors cannot be read"));
    let torn = folder.path().join("torn.safetensors");
    std::fs::write(&torn, b"no tensors").unwrap();
    assert!(refused(&format!("*: {}", torn.display())).contains("torn.safetensors: "));
}

#[test]
fn what_was_learned_with_means_predicts_with_them() {
    let average = |start| {
        [
            ("rate", Value::Float(0.05)),
            ("average", text("ema")),
            ("average_decay", Value::Float(0.9)),
            ("average_start", Value::Int(start)),
        ]
    };
    let mut batch = SpeckBatch::new(SHAPE);
    Specks.fill(77, &mut batch);
    let predicted = |learner: &mut dyn Learner| {
        let mut brightness = vec![0.0; SHAPE.samples * 128];
        learner.predict(&batch, &mut brightness).unwrap();
        brightness
    };
    for (start, begun) in [(2, true), (20, false)] {
        let mut averaging = learner(&[4], &average(start), DType::F64, Mode::Dense).unwrap();
        averaging.learn(&Specks, 6).unwrap();
        let wanted = predicted(&mut *averaging);
        let mut heir = learner(&[4], &[], DType::F64, Mode::Dense).unwrap();
        heir.adopt(&averaging.learned().unwrap()).unwrap();
        assert_eq!(predicted(&mut *heir), wanted);
        heir.adopt(&state(&mut *averaging)).unwrap();
        assert_eq!(predicted(&mut *heir) != wanted, begun, "the last weights");
    }
}
