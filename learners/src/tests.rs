//! Tests that walk the registry of learners.

use super::*;
use speck_models::settings::{Value, resolve};

/// One white speck a sample on black, at 48 places in turn: few enough to be
/// learned in some dozens of steps.
struct Specks(BatchShape);

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        self.0
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for sample in 0..self.0.samples {
            let place = (step as usize * self.0.samples + sample) % 48 * 83 % 4096;
            batch.positions[sample * 2] = (place / 64) as i32;
            batch.positions[sample * 2 + 1] = (place % 64) as i32;
        }
    }
}

const SHAPE: BatchShape =
    BatchShape { samples: 32, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };

fn setup(model: Arc<dyn Model>) -> Setup {
    Setup {
        model,
        shape: SHAPE,
        seed: 7,
        kernels: Choice::default(),
        float: DType::F32,
        mode: structure::Mode::Dense,
    }
}

fn made(entry: &LearnerEntry, model: &str, given: &[(&str, Value)]) -> Box<dyn Learner> {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let settings = resolve(entry.dimensions, &given).unwrap();
    let model = speck_models::find(model).unwrap();
    let small = ("hidden".to_owned(), list(&[24]));
    let small = if model.name == "mlp" { vec![small] } else { Vec::new() };
    let model = (model.make)(&resolve(model.dimensions, &small).unwrap()).unwrap();
    let setup = setup(model.into());
    (entry.make)(&settings, setup).unwrap()
}

fn saved(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    learner
        .state()
        .unwrap()
        .iter()
        .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
        .collect()
}

#[test]
fn every_learner_learns_resumes_and_is_adopted() {
    for entry in ALL {
        let mut whole = made(entry, "linear", &[]);
        let first = whole.learn(&Specks(SHAPE), 4).unwrap();
        let saved_state = saved(&mut *whole);
        let last = whole.learn(&Specks(SHAPE), 12).unwrap();
        assert!(last < first, "{}: {first} then {last}", entry.name);
        assert_eq!(whole.steps(), 16);

        let mut resumed = made(entry, "linear", &[]);
        resumed.restore(saved_state).unwrap();
        assert_eq!(resumed.steps(), 4);
        resumed.learn(&Specks(SHAPE), 12).unwrap();
        assert_eq!(saved(&mut *resumed), saved(&mut *whole), "{}", entry.name);

        let mut student = made(entry, "linear", &[]);
        student.adopt(&saved(&mut *whole)).unwrap();
        assert_eq!(student.steps(), 0);
        let mut batch = SpeckBatch::new(SHAPE);
        Specks(SHAPE).fill(3, &mut batch);
        let predictions = [&mut whole, &mut student].map(|learner| {
            let mut brightness = vec![f32::NAN; SHAPE.samples * TARGETS];
            learner.predict(&batch, &mut brightness).unwrap();
            brightness
        });
        assert_eq!(predictions[0], predictions[1]);
        assert!(predictions[0].iter().all(|value| value.is_finite()));
    }
}

