//! Weights held by rows against those of the dense program.

use crate::Learner;
use crate::drift::{Specks, difference, learner, measure};
use speck_engine::structure::Mode;
use speck_engine::{DType, Tensor};
use speck_models::settings::Value;

fn saved(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

#[test]
fn rows_brought_up_to_date_are_those_of_the_dense_program_and_masked_ones_are_not() {
    for optimizer in crate::drift::OPTIMIZERS {
        let all = measure(optimizer, &[], crate::drift::STEPS).unwrap();
        let [program, others @ ..] = all.as_slice() else { panic!("nothing measured") };
        assert_eq!(others.len(), 3);
        for drift in others {
            // Plain descent leaves rows without a gradient as they are.
            if drift.rows == "masked" && *optimizer != "sgd" {
                assert!(drift.double > 1e-2, "{drift:?}");
            } else {
                assert!(drift.double < 1e-9, "{drift:?}");
                assert!(drift.single < 3.0 * program.single, "{drift:?}, {program:?}");
            }
        }
    }
}

#[test]
fn coupled_decay_is_made_up_for_too() {
    let decay = [("weight_decay", Value::Float(0.1))];
    for optimizer in ["sgd", "momentum"] {
        let all = measure(optimizer, &decay, 400).unwrap();
        for drift in &all[1..] {
            if drift.rows == "masked" {
                assert!(drift.double > 1e-2, "{drift:?}");
            } else {
                assert!(drift.double < 1e-9, "{drift:?}");
                assert!(drift.single < 3.0 * all[0].single, "{drift:?}, {:?}", all[0]);
            }
        }
        let given = [("optimizer", Value::Text(optimizer.to_owned())), decay[0].clone()];
        let plan = learner(&given, DType::F32, Mode::Structured).unwrap().describe().plan;
        assert!(plan.structured && !plan.why.contains("catch up"), "{}", plan.why);
    }
}

#[test]
fn optimizers_without_a_way_to_catch_up_update_all_rows_and_say_so() {
    let text = |value: &str| Value::Text(value.to_owned());
    let mut variants: Vec<Vec<(&str, Value)>> = vec![
        vec![("optimizer", text("adam")), ("weight_decay", Value::Float(0.1))],
        vec![("optimizer", text("adam")), ("amsgrad", Value::Bool(true))],
        vec![("optimizer", text("momentum")), ("nesterov", Value::Bool(true))],
        vec![("optimizer", text("momentum")), ("dampening", Value::Float(0.1))],
        vec![("optimizer", text("rmsprop")), ("weight_decay", Value::Float(0.1))],
        vec![("optimizer", text("rmsprop")), ("centered", Value::Bool(true))],
        vec![("optimizer", text("adam")), ("clip_norm", Value::Float(0.1))],
        vec![("optimizer", text("adam")), ("accumulate", Value::Int(3))],
        vec![("optimizer", text("sgd")), ("sam", Value::Float(0.1))],
    ];
    for name in ["nadam", "radam", "adamax", "adagrad", "adafactor", "lamb", "lars", "asgd"] {
        variants.push(vec![("optimizer", text(name))]);
    }
    for given in variants {
        let [dense, structured] = [Mode::Dense, Mode::Structured].map(|mode| {
            let mut learner = learner(&given, DType::F64, mode).unwrap();
            learner.learn(&Specks { coloured: true }, 100).unwrap();
            let why = learner.describe().plan.why;
            assert_eq!(why.contains("catch up"), mode == Mode::Structured, "{given:?}: {why}");
            saved(&mut *learner)
        });
        let drift = difference(&dense, &structured);
        assert!(drift < 1e-9, "{given:?}: {drift:e}");
    }
}

#[test]
fn a_run_goes_on_from_a_saved_state_to_the_same_bits() {
    let make = || learner(&[], DType::F32, Mode::Structured).unwrap();
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
