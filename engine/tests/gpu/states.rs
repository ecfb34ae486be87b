//! The state on a device and on the host.

use super::{STEPS, Training, gpu, train};
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::Gpu;
use speck_engine::{DType, Graph, Initial, Options, Program, State, Tensor, TensorType};

#[test]
fn a_state_larger_than_a_buffer_is_fetched_and_set() {
    let most = 1 << 16;
    let Some(_) = gpu(false) else {
        println!("skipped: a state larger than a buffer, for there is no GPU");
        return;
    };
    let gpu = Gpu::open_within(0, true, [most; 2]).expect("the same GPU again");
    let graph = Graph::new(DType::F32);
    let sizes = [16_384, 1, 10_001, 16_383, 3, 12_345];
    let names = ["a", "b", "c", "d", "e", "f"];
    for (name, size) in names.iter().zip(sizes) {
        let p = graph.state(name, &[size], Initial::Uniform { bound: 1.0 }).expect("a slot");
        graph.update(p, graph.scale(p, 2.0).expect("a node")).expect("an update");
    }
    let kernels = Choice::default().on(Some(gpu.clone()));
    let mut program =
        Program::compile(&graph, &Options { kernels, ..Options::default() }).expect("a program");
    let mut state = State::initialise(&graph, 5);
    assert!(state.iter().map(|(_, own)| own.ty().bytes()).sum::<usize>() > 3 * most as usize);
    let doubled = |state: &State| -> Vec<Vec<f64>> {
        state.iter().map(|(_, own)| own.to_f64().iter().map(|x| 2.0 * x).collect()).collect()
    };
    let wanted = doubled(&state);
    program.run(&mut state).expect("a run");
    state.fetch().expect("the state");
    let found: Vec<_> = state.iter().map(|(_, own)| own.to_f64()).collect();
    assert!(found == wanted, "what was fetched");
    program.run(&mut state).expect("a run");
    let copy = state.copy().expect("the state");
    assert!(copy.iter().map(|(_, own)| own.to_f64()).eq(doubled(&copy_of(&names, &wanted))));
    // What is set is not fetched before.
    program.run(&mut state).expect("a run");
    gpu.wait().expect("the device");
    let before = gpu.counts();
    for (name, values) in names.iter().zip(&wanted) {
        let ty = TensorType::new(DType::F32, &[values.len()]);
        state.set(name, Tensor::new(&ty, values)).expect("a slot");
    }
    assert_eq!(gpu.counts(), before, "setting asks nothing of the device");
    program.run(&mut state).expect("a run");
    assert!(state.iter().map(|(_, own)| own.to_f64()).eq(doubled(&copy_of(&names, &wanted))));
}

/// A state of these values.
fn copy_of(names: &[&str], values: &[Vec<f64>]) -> State {
    let tensor = |own: &Vec<f64>| Tensor::new(&TensorType::new(DType::F32, &[own.len()]), own);
    names.iter().zip(values).map(|(name, own)| ((*name).to_owned(), tensor(own))).collect()
}

#[test]
fn a_lost_device_is_an_error_of_the_step_and_of_what_only_it_had() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: losing a device, for there is no GPU");
        return;
    };
    let kernels = Choice::default().on(Some(gpu.clone()));
    let mut training = Training::new(&Options { kernels, ..Options::default() });
    training.step(0).expect("a step");
    gpu.lose_after(1);
    training.step(1).expect("a step");
    let error = training.step(2).expect_err("a lost device").to_string();
    assert!(error.contains("failed") && error.contains("checkpoint"), "{error}");
    assert!(training.step(3).is_err(), "it stays lost");
    assert!(training.state.fetch().is_err(), "its values are gone");
    assert!(training.state.copy().is_err(), "and nothing stands in for them");
    // A checkpoint's values can still be put in their place.
    let start = Training::new(&Options::default());
    for (name, own) in start.state.iter() {
        training.state.set(name, own.clone()).expect("a slot");
    }
    let slots = start.state.iter().zip(training.state.iter());
    assert!(slots.map(|(a, b)| assert_eq!(a, b)).count() > 0, "all are there");
    // Another one is not touched by that.
    let (losses, _) = train(Choice::default().on(self::gpu(false)));
    assert!(losses.iter().all(|loss| loss.is_finite()));
}

#[test]
fn what_the_state_holds_goes_to_the_gpu_and_back() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: moving a state, for there is no GPU");
        return;
    };
    let (_, mut training) = train(Choice::default().on(Some(gpu)));
    let names: Vec<_> = training.state.iter().map(|(name, _)| name.to_owned()).collect();
    let weight = names.iter().find(|name| name.ends_with("weight")).expect("a weight");
    let slot = training.state.get_mut(weight).expect("its value");
    slot.values_mut::<f32>().expect("floats").fill(f32::NAN);
    assert!(training.step(STEPS).expect("a step").is_nan(), "what the host writes is used");
    let copy = training.state.copy().expect("a state");
    let values = copy.get(weight).expect("its value").to_f64();
    assert!(values.iter().all(|value| value.is_nan()), "what the GPU writes comes back");
}
