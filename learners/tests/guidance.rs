//! A teacher, the way back to where training began, and adapters: each against
//! its formula, from plain steps and predictions.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure};
use speck_learners::{BatchShape, Batches, Inheritance, Learner, Setup, SpeckBatch, TARGETS};
use speck_models::settings::{Value, resolve};

const SHAPE: BatchShape =
    BatchShape { samples: 6, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };
const RATE: f64 = 0.1;

/// One batch, over and over.
struct Same;

impl Batches for Same {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, _: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for (i, place) in batch.positions.iter_mut().enumerate() {
            *place = (i * 23 % 64) as i32;
        }
    }
}

type Saved = Vec<(String, Tensor)>;

fn made(model: &str, seed: u64, given: &[(&str, Value)]) -> Box<dyn Learner> {
    made_in(model, seed, given, structure::Mode::Dense)
}

fn made_in(
    model: &str,
    seed: u64,
    given: &[(&str, Value)],
    mode: structure::Mode,
) -> Box<dyn Learner> {
    let entry = speck_models::find(model).expect("a model");
    let (key, sizes) = match model {
        "cnn" => ("channels", vec![2, 3]),
        _ => ("hidden", vec![5]),
    };
    let sizes = Value::List(sizes.into_iter().map(Value::Int).collect());
    let settings = resolve(entry.dimensions, &[(key.to_owned(), sizes)]).expect("settings");
    let model = (entry.make)(&settings).expect("a model").into();
    let mut all = vec![
        ("optimizer".to_owned(), Value::Text("sgd".to_owned())),
        ("rate".to_owned(), Value::Float(RATE)),
    ];
    all.extend(given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let entry = speck_learners::find("gradient").expect("a learner");
    let settings = resolve(entry.dimensions, &all).expect("settings");
    let kernels = Choice::default();
    let setup = Setup { model, shape: SHAPE, seed, kernels, float: DType::F64, mode };
    (entry.make)(&settings, setup).expect("a learner")
}

fn state(learner: &mut dyn Learner) -> Saved {
    let state = learner.state().expect("a state").iter();
    state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn values<'a>(state: &'a Saved, name: &str) -> &'a [f64] {
    let found = state.iter().find(|(slot, _)| slot == name);
    found.and_then(|(_, tensor)| tensor.values::<f64>()).unwrap_or_else(|| panic!("no {name}"))
}

fn shape<'a>(state: &'a Saved, name: &str) -> &'a [usize] {
    let found = state.iter().find(|(slot, _)| slot == name);
    found.map(|(_, tensor)| tensor.shape()).unwrap_or_else(|| panic!("no {name}"))
}

fn weights(state: &Saved) -> Vec<&str> {
    state.iter().map(|(name, _)| name.as_str()).filter(|name| !name.contains("learner/")).collect()
}

/// What one plain step from some weights leads to, on the one batch.
fn stepped(model: &str, from: &Saved) -> Saved {
    let mut plain = made(model, 1, &[]);
    plain.adopt(from).expect("the same model");
    plain.learn(&Same, 1).expect("a step");
    state(&mut *plain)
}

fn predicted(learner: &mut dyn Learner) -> Vec<f64> {
    let mut batch = SpeckBatch::new(SHAPE);
    Same.fill(0, &mut batch);
    let mut brightness = vec![0.0; SHAPE.samples * TARGETS];
    learner.predict(&batch, &mut brightness).expect("a prediction");
    brightness.into_iter().map(f64::from).collect()
}

#[track_caller]
fn assert_close(found: f64, wanted: f64, within: f64, what: &str) {
    assert!(
        (found - wanted).abs() <= within * (1.0 + wanted.abs()),
        "{what}: {found} not {wanted}"
    );
}

