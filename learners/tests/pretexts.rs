//! Pretexts against their formulas, written out for the linear model, whose features
//! are its outputs.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure};
use speck_learners::gradient::pretexts;
use speck_learners::{BatchShape, Batches, Learner, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};

const SAMPLES: usize = 8;
const SHAPE: BatchShape =
    BatchShape { samples: SAMPLES, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };
const EDGE: usize = 64;
const PIXELS: usize = 3 * EDGE * EDGE;

struct Specks;

fn place(step: u64, sample: usize) -> [usize; 2] {
    let i = step as usize * SAMPLES + sample;
    [i * 37 % 64, (i * 23 + 5) % 64]
}

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for sample in 0..SAMPLES {
            let at = place(step % 3, sample).map(|at| at as i32);
            batch.positions[sample * 2..sample * 2 + 2].copy_from_slice(&at);
        }
    }
}

fn learner(model: &str, mode: structure::Mode, given: &[(&str, Value)]) -> Box<dyn Learner> {
    let entry = speck_models::find(model).expect("a model");
    let sizes = |sizes: &[i64]| Value::List(sizes.iter().map(|size| Value::Int(*size)).collect());
    let small = match model {
        "cnn" => vec![("channels".to_owned(), sizes(&[2, 3]))],
        "mlp" => vec![("hidden".to_owned(), sizes(&[6]))],
        _ => Vec::new(),
    };
    let settings = resolve(entry.dimensions, &small).expect("settings");
    let model = (entry.make)(&settings).expect("a model").into();
    let given: Vec<_> =
        given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let entry = speck_learners::find("gradient").expect("a learner");
    let settings = resolve(entry.dimensions, &given).expect("settings");
    let (kernels, float) = (Choice::default(), DType::F64);
    let setup = Setup { model, shape: SHAPE, seed: 4, kernels, float, mode };
    (entry.make)(&settings, setup).expect("a learner")
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// A learner's slots as they are before the first step, and its first loss.
fn first(given: &[(&str, Value)]) -> (Vec<(String, Tensor)>, f64) {
    let mut learner = learner("linear", structure::Mode::Dense, given);
    let state = learner.state().expect("a state").iter();
    let state = state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    let loss = learner.learn(&Specks, 1).expect("a step");
    (state, loss)
}

/// y = W x + b with weights from the state.
fn linear(state: &[(String, Tensor)], name: &str, x: &[f64]) -> Vec<f64> {
    let values = |end: &str| {
        let found = state.iter().find(|(slot, _)| *slot == format!("{name}.{end}"));
        found.expect("a slot").1.to_f64()
    };
    let (weight, bias) = (values("weight"), values("bias"));
    let rows = weight.chunks(x.len()).zip(bias);
    rows.map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias).collect()
}

/// A black screen with one white pixel.
fn screen([row, column]: [usize; 2]) -> Vec<f64> {
    let mut pixels = vec![0.0; PIXELS];
    (0..3).for_each(|channel| pixels[(channel * EDGE + row) * EDGE + column] = 1.0);
    pixels
}

#[track_caller]
fn assert_close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-9 * (1.0 + wanted.abs()), "{found} not {wanted}");
}

fn reconstructed(state: &[(String, Tensor)], seen: &[f64]) -> Vec<f64> {
    let features = linear(state, "head", seen);
    let code = linear(state, "learner/pretext/code", &features);
    linear(state, "learner/pretext/decoder", &code)
}

