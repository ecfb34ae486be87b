//! Every entry of the gradient learner's registries trains on a GPU as it does on the
//! processor, in dense and in structured programs.
//!
//! Where there is no GPU these tests say so and count what they left out; with
//! `SPECK_REQUIRE_GPU=1` that is a failure.

use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::structure::Mode;
use speck_engine::{DType, Tensor};
use speck_learners::gradient::{losses, meta, optimizers, pretexts, regularizers};
use speck_learners::{BatchShape, Batches, Learner, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};
use std::sync::Arc;

const SHAPE: BatchShape =
    BatchShape { samples: 8, specks: 2, backgrounds: 1, size: 1, falloff: 0.0 };

/// Steps of a training.
const STEPS: u64 = 3;

/// How far a tensor may be from where the processor has it, as a share of the way that
/// it went. Rounding is some 1e-6 of a gradient; what an optimizer makes of the sign of
/// a gradient that is nearly nothing, or of its size, is more.
const AWAY: f64 = 2e-3;

/// How much further from f64 than the processor's f32 a tensor may be where rounding
/// itself is amplified beyond [`AWAY`]: roots of the smallest eigenvalues, which are a
/// millionth of the largest, and what is divided by in their directions. One drawn
/// rounding against another: an order of magnitude is luck.
const AMPLIFIED: f64 = 10.0;

struct Specks;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.background.fill(0.25);
        let places = batch.positions.iter_mut().enumerate();
        places.for_each(|(i, at)| *at = ((step as usize * 31 + i * 17 + i * i) % 64) as i32);
        let colours = batch.colours.iter_mut().enumerate();
        colours.for_each(|(i, c)| *c = 0.2 + ((step as usize + i) % 5) as f32 / 5.0);
    }
}

type Given = Vec<(&'static str, Value)>;

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// The models that entries are tried on.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// A perceptron, whose first layer is updated by rows in structured programs.
    Mlp,
    /// Convolutions with dropout.
    Cnn,
    /// Residual branches.
    Resnet,
}

impl Of {
    fn model(self) -> (&'static str, Given) {
        let list =
            |sizes: &[i64]| Value::List(sizes.iter().map(|size| Value::Int(*size)).collect());
        match self {
            Of::Mlp => ("mlp", vec![("hidden", list(&[6]))]),
            Of::Cnn => ("cnn", vec![("channels", list(&[2])), ("dropout", Value::Float(0.2))]),
            Of::Resnet => ("resnet", vec![("width", Value::Int(2)), ("blocks", Value::Int(1))]),
        }
    }
}