#[test]
fn every_optimizer_schedule_and_loss_lowers_the_loss() {
    let entry = find("gradient").unwrap();
    let text = |value: &str| Value::Text(value.to_owned());
    let mut variants = Vec::new();
    // Rates at which each of them gets somewhere in so few steps.
    let rate = |name: &str| match name {
        "adadelta" | "lars" => 1.0,
        "lion" => 1e-3,
        _ => 0.01,
    };
    for name in gradient::optimizers::ALL.iter().map(|entry| entry.name) {
        let mut given = vec![("optimizer", text(name)), ("rate", Value::Float(rate(name)))];
        if ["shampoo", "soap"].contains(&name) {
            given.push(("largest_dimension", Value::Int(40)));
        }
        if ["lbfgs", "newton_cg", "levenberg_marquardt"].contains(&name) {
            given[1] = ("rate", Value::Float(0.5));
        }
        if ["newton_cg", "levenberg_marquardt"].contains(&name) {
            given.push(("cg_iterations", Value::Int(3)));
        }
        if name == "lbfgs" {
            given.extend([("max_iter", Value::Int(2)), ("history_size", Value::Int(5))]);
            given.push(("line_search_fn", text("strong_wolfe")));
        }
        variants.push(given);
    }
    let with_rate = |key, name: &str| vec![(key, text(name)), ("rate", Value::Float(0.01))];
    variants.extend(gradient::schedules::ALL.iter().map(|s| with_rate("schedule", s.name)));
    variants.extend(gradient::losses::ALL.iter().map(|l| with_rate("loss", l.name)));
    let regularized =
        |n: &str| [with_rate("loss", "coordinate"), vec![("heat_regularizer", text(n))]].concat();
    variants
        .push([with_rate("average", "ema"), vec![("average_decay", Value::Float(0.9))]].concat());
    for (key, value) in [
        ("clip_norm", Value::Float(0.5)),
        ("clip_value", Value::Float(0.01)),
        ("clip_adaptive", Value::Float(0.1)),
        ("accumulate", Value::Int(2)),
        ("lookahead", Value::Int(5)),
        ("average", text("swa")),
        ("sam", Value::Float(0.05)),
        ("warmup_steps", Value::Int(10)),
    ] {
        variants.push(vec![(key, value), ("rate", Value::Float(0.01))]);
    }
    variants.extend(["none", "variance", "kullback-leibler", "jensen-shannon"].map(regularized));
    for mut given in variants {
        given.push(("steps", Value::Int(64)));
        let mut learner = made(entry, "mlp", &given);
        let first = learner.learn(&Specks(SHAPE), 8).unwrap();
        learner.learn(&Specks(SHAPE), 48).unwrap();
        let last = learner.learn(&Specks(SHAPE), 8).unwrap();
        assert!(last < first, "{given:?}: {first} then {last}");
    }
}

#[test]
fn cosine_falls_from_one_to_the_final_share() {
    let entry = find("gradient").unwrap();
    let text = Value::Text("cosine".to_owned());
    let given = [("schedule".to_owned(), text), ("final_rate".to_owned(), Value::Float(0.1))];
    let settings = resolve(entry.dimensions, &given).unwrap();
    let cosine = gradient::schedules::make(&settings);
    let rate =
        |step| cosine.rate(gradient::schedules::Place { base: 2.0, step, total: 100 }, &[]) / 2.0;
    assert_eq!(rate(0), 1.0);
    assert!((rate(50) - 0.55).abs() < 1e-12);
    assert!((rate(100) - 0.1).abs() < 1e-12);
}

#[test]
fn predictions_do_not_depend_on_how_a_batch_is_cut() {
    let entry = find("gradient").unwrap();
    let mut learner = made(entry, "cnn", &[]);
    let big = BatchShape { samples: 70, specks: 3, backgrounds: 70, ..SHAPE };
    let mut batch = SpeckBatch::new(big);
    for (i, value) in batch.positions.iter_mut().enumerate() {
        *value = (i * 29 % 64) as i32;
    }
    batch.colours.iter_mut().enumerate().for_each(|(i, c)| *c = (i % 7) as f32 / 7.0);
    batch.background.iter_mut().enumerate().for_each(|(i, c)| *c = (i % 5) as f32 / 5.0);
    let mut whole = vec![f32::NAN; 70 * TARGETS];
    learner.predict(&batch, &mut whole).unwrap();
    let one = BatchShape { samples: 1, ..big };
    let mut single = SpeckBatch::new(BatchShape { backgrounds: 1, ..one });
    for sample in [0, 63, 64, 69] {
        single.positions.copy_from_slice(&batch.positions[sample * 6..sample * 6 + 6]);
        single.colours.copy_from_slice(&batch.colours[sample * 9..sample * 9 + 9]);
        single.background.copy_from_slice(&batch.background_of(sample));
        let mut alone = vec![f32::NAN; TARGETS];
        learner.predict(&single, &mut alone).unwrap();
        assert_eq!(alone, whole[sample * TARGETS..(sample + 1) * TARGETS]);
    }
}

#[test]
fn the_hebbian_learner_wants_the_linear_model() {
    let entry = find("hebbian").unwrap();
    let settings = resolve(entry.dimensions, &[]).unwrap();
    let model = speck_models::find("mlp").unwrap();
    let model = (model.make)(&resolve(model.dimensions, &[]).unwrap()).unwrap();
    let setup = setup(model.into());
    let error = (entry.make)(&settings, setup).err().unwrap().to_string();
    assert!(error.contains("`linear`, not `mlp`"), "{error}");
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let entry = find("gradient").unwrap();
    let mut learner = made(entry, "linear", &[]);
    let mut state = saved(&mut *learner);
    state.pop();
    assert!(learner.restore(state).is_err());
}