#[test]
fn the_loss_is_shared_with_the_teacher() {
    let mut targets = vec![0.0; SHAPE.samples * TARGETS];
    let mut batch = SpeckBatch::new(SHAPE);
    Same.fill(0, &mut batch);
    batch.write_targets(&mut targets);
    let targets: Vec<_> = targets.into_iter().map(f64::from).collect();
    let mut teacher = made("mlp", 5, &[]);
    teacher.learn(&Same, 3).expect("steps");
    let old = state(&mut *teacher);
    for share in [0.3, 1.0] {
        for loss in ["cross-entropy", "mse", "bce"] {
            let given =
                [("distillation", Value::Float(share)), ("loss", Value::Text(loss.to_owned()))];
            let mut pupil = made("mlp", 6, &given);
            // The teacher's answers as this loss reads them.
            let mut answers = made("mlp", 7, &given[1..]);
            answers.adopt(&old).expect("the same model");
            let taught = predicted(&mut *answers);
            pupil
                .inherit(&Inheritance { from: &old, keeps: &|_| false, private: false })
                .expect("the same model");
            let answered = predicted(&mut *pupil);
            // All three are sums of a term an output, here over one target.
            let distance = |wanted: &[f64]| -> f64 {
                let terms = answered.iter().zip(wanted).map(|(y, t)| match loss {
                    "cross-entropy" => -t * y.ln() / SHAPE.samples as f64,
                    "bce" => -(t * y.ln() + (1.0 - t) * (1.0 - y).ln()) / wanted.len() as f64,
                    _ => (y - t).powi(2) / wanted.len() as f64,
                });
                terms.sum()
            };
            let wanted = (1.0 - share) * distance(&targets) + share * distance(&taught);
            let found = pupil.learn(&Same, 1).expect("a step");
            // Predictions are read in f32.
            assert_close(found, wanted, 1e-5, loss);
            let after = state(&mut *pupil);
            for name in weights(&old) {
                let kept = values(&after, &format!("learner/teacher/{name}"));
                assert_eq!(kept, values(&old, name), "the teacher does not learn");
            }
        }
    }
}

#[test]
fn temperature_softens_both_sides_and_scales_the_loss_back() {
    // With T large, T² CE(softmax(t / T), softmax(y / T)) less its value at y = t
    // tends to the squared distance of centred outputs (Hinton et al., 2015, 2.1).
    let mut teacher = made("mlp", 5, &[]);
    teacher.learn(&Same, 3).expect("steps");
    let old = state(&mut *teacher);
    let loss = |temperature: f64, pupil_is_teacher: bool| {
        let given =
            [("distillation", Value::Float(1.0)), ("temperature", Value::Float(temperature))];
        let mut pupil = made("mlp", 6, &given);
        let keeps = |_: &str| pupil_is_teacher;
        pupil
            .inherit(&Inheritance { from: &old, keeps: &keeps, private: false })
            .expect("the same model");
        pupil.learn(&Same, 1).expect("a step")
    };
    let raw = [("loss", Value::Text("mse".to_owned()))];
    let outputs = |seed: u64, from: Option<&Saved>| {
        let mut learner = made("mlp", seed, &raw);
        if let Some(from) = from {
            learner.adopt(from).expect("the same model");
        }
        predicted(&mut *learner)
    };
    let (y, t) = (outputs(6, None), outputs(6, Some(&old)));
    let mut wanted = 0.0;
    for (y, t) in y.chunks(64).zip(t.chunks(64)) {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / 64.0;
        let (my, mt) = (mean(y), mean(t));
        let square = |(y, t): (&f64, &f64)| ((y - my) - (t - mt)).powi(2);
        wanted += y.iter().zip(t).map(square).sum::<f64>() / (2.0 * 64.0 * SHAPE.samples as f64);
    }
    let found = loss(100.0, false) - loss(100.0, true);
    assert!((found - wanted).abs() < 0.02 * wanted, "{found} not {wanted}");
}

#[test]
fn the_penalty_pulls_back_to_where_training_began() {
    let decay = 0.7;
    let given = [("origin_decay", Value::Float(decay))];
    for model in ["mlp", "cnn"] {
        let mut learner = made(model, 3, &given);
        let origin = state(&mut *learner);
        let mut before = origin.clone();
        for step in 0..3 {
            learner.learn(&Same, 1).expect("a step");
            let after = state(&mut *learner);
            let plain = stepped(model, &before);
            for name in weights(&origin) {
                let rows = values(&plain, name).iter().zip(values(&before, name));
                for ((plain, old), (start, found)) in
                    rows.zip(values(&origin, name).iter().zip(values(&after, name)))
                {
                    let wanted = plain - RATE * decay * (old - start);
                    assert_close(*found, wanted, 1e-12, &format!("{name}, step {step}"));
                }
            }
            before = after;
        }
        // A network that it inherits is where it begins; what is new, at zero.
        let mut heir = made(model, 4, &given);
        let keeps = |name: &str| name.ends_with("bias");
        heir.inherit(&Inheritance { from: &before, keeps: &keeps, private: false })
            .expect("the same model");
        let heir = state(&mut *heir);
        for name in weights(&origin) {
            let origin = values(&heir, &format!("learner/origin/{name}"));
            let zero = vec![0.0; origin.len()];
            let wanted = if keeps(name) { values(&before, name) } else { &zero };
            assert_eq!(origin, wanted, "{name}");
        }
    }
}