fn learner(given: &Given, of: Of, mode: Mode, kernels: Choice, float: DType) -> Box<dyn Learner> {
    let owned = |given: &Given| -> Vec<(String, Value)> {
        given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let (name, of_model) = of.model();
    let entry = speck_models::find(name).expect("a model");
    let settings = resolve(entry.dimensions, &owned(&of_model)).expect("settings of the model");
    let model = (entry.make)(&settings).expect("a model").into();
    let entry = speck_learners::find("gradient").expect("a learner");
    let settings = resolve(entry.dimensions, &owned(given)).expect("settings");
    let setup = Setup { model, shape: SHAPE, seed: 5, kernels, float, mode };
    (entry.make)(&settings, setup).unwrap_or_else(|error| panic!("{given:?}: {error}"))
}

fn slots(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().expect("a state").iter();
    state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// Settings without an optimizer that asks how small a gradient is.
fn descending(given: Given) -> Given {
    [vec![("optimizer", text("sgd")), ("rate", Value::Float(0.1))], given].concat()
}

/// Trains on both, and says what differs too much.
fn compared(gpu: &Arc<Gpu>, given: &Given, of: Of, mode: Mode) -> Option<String> {
    let mut cpu = learner(given, of, mode, Choice::default(), DType::F32);
    let on_gpu = Choice::default().on(Some(gpu.clone()));
    let mut other = learner(given, of, mode, on_gpu, DType::F32);
    let before = slots(&mut *cpu);
    for step in 0..STEPS {
        let wanted = cpu.learn(&Specks, 1).unwrap_or_else(|error| panic!("{given:?}: {error}"));
        let found = match other.learn(&Specks, 1) {
            Ok(found) => found,
            Err(error) => return Some(format!("step {step}: {error}")),
        };
        if !((found - wanted).abs() <= 1e-3 * wanted.abs().max(1e-3)) {
            return Some(format!("step {step}: a loss of {found} instead of {wanted}"));
        }
    }
    let (wanted, found) = (slots(&mut *cpu), slots(&mut *other));
    let mut exact = None;
    for (((name, a), (_, b)), (_, start)) in wanted.iter().zip(&found).zip(&before) {
        let [a, b, start] = [a, b, start].map(Tensor::to_f64);
        // What is left over of a system of equations is rounding, and so is where to go on.
        if ["residual", "conjugate"].iter().any(|part| name.contains(part)) {
            continue;
        }
        // What a schedule remembers may be infinite.
        let apart = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { a - b };
        let way = norm(a.iter().zip(&start).map(apart));
        let away = norm(a.iter().zip(&b).map(apart));
        // Some 10 units in the last place are no way either.
        let least = 1e-6 * norm(a.iter().copied());
        if a.len() == b.len() && away <= AWAY * way + least {
            continue;
        }
        // Is it as far from what there is without rounding?
        let exact = exact.get_or_insert_with(|| {
            let mut exact = learner(given, of, mode, Choice::default(), DType::F64);
            exact.learn(&Specks, STEPS).map(|_| slots(&mut *exact))
        });
        let exact = match exact {
            Ok(exact) => exact.iter().find(|(other, _)| other == name),
            Err(error) => return Some(format!("in f64: {error}")),
        };
        let Some(exact) = exact.map(|(_, tensor)| tensor.to_f64()) else {
            return Some(format!("`{name}` is not there in f64"));
        };
        let off = |of: &[f64]| norm(of.iter().zip(&exact).map(apart));
        let (own, found) = (off(&a), off(&b));
        println!("`{name}` of {given:?}: {found:e} from f64, the processor's f32 {own:e}");
        if a.len() != b.len() || !(found <= AMPLIFIED * own) {
            return Some(format!(
                "`{name}` is {away:e} away, after a way of {way:e}, and {found:e} from f64, {own:e} there"
            ));
        }
    }
    None
}

/// The first GPU; where there is none, says what is left out.
fn gpu(what: &str, count: usize) -> Option<Arc<Gpu>> {
    match Gpu::open(0, false) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => {
            println!("skipped: {count} {what}, for there is no GPU");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn all_agree(what: &str, cases: Vec<(Given, Of)>) {
    let Some(gpu) = gpu(what, cases.len()) else { return };
    let mut failures = Vec::new();
    for (given, of) in &cases {
        let start = std::time::Instant::now();
        for mode in [Mode::Dense, Mode::Structured] {
            if let Some(error) = compared(&gpu, given, *of, mode) {
                failures.push(format!("{given:?} {of:?} {mode:?}: {error}"));
            }
        }
        println!("{:5.2} s {given:?}", start.elapsed().as_secs_f64());
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn optimizers_agree_with_the_cpu() {
    let mut cases = Vec::new();
    for entry in optimizers::ALL {
        let mut given = vec![("optimizer", text(entry.name))];
        // Where a matrix has no full rank, which of its eigenvectors soap takes is
        // anybody's guess; the six units of the hidden layer have seen eight samples.
        let full = ("largest_dimension", if entry.name == "soap" { 8 } else { 256 });
        let few = [("max_iter", 2), ("cg_iterations", 2), ("history_size", 3), full];
        for (name, few) in few {
            if entry.dimensions.iter().any(|dimension| dimension.name == name) {
                given.push((name, Value::Int(few)));
            }
        }
        cases.push((given, Of::Mlp));
    }
    let number = Value::Float;
    let wrapped: [Given; 6] = [
        vec![("sam", number(0.05))],
        vec![("lookahead", Value::Int(2)), ("clip_norm", number(0.1))],
        vec![("average", text("ema")), ("clip_value", number(1e-3))],
        vec![("average", text("swa")), ("accumulate", Value::Int(2))],
        vec![("clip_adaptive", number(0.01)), ("schedule", text("reduce_on_plateau"))],
        vec![("initialization", text("lsuv"))],
    ];
    cases.extend(wrapped.map(|given| (given, Of::Mlp)));
    all_agree("optimizers", cases);
}

#[test]
fn regularizers_agree_with_the_cpu() {
    let number = Value::Float;
    let mut cases: Vec<(Given, Of)> = [
        ("mixup", 0.4),
        ("cutmix", 1.0),
        ("label_smoothing", 0.1),
        ("label_blur", 1.0),
        ("input_noise", 0.1),
        ("weight_noise", 0.01),
        ("drop_connect", 0.2),
        ("l1", 1e-3),
        ("l2", 1e-2),
        ("confidence_penalty", 0.1),
        ("gradient_noise", 1e-4),
        ("max_norm", 0.5),
        ("spectral_norm", 0.5),
    ]
    .map(|(name, value)| (vec![(name, number(value))], Of::Cnn))
    .into();
    cases.push((vec![("drop_path", number(0.3))], Of::Resnet));
    cases.push((vec![("adversarial", text("fgsm"))], Of::Cnn));
    let iterations = ("adversarial_iterations", Value::Int(2));
    cases.push((vec![("adversarial", text("pgd")), iterations], Of::Cnn));
    cases.push((vec![("dropped", text("maps"))], Of::Cnn));
    cases.push((vec![("dropped", text("alpha"))], Of::Cnn));
    for entry in regularizers::ALL {
        assert!(cases.iter().any(|(given, _)| given[0].0 == entry.name), "{}", entry.name);
    }
    cases.push((vec![("origin_decay", number(0.1))], Of::Cnn));
    cases.push((vec![("adapter_rank", Value::Int(2))], Of::Cnn));
    cases.push((vec![("distillation", number(0.5))], Of::Cnn));
    let cases = cases.into_iter().map(|(given, of)| (descending(given), of));
    all_agree("regularizers", cases.collect());
}

#[test]
fn losses_agree_with_the_cpu() {
    let given = |entry: &losses::LossEntry| (descending(vec![("loss", text(entry.name))]), Of::Mlp);
    all_agree("losses", losses::ALL.iter().map(given).collect());
}

#[test]
fn pretexts_and_tasks_agree_with_the_cpu() {
    let of = |key, name| (descending(vec![(key, text(name))]), Of::Mlp);
    let pretext = |entry: &pretexts::PretextEntry| of("pretext", entry.name);
    let tasks = |entry: &meta::MetaEntry| of("meta", entry.name);
    let all = pretexts::ALL.iter().map(pretext).chain(meta::ALL.iter().map(tasks));
    all_agree("pretexts and ways to learn tasks", all.collect());
}

/// How far a tensor that was trained with 16 bits may be from where the processor has it,
/// as a share of what storing in 16 bits changes there. Sums are added in another order,
/// so that now and then a value is rounded to the other neighbour; one that all pixels of
/// a background share changes much. Seen were 0.08 on a program on the processor.
const FLIPPED: f64 = 0.25;

#[test]
fn training_with_16_bits_agrees_with_the_cpu() {
    // Without a scale most cotangents of a residual net lie among the smallest numbers of
    // f16: there the processor's own kernels are as far from each other as from f32.
    let storages = [("bf16", "none"), ("f16", "dynamic")];
    let Some(gpu) = gpu("trainings with 16 bits", 6 * storages.len()) else { return };
    let mut failures = Vec::new();
    for (storage, scaling) in storages {
        for of in [Of::Mlp, Of::Cnn, Of::Resnet] {
            for mode in [Mode::Dense, Mode::Structured] {
                let plain = descending(vec![("loss_scaling", text(scaling))]);
                let half = [plain.clone(), vec![("storage", text(storage))]].concat();
                let trained = |given: &Given, kernels: Choice| {
                    let mut learner = learner(given, of, mode, kernels, DType::F32);
                    learner.learn(&Specks, STEPS).expect("steps");
                    slots(&mut *learner)
                };
                let plain = trained(&plain, Choice::default());
                let wanted = trained(&half, Choice::default());
                let found = trained(&half, Choice::default().on(Some(gpu.clone())));
                for (((name, a), (_, b)), (_, plain)) in wanted.iter().zip(&found).zip(&plain) {
                    let [a, b, plain] = [a, b, plain].map(Tensor::to_f64);
                    let off = |of: &[f64]| norm(of.iter().zip(&a).map(|(x, a)| x - a));
                    let (away, changed) = (off(&b), off(&plain));
                    let least = 1e-6 * norm(a.iter().copied());
                    if a.len() != b.len() || !(away <= FLIPPED * changed + least) {
                        let of = format!("{storage} {of:?} {mode:?}");
                        let changed = format!("where 16 bits change {changed:e}");
                        failures.push(format!("{of}: `{name}` is {away:e} away, {changed}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