/// A learner of a small model whose programs are of this mode.
fn small(mode: structure::Mode, model: &str, given: &[(&str, Value)]) -> Box<dyn Learner> {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let entry = speck_models::find(model).unwrap();
    let model = (entry.make)(&resolve(entry.dimensions, &given).unwrap()).unwrap();
    let entry = find("gradient").unwrap();
    let rate = ("rate".to_owned(), Value::Float(0.002));
    let settings = resolve(entry.dimensions, &[rate]).unwrap();
    (entry.make)(&settings, Setup { mode, ..setup(model.into()) }).unwrap()
}

fn list(values: &[i64]) -> Value {
    Value::List(values.iter().map(|value| Value::Int(*value)).collect())
}

/// Small models of each kind, with their settings.
fn small_models() -> [(&'static str, Vec<(&'static str, Value)>); 4] {
    [
        ("mlp", vec![("hidden", list(&[32]))]),
        ("cnn", vec![("channels", list(&[4, 8]))]),
        ("resnet", vec![("width", Value::Int(4)), ("blocks", Value::Int(2))]),
        ("dsnt", vec![("channels", list(&[4, 4])), ("norm", Value::Text("batch".to_owned()))]),
    ]
}

#[test]
fn structured_and_dense_programs_have_the_same_loss_curve() {
    for (model, given) in small_models() {
        let [mut dense, mut structured] = [structure::Mode::Dense, structure::Mode::Structured]
            .map(|mode| small(mode, model, &given));
        let mut first = None;
        let mut last = 0.0;
        for step in 0..200 {
            let wanted = dense.learn(&Specks(SHAPE), 1).unwrap();
            let found = structured.learn(&Specks(SHAPE), 1).unwrap();
            let error = (found - wanted).abs();
            assert!(error <= 1e-4, "{model}, step {step}: {found} instead of {wanted}");
            first.get_or_insert(wanted);
            last = wanted;
        }
        assert!(last < 0.95 * first.unwrap_or(0.0), "{model} learned: {first:?} then {last}");
    }
}

/// As [`Specks`], of a size, fading.
struct Fading(BatchShape);

impl Batches for Fading {
    fn shape(&self) -> BatchShape {
        self.0
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        Specks(self.0).fill(step, batch);
        batch.background.fill(0.25);
    }
}

#[test]
fn specks_that_fade_are_learned_and_predicted_alike_in_both_modes() {
    for (size, falloff) in [(1, 1.0), (3, 0.75), (9, 2.5)] {
        let shape = BatchShape { size, falloff, ..SHAPE };
        let modes = [structure::Mode::Dense, structure::Mode::Structured];
        let mut found = modes.map(|mode| {
            let model = speck_models::find("cnn").unwrap();
            let given = [("channels".to_owned(), list(&[4, 8]))];
            let model = (model.make)(&resolve(model.dimensions, &given).unwrap()).unwrap();
            let entry = find("gradient").unwrap();
            let settings = resolve(entry.dimensions, &[]).unwrap();
            let setup = Setup { mode, shape, ..setup(model.into()) };
            let mut learner = (entry.make)(&settings, setup).unwrap();
            assert_eq!(learner.describe().plan.structured, mode == structure::Mode::Structured);
            let losses: Vec<_> =
                (0..30).map(|_| learner.learn(&Fading(shape), 1).unwrap() as f32).collect();
            let mut batch = SpeckBatch::new(shape);
            Fading(shape).fill(3, &mut batch);
            let mut brightness = vec![f32::NAN; shape.samples * TARGETS];
            learner.predict(&batch, &mut brightness).unwrap();
            [losses, brightness].concat()
        });
        let [dense, structured] = &mut found;
        assert!(dense[29] < dense[0], "it learns: {} then {}", dense[0], dense[29]);
        for (at, (a, b)) in dense.iter().zip(structured.iter()).enumerate() {
            assert!((a - b).abs() <= 1e-4, "size {size}, {at}: {b} instead of {a}");
        }
    }
    // A speck that fades is another picture than one that does not.
    let [plain, fading] = [0.0, 0.75].map(|falloff| {
        let shape = BatchShape { size: 3, falloff, ..SHAPE };
        let mut batch = SpeckBatch::new(shape);
        Fading(shape).fill(3, &mut batch);
        let mut learner = small(structure::Mode::Structured, "cnn", &small_models()[1].1);
        let mut brightness = vec![f32::NAN; shape.samples * TARGETS];
        learner.predict(&batch, &mut brightness).unwrap();
        brightness
    });
    assert_ne!(plain, fading);
}

