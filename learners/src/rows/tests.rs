//! Weights held by rows against those of the dense program.

use crate::Learner;
use crate::drift::{Specks, learner, measure};
use speck_engine::{DType, Tensor, structure};

fn saved(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let state = learner.state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

#[test]
fn rows_brought_up_to_date_are_those_of_the_dense_program_and_masked_ones_are_not() {
    for optimizer in crate::gradient::optimizers::NAMES {
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
fn coupled_decay_is_made_up_for_too_or_there_are_no_rows() {
    let l2 = [("l2", speck_models::settings::Value::Float(0.1))];
    for optimizer in ["sgd", "momentum", "adam", "rmsprop"] {
        let by_rows = optimizer == "sgd" || optimizer == "momentum";
        let all = measure(optimizer, &l2, 400).unwrap();
        for drift in &all[1..] {
            if drift.rows == "masked" && by_rows {
                assert!(drift.double > 1e-2, "{drift:?}");
            } else {
                assert!(drift.double < 1e-9, "{drift:?}");
                // Without rows it is the rewritten program of another rounding: RMSprop
                // divides what decay alone leaves of a gradient by its own size.
                let most = if by_rows { 3.0 } else { 10.0 };
                assert!(drift.single < most * all[0].single, "{drift:?}, {:?}", all[0]);
            }
        }
        let given = [
            ("optimizer", speck_models::settings::Value::Text(optimizer.to_owned())),
            l2[0].clone(),
        ];
        let plan =
            learner(&given, DType::F32, structure::Mode::Structured).unwrap().describe().plan;
        assert_eq!(plan.why.contains("no closed form"), !by_rows, "{}", plan.why);
    }
}

#[test]
fn a_run_goes_on_from_a_saved_state_to_the_same_bits() {
    let make = || learner(&[], DType::F32, structure::Mode::Structured).unwrap();
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