#[test]
fn autoencoders_are_asked_for_every_pixel() {
    let code = ("code", Value::Int(5));
    let loss = |state: &[(String, Tensor)], hidden: bool| -> f64 {
        let sample = |sample: usize| -> f64 {
            let whole = screen(place(0, sample));
            let seen = if hidden { vec![0.0; PIXELS] } else { whole.clone() };
            let made = reconstructed(state, &seen);
            made.iter().zip(&whole).map(|(made, pixel)| (made - pixel).powi(2)).sum()
        };
        (0..SAMPLES).map(sample).sum::<f64>() / SAMPLES as f64
    };
    let (state, found) = first(&[("pretext", text("autoencoder")), code.clone()]);
    assert_close(found, loss(&state, false));
    // Without noise nothing is to be removed; with all hidden, nothing is seen.
    let still = ("noise", Value::Float(0.0));
    let (state, found) = first(&[("pretext", text("denoising")), code.clone(), still]);
    assert_close(found, loss(&state, false));
    let (_, noisy) = first(&[("pretext", text("denoising")), code.clone()]);
    assert!((noisy - found).abs() > 1e-6, "noise is seen");
    let masked = |share: f64| {
        first(&[("pretext", text("masked")), code.clone(), ("masked_share", Value::Float(share))])
    };
    let (state, found) = masked(1.0);
    assert_close(found, loss(&state, true));
    assert_eq!(masked(0.0).1, 0.0);
    let half = masked(0.5).1;
    assert!(half > 0.3 * found && half < 0.7 * found, "{half} of {found}");
}

#[test]
fn quarters_of_a_batch_are_turned() {
    let (state, found) = first(&[("pretext", text("rotation"))]);
    let mut wanted = 0.0;
    for sample in 0..SAMPLES {
        let class = sample * 4 / SAMPLES;
        let mut at = place(0, sample);
        for _ in 0..class {
            // Against the clock: the right edge becomes the upper one.
            at = [EDGE - 1 - at[1], at[0]];
        }
        let features = linear(&state, "head", &screen(at));
        let logits = linear(&state, "learner/pretext/rotation", &features);
        let sum: f64 = logits.iter().map(|x| x.exp()).sum();
        wanted -= (logits[class].exp() / sum).ln() / SAMPLES as f64;
    }
    assert_close(found, wanted);
}

/// Views that are the screens as they are, and small heads.
fn still(pretext: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("pretext", text(pretext)),
        ("view_noise", Value::Float(0.0)),
        ("view_scale", Value::Float(0.0)),
        ("view_shift", Value::Int(0)),
        ("projection_hidden", Value::Int(7)),
        ("projection", Value::Int(5)),
    ]
}

