//! Mixed precision: what it changes, and what it does not.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure::Mode};
use speck_learners::{BatchShape, Batches, Learner, LearnerError, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};

const SHAPE: BatchShape =
    BatchShape { samples: 16, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 };

/// One white speck a sample on black, at few places in turn.
struct Specks;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        for (i, place) in batch.positions.iter_mut().enumerate() {
            *place = ((step as usize % 2 + 1) * (i + 3) * 29 % 64) as i32;
        }
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn made(
    model: &str,
    mode: Mode,
    given: &[(&str, Value)],
) -> Result<Box<dyn Learner>, LearnerError> {
    let found = speck_models::find(model).unwrap();
    let size = if model == "mlp" { "hidden" } else { "channels" };
    let sizes = Value::List(vec![Value::Int(9), Value::Int(12)]);
    let settings = resolve(found.dimensions, &[(size.to_owned(), sizes)]).unwrap();
    let model = (found.make)(&settings).unwrap().into();
    let entry = speck_learners::find("gradient").unwrap();
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let settings = resolve(entry.dimensions, &given).unwrap();
    let (kernels, float) = (Choice::default(), DType::F32);
    (entry.make)(&settings, Setup { model, shape: SHAPE, seed: 1, kernels, float, mode })
}

fn saved(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn number(learner: &mut dyn Learner, slot: &str) -> f64 {
    learner.state().unwrap().get(slot).unwrap().to_f64()[0]
}

#[test]
fn training_with_16_bits_follows_training_without() {
    for model in ["mlp", "cnn"] {
        for mode in [Mode::Dense, Mode::Structured] {
            let losses = ["f32", "bf16", "f16"].map(|storage| {
                let given = [("storage", text(storage)), ("rate", Value::Float(0.003))];
                let mut learner = made(model, mode, &given).unwrap();
                let losses = [4, 16].map(|steps| learner.learn(&Specks, steps).unwrap());
                // Weights and moments stay in 32 bits.
                for (name, tensor) in saved(&mut *learner) {
                    assert!(tensor.ty().dtype.storage().is_none(), "{name}");
                }
                losses
            });
            let [plain, halves @ ..] = losses;
            assert!(plain[1] < plain[0], "{model} learns: {plain:?}");
            for half in halves {
                assert!(half != plain, "{model} {mode:?}: nothing was rounded");
                for (half, plain) in half.iter().zip(plain) {
                    let near = (half - plain).abs() <= 0.03 * plain;
                    assert!(near, "{model} {mode:?}: {half}, not {plain}");
                }
            }
        }
    }
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for storage in ["bf16", "f16"] {
        let states = [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let given = [("storage", text(storage)), ("loss_scaling", text("dynamic"))];
                let mut learner = made("cnn", Mode::Dense, &given).unwrap();
                learner.learn(&Specks, 5).unwrap();
                saved(&mut *learner)
            })
        });
        assert!(states[0] == states[1], "{storage}");
    }
}

/// A power of two is taken off again without a rounding.
#[test]
fn a_scale_changes_no_bit_in_32_bits() {
    let train = |given: &[(&str, Value)]| {
        let mut learner = made("mlp", Mode::Dense, given).unwrap();
        learner.learn(&Specks, 8).unwrap();
        saved(&mut *learner)
    };
    let plain = train(&[]);
    let scaled = train(&[("loss_scaling", text("static")), ("loss_scale", Value::Float(1024.0))]);
    assert!(plain == scaled);
    let dynamic = train(&[("loss_scaling", text("dynamic")), ("loss_scale", Value::Float(1024.0))]);
    for (name, tensor) in &plain {
        let found = dynamic.iter().find(|(other, _)| other == name).unwrap();
        assert!(found.1 == *tensor, "{name}");
    }
}

/// In f16 a scale of 2²⁴ overflows: the step is left out and the scale halved until
/// it fits; then it doubles after as many steps as were asked for.
#[test]
fn an_overflow_changes_the_scale_alone() {
    let given = [
        ("storage", text("f16")),
        ("loss_scaling", text("dynamic")),
        ("loss_scale", Value::Float(16_777_216.0)),
        ("loss_scale_steps", Value::Int(3)),
    ];
    let mut learner = made("cnn", Mode::Dense, &given).unwrap();
    let mut before = saved(&mut *learner);
    let mut scale = 16_777_216.0;
    let (mut left_out, mut doubled) = (0, 0);
    let mut good = 0;
    for step in 0..40 {
        let loss = learner.learn(&Specks, 1).unwrap();
        assert!(loss.is_finite());
        let after = saved(&mut *learner);
        let new = number(&mut *learner, "loss_scale");
        let weights = |(name, _): &&(String, Tensor)| {
            name != "loss_scale" && name != "loss_scale_steps" && name.contains('.')
        };
        let same = before.iter().filter(weights).eq(after.iter().filter(weights));
        if new < scale {
            assert!(same && new == 0.5 * scale, "step {step}: {scale} to {new}");
            (left_out, good) = (left_out + 1, 0);
        } else {
            assert!(!same, "step {step} changes weights");
            good += 1;
            let doubles = good == 3;
            assert_eq!(new, if doubles { 2.0 * scale } else { scale }, "step {step}");
            if doubles {
                (doubled, good) = (doubled + 1, 0);
            }
        }
        (before, scale) = (after, new);
    }
    assert!(left_out > 2 && doubled > 1, "{left_out} left out, {doubled} times doubled");
    assert!(before.iter().all(|(_, tensor)| tensor.to_f64().iter().all(|x| x.is_finite())));
}

#[test]
fn what_does_not_go_together_is_said() {
    let given = [("optimizer", text("lbfgs")), ("loss_scaling", text("dynamic"))];
    let error = made("mlp", Mode::Dense, &given).err().unwrap().to_string();
    assert!(error.contains("loss_scaling") && error.contains("searches"), "{error}");
    let entry = speck_learners::find("gradient").unwrap();
    for (given, part) in [
        (vec![("storage", text("f8"))], "bf16"),
        (vec![("loss_scale", Value::Float(2.0))], "`loss_scaling` = static or dynamic"),
    ] {
        let given: Vec<_> = given.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let error = resolve(entry.dimensions, &given).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
