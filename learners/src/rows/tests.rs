//! The drift report: weights held by rows against those of the dense program.

use crate::{BatchShape, Batches, Learner, Setup, SpeckBatch};
use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure};
use speck_models::settings::{Value, resolve};

/// White specks on black at few places, some of them visited again only after
/// hundreds of steps, and now and then a coloured background, under which every
/// weight has a gradient.
struct Specks {
    coloured: bool,
}

const SHAPE: BatchShape = BatchShape { samples: 3, specks: 2, backgrounds: 1, size: 2 };
/// Longer than the history of rates.
const STEPS: u64 = 600;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.colours.fill(1.0);
        if self.coloured && step % 97 == 41 {
            batch.background.copy_from_slice(&[0.1, 0.0, 0.4]);
        }
        for speck in 0..6 {
            let draw = (step * 6 + speck).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            // Half of the draws fall on 8 places, few on the last ones.
            let place = (draw % (1 << (1 + draw / 64 % 9))) * 397 % 4096;
            batch.positions[speck as usize * 2] = (place / 64) as i32;
            batch.positions[speck as usize * 2 + 1] = (place % 64) as i32;
        }
    }
}

fn learner(given: &[(&str, Value)], float: DType, mode: structure::Mode) -> Box<dyn Learner> {
    let own = |pairs: &[(&str, Value)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
    };
    let model = speck_models::find("mlp").unwrap();
    let hidden = [("hidden", Value::List(vec![Value::Int(6)]))];
    let model = (model.make)(&resolve(model.dimensions, &own(&hidden)).unwrap()).unwrap();
    let entry = crate::find("gradient").unwrap();
    let mut all = own(given);
    all.extend(own(&[
        ("rate", Value::Float(0.01)),
        ("steps", Value::Int(STEPS as i64)),
        ("schedule", Value::Text("cosine".to_owned())),
    ]));
    let settings = resolve(entry.dimensions, &all).unwrap();
    let kernels = Choice::default();
    let setup = Setup { model: model.into(), shape: SHAPE, seed: 7, kernels, float, mode };
    (entry.make)(&settings, setup).unwrap()
}

fn saved(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

/// The root of the mean squared difference over that of the values, of the
/// model's weights and what the optimizer keeps.
fn drift(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mut worst: f64 = 0.0;
    for ((name, a), (other, b)) in a.iter().zip(b) {
        assert_eq!(name, other);
        let (a, b) = (a.to_f64(), b.to_f64());
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let differences = square(&mut a.iter().zip(&b).map(|(a, b)| a - b));
        let size = square(&mut a.iter().copied()).max(f64::MIN_POSITIVE);
        worst = worst.max((differences / size).sqrt());
        assert!(a.iter().chain(&b).all(|value| value.is_finite()));
    }
    worst
}

fn trained(given: &[(&str, Value)], float: DType, mode: structure::Mode) -> Vec<(String, Tensor)> {
    let mut learner = learner(given, float, mode);
    learner.learn(&Specks { coloured: true }, STEPS).unwrap();
    saved(&mut *learner)
}

#[test]
fn rows_brought_up_to_date_are_those_of_the_dense_program_and_masked_ones_are_not() {
    use structure::Mode::{Dense, Structured};
    println!("optimizer   rows     f64       f32 against f64");
    for optimizer in ["adam", "adamw", "momentum", "rmsprop", "lion", "sgd"] {
        let with = |rows: &str| {
            let mut given = vec![
                ("optimizer", Value::Text(optimizer.to_owned())),
                ("rows", Value::Text(rows.to_owned())),
            ];
            if ["adamw", "lion"].contains(&optimizer) {
                given.push(("weight_decay", Value::Float(0.01)));
            }
            // With a shorter memory signs of means near zero, which differ by
            // rounding, would be seen in f32.
            if optimizer == "lion" {
                given.push(("beta2", Value::Float(0.999)));
            }
            given
        };
        let reference = trained(&with("exact"), DType::F64, Dense);
        let single = drift(&reference, &trained(&with("exact"), DType::F32, Dense));
        println!("{optimizer:10}  program  0         {single:.1e}");
        for rows in ["dense", "exact", "masked"] {
            let double = drift(&reference, &trained(&with(rows), DType::F64, Structured));
            let rounded = drift(&reference, &trained(&with(rows), DType::F32, Structured));
            println!("{optimizer:10}  {rows:7}  {double:.1e}   {rounded:.1e}");
            // Plain descent leaves rows without a gradient as they are.
            if rows == "masked" && optimizer != "sgd" {
                assert!(double > 1e-2, "{optimizer} {rows}: {double:e}");
            } else {
                assert!(double < 1e-9, "{optimizer} {rows}: {double:e}");
                assert!(rounded < 3.0 * single, "{optimizer} {rows}: {rounded:e}, {single:e}");
            }
        }
    }
}

#[test]
fn optimizers_without_a_way_to_catch_up_update_all_rows_and_say_so() {
    let text = |value: &str| Value::Text(value.to_owned());
    let mut variants: Vec<Vec<(&str, Value)>> = vec![
        vec![("optimizer", text("adam")), ("weight_decay", Value::Float(0.01))],
        vec![("optimizer", text("adam")), ("amsgrad", Value::Bool(true))],
        vec![("optimizer", text("momentum")), ("nesterov", Value::Bool(true))],
        vec![("optimizer", text("rmsprop")), ("centered", Value::Bool(true))],
        vec![("optimizer", text("adam")), ("clip_norm", Value::Float(0.1))],
        vec![("optimizer", text("adam")), ("accumulate", Value::Int(3))],
        vec![("optimizer", text("sgd")), ("sam", Value::Float(0.1))],
    ];
    for name in ["nadam", "radam", "adamax", "adagrad", "adafactor", "lamb", "lars", "asgd"] {
        variants.push(vec![("optimizer", text(name))]);
    }
    for given in variants {
        use structure::Mode::{Dense, Structured};
        let [dense, structured] = [Dense, Structured].map(|mode| {
            let mut learner = learner(&given, DType::F64, mode);
            learner.learn(&Specks { coloured: true }, 100).unwrap();
            let why = learner.describe().plan.why;
            assert_eq!(why.contains("catch up"), mode == Structured, "{given:?}: {why}");
            saved(&mut *learner)
        });
        let drift = drift(&dense, &structured);
        assert!(drift < 1e-9, "{given:?}: {drift:e}");
    }
}

#[test]
fn a_run_goes_on_from_a_saved_state_to_the_same_bits() {
    let make = || learner(&[], DType::F32, structure::Mode::Structured);
    for coloured in [false, true] {
        let data = Specks { coloured };
        let mut whole = make();
        whole.learn(&data, 150).unwrap();
        let at = saved(&mut *whole);
        assert!(at.iter().all(|(name, _)| !name.starts_with(speck_engine::State::HIDDEN)));
        whole.learn(&data, 150).unwrap();
        let mut resumed = make();
        resumed.restore(at).unwrap();
        resumed.learn(&data, 150).unwrap();
        assert_eq!(saved(&mut *resumed), saved(&mut *whole));
    }
}