/// Two layers with a rectifier between them.
fn projected(state: &[(String, Tensor)], name: &str, x: &[f64]) -> Vec<f64> {
    let hidden = linear(state, &format!("learner/pretext/{name}.0"), x);
    let hidden: Vec<_> = hidden.into_iter().map(|x| x.max(0.0)).collect();
    linear(state, &format!("learner/pretext/{name}.1"), &hidden)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn views_of_one_screen_are_to_be_told_from_all_others() {
    let temperature = 0.2;
    let mut given = still("simclr");
    given.push(("contrast_temperature", Value::Float(temperature)));
    let (state, found) = first(&given);
    let project = |i: usize| {
        let features = linear(&state, "head", &screen(place(0, i % SAMPLES)));
        projected(&state, "projection", &features)
    };
    let z: Vec<_> = (0..2 * SAMPLES).map(project).collect();
    let likeness = |i: usize, j: usize| (cosine(&z[i], &z[j]) / temperature).exp();
    let loss = |i: usize| {
        let others = (0..2 * SAMPLES).filter(|j| *j != i);
        let sum: f64 = others.map(|j| likeness(i, j)).sum();
        -(likeness(i, (i + SAMPLES) % (2 * SAMPLES)) / sum).ln()
    };
    assert_close(found, (0..2 * SAMPLES).map(loss).sum::<f64>() / (2 * SAMPLES) as f64);
}

#[test]
fn a_view_is_to_say_what_the_target_makes_of_the_other() {
    let (state, found) = first(&still("byol"));
    let mut wanted = 0.0;
    for sample in 0..SAMPLES {
        let features = linear(&state, "head", &screen(place(0, sample)));
        // The target begins where the network does.
        let target = projected(&state, "projection", &features);
        let said = projected(&state, "predictor", &target);
        wanted += 2.0 * (2.0 - 2.0 * cosine(&said, &target)) / SAMPLES as f64;
    }
    assert_close(found, wanted);
}

#[test]
fn a_target_follows_at_the_pace_it_is_given() {
    let decay = 0.75;
    let given = [("pretext", text("byol")), ("target_decay", Value::Float(decay))];
    let mut learner = learner("cnn", structure::Mode::Auto, &given);
    let state = |learner: &mut dyn Learner| -> Vec<(String, Tensor)> {
        let state = learner.state().expect("a state").iter();
        state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
    };
    let values = |state: &[(String, Tensor)], name: &str| {
        let found = state.iter().find(|(slot, _)| slot == name);
        found.unwrap_or_else(|| panic!("no {name}")).1.to_f64()
    };
    let names = ["conv.0.weight", "conv.1.bias", "learner/pretext/projection.0.weight"];
    let mut before = state(&mut *learner);
    for name in names {
        let target = values(&before, &format!("learner/target/{name}"));
        assert_eq!(target, values(&before, name), "it begins where the network does");
    }
    for _ in 0..3 {
        let loss = learner.learn(&Specks, 1).expect("a step");
        assert!((0.0..=8.0).contains(&loss), "{loss}");
        let after = state(&mut *learner);
        for name in names {
            let target = format!("learner/target/{name}");
            let (old, new) = (values(&before, &target), values(&after, &target));
            for ((old, new), weight) in old.iter().zip(&new).zip(values(&after, name)) {
                assert_close(*new, decay * old + (1.0 - decay) * weight);
            }
        }
        before = after;
    }
    assert!(!before.iter().any(|(name, _)| name.contains("target/learner/pretext/predictor")));
}

#[test]
fn every_pretext_is_learned_in_either_mode() {
    for entry in pretexts::ALL {
        for model in ["mlp", "cnn"] {
            let mut given = vec![("pretext", text(entry.name)), ("rate", Value::Float(0.003))];
            let views = entry.dimensions.iter().any(|dimension| dimension.name == "view_noise");
            if views {
                // So like each other that few steps are enough to pair them.
                given.extend([("view_noise", Value::Float(0.0)), ("view_shift", Value::Int(0))]);
            }
            let [mut dense, mut structured] = [structure::Mode::Dense, structure::Mode::Structured]
                .map(|mode| learner(model, mode, &given));
            let early = dense.learn(&Specks, 3).expect("steps");
            let same = structured.learn(&Specks, 3).expect("steps");
            assert!((early - same).abs() < 1e-9 * (1.0 + early.abs()), "{} {model}", entry.name);
            dense.learn(&Specks, 18).expect("steps");
            let late = dense.learn(&Specks, 3).expect("steps");
            // What was done to a screen with one pixel can be known by heart only.
            let guessed = ["rotation", "shift"].contains(&entry.name);
            assert!(late < early || guessed, "{} {model}: {early} then {late}", entry.name);
            let mut heir = learner(model, structure::Mode::Dense, &[]);
            let state = dense.state().expect("a state").iter();
            let state: Vec<_> = state.map(|(name, t)| (name.to_owned(), t.clone())).collect();
            heir.adopt(&state).expect("the same model");
        }
    }
}

#[test]
fn searches_and_pretexts_do_not_go_together() {
    let entry = speck_learners::find("gradient").expect("a learner");
    let given = [("optimizer", text("lbfgs")), ("pretext", text("simclr"))];
    let given = given.map(|(key, value)| (key.to_owned(), value));
    let settings = resolve(entry.dimensions, &given).expect("settings");
    let model = speck_models::find("linear").expect("a model");
    let model = (model.make)(&resolve(model.dimensions, &[]).expect("settings")).expect("a model");
    let (kernels, float, mode) = (Choice::default(), DType::F64, structure::Mode::Dense);
    let setup = Setup { model: model.into(), shape: SHAPE, seed: 4, kernels, float, mode };
    let error = (entry.make)(&settings, setup).err().expect("a refusal").to_string();
    assert!(error.contains("pretext"), "{error}");
}