#[test]
fn adapters_move_weights_by_products_of_low_rank() {
    let (rank, alpha) = (2, 3.0);
    let scale = alpha / rank as f64;
    let given = [("adapter_rank", Value::Int(rank as i64)), ("adapter_alpha", Value::Float(alpha))];
    for (model, mode) in [
        ("mlp", structure::Mode::Dense),
        ("cnn", structure::Mode::Dense),
        ("mlp", structure::Mode::Structured),
        ("cnn", structure::Mode::Structured),
    ] {
        let mut learner = made_in(model, 3, &given, mode);
        let origin = state(&mut *learner);
        let mut before = origin.clone();
        for step in 0..3 {
            learner.learn(&Same, 1).expect("a step");
            let after = state(&mut *learner);
            let plain = stepped(model, &before);
            for name in weights(&origin) {
                let (old, new) = (values(&before, name), values(&after, name));
                if shape(&origin, name).len() < 2 {
                    let plain = values(&plain, name);
                    new.iter().zip(plain).for_each(|(n, p)| assert_close(*n, *p, 1e-9, name));
                    continue;
                }
                let outputs = shape(&origin, name)[0];
                let inputs = old.len() / outputs;
                let gradient: Vec<_> =
                    old.iter().zip(values(&plain, name)).map(|(o, p)| (o - p) / RATE).collect();
                let slot = |f: &str| format!("learner/adapter/{name}.lora_{f}");
                let (a, b) = (values(&before, &slot("a")), values(&before, &slot("b")));
                // ∂L/∂A = s Bᵀ G, ∂L/∂B = s G Aᵀ.
                let mut next_a = a.to_vec();
                let mut next_b = b.to_vec();
                for o in 0..outputs {
                    for i in 0..inputs {
                        for r in 0..rank {
                            let g = RATE * scale * gradient[o * inputs + i];
                            next_a[r * inputs + i] -= g * b[o * rank + r];
                            next_b[o * rank + r] -= g * a[r * inputs + i];
                        }
                    }
                }
                for o in 0..outputs {
                    for i in 0..inputs {
                        let product: f64 =
                            (0..rank).map(|r| next_b[o * rank + r] * next_a[r * inputs + i]).sum();
                        let wanted = values(&origin, name)[o * inputs + i] + scale * product;
                        let what = format!("{model} {mode:?} {name}, step {step}");
                        assert_close(new[o * inputs + i], wanted, 1e-8, &what);
                    }
                }
                assert!(step == 0 || old != new, "{name} moves");
            }
            before = after;
        }
    }
}

#[test]
fn what_is_named_moves_freely_beside_adapters() {
    let free = Value::List(vec![Value::Text("layers.1.*".to_owned())]);
    let given = [("adapter_rank", Value::Int(1)), ("adapter_free", free)];
    let mut learner = made("mlp", 3, &given);
    let before = state(&mut *learner);
    learner.learn(&Same, 1).expect("a step");
    let (after, plain) = (state(&mut *learner), stepped("mlp", &before));
    let found = values(&after, "layers.1.weight");
    found.iter().zip(values(&plain, "layers.1.weight")).for_each(|(f, p)| {
        assert_close(*f, *p, 1e-12, "layers.1.weight");
    });
    assert!(before.iter().any(|(name, _)| name == "learner/adapter/layers.0.weight.lora_a"));
    assert!(!before.iter().any(|(name, _)| name == "learner/adapter/layers.1.weight.lora_a"));
    // The first layer's product is zero in B until the second step.
    assert_ne!(values(&before, "layers.0.weight"), values(&after, "layers.0.weight"));
}