#[test]
fn predictions_are_the_same_in_every_mode() {
    for (model, given) in small_models() {
        for (specks, backgrounds) in [(1, 1), (3, 100)] {
            let shape = BatchShape { samples: 100, specks, backgrounds, ..SHAPE };
            let mut batch = SpeckBatch::new(shape);
            for (i, value) in batch.positions.iter_mut().enumerate() {
                *value = (i * 37 % 64) as i32;
            }
            batch.colours.iter_mut().enumerate().for_each(|(i, c)| *c = (i % 7) as f32 / 7.0);
            batch.background.iter_mut().enumerate().for_each(|(i, c)| *c = (i % 5) as f32 / 9.0);
            let modes =
                [structure::Mode::Dense, structure::Mode::Structured, structure::Mode::Auto];
            let [dense, structured, auto] = modes.map(|mode| {
                let mut learner = small(mode, model, &given);
                learner.learn(&Specks(SHAPE), 3).unwrap();
                let mut brightness = vec![f32::NAN; shape.samples * TARGETS];
                learner.predict(&batch, &mut brightness).unwrap();
                brightness
            });
            for other in [structured, auto] {
                for (a, b) in dense.iter().zip(&other) {
                    assert!((a - b).abs() <= 1e-4, "{model} {shape:?}: {b} instead of {a}");
                }
            }
        }
    }
}

#[test]
fn many_screens_of_one_colour_are_predicted_as_single_ones() {
    for (model, given) in small_models() {
        for size in [1, 3] {
            let shape = BatchShape { samples: 1500, size, ..SHAPE };
            let mut batch = SpeckBatch::new(shape);
            for sample in 0..shape.samples - 1 {
                let place = sample * 1237 % 4096;
                batch.positions[sample * 2] = (place / 64) as i32;
                batch.positions[sample * 2 + 1] = (place % 64) as i32;
            }
            batch.colours.fill(0.75);
            batch.background.copy_from_slice(&[0.125, 0.5, 0.0]);
            assert!(batch.is_of_one_colour());
            let [dense, alike] =
                [structure::Mode::Dense, structure::Mode::Structured].map(|mode| {
                    let mut learner = small(mode, model, &given);
                    learner.learn(&Specks(SHAPE), 3).unwrap();
                    let mut brightness = vec![f32::NAN; shape.samples * TARGETS];
                    learner.predict(&batch, &mut brightness).unwrap();
                    brightness
                });
            for (at, (a, b)) in dense.iter().zip(&alike).enumerate() {
                assert!((a - b).abs() <= 1e-4, "{model} {size}: {b} instead of {a} at {at}");
            }
        }
    }
}

#[test]
fn a_plan_says_why_and_a_ledger_what_is_skipped() {
    let given = [("channels", list(&[4, 8]))];
    let description = small(structure::Mode::Auto, "cnn", &given).describe();
    assert!(description.plan.structured, "{}", description.plan.why);
    assert!(description.plan.why.contains("cheaper"), "{}", description.plan.why);
    assert!(!description.plan.notes.is_empty());
    let [dense, executed] = description.ledger.total();
    assert_eq!(executed, description.step);
    assert!(executed.flops < dense.flops / 2, "{executed:?} of {dense:?}");
    let backward = description
        .ledger
        .entries
        .iter()
        .find(|entry| entry.op == "conv2d" && entry.backward && entry.path.contains('0'));
    let backward = backward.expect("the gradient of a convolution");
    assert!(0 < backward.executed.flops && backward.executed.flops < backward.dense.flops / 4);
    let plain = small(structure::Mode::Dense, "cnn", &given).describe();
    let [dense_again, same] = plain.ledger.total();
    assert_eq!((dense_again, same), (dense, plain.step));
}
