//! Everything that runs on the CPU runs on a GPU, with the same results.
//!
//! Where there is no GPU these tests say so and count what they left out; with
//! `SPECK_REQUIRE_GPU=1` that is a failure.

#[path = "../common/adam.rs"]
mod adam;
#[path = "../common/cnn.rs"]
mod cnn;
mod parts;
mod states;
mod stored;

use cnn::Training;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::{
    DType, Graph, Initial, Options, Program, State, Tensor, TensorType, check, compositions, ops,
};
use std::sync::Arc;

/// The first GPU, with all it has or with what every device has.
fn gpu(least: bool) -> Option<Arc<Gpu>> {
    match Gpu::open(0, least) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::None) if std::env::var_os("SPECK_REQUIRE_GPU").is_none() => None,
        Err(error) => panic!("{error}"),
    }
}

fn ops_on(least: bool) {
    let Some(gpu) = gpu(least) else {
        println!("skipped: {} ops, for there is no GPU", ops::ALL.len());
        return;
    };
    let mut failures = Vec::new();
    for op in ops::ALL {
        let mut worst: f64 = 0.0;
        for (number, case) in (op.cases)().iter().enumerate() {
            match check::variants::check_on(&gpu, case, number as u64 + 1) {
                Ok(units) => worst = worst.max(units),
                Err(error) => failures.push(format!("{}: {error}", op.name)),
            }
        }
        println!("{:24} {worst:8.1} units in the last place", op.name);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn ops_agree_with_the_cpu() {
    ops_on(false);
}

#[test]
fn ops_agree_with_the_cpu_at_the_least_limits() {
    ops_on(true);
}

#[test]
fn compositions_agree_with_the_cpu() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: {} compositions, for there is no GPU", compositions::all().count());
        return;
    };
    let mut failures = Vec::new();
    for composition in compositions::all() {
        for (number, case) in (composition.cases)().iter().enumerate() {
            if let Err(error) = check::variants::check_on(&gpu, case, number as u64 + 1) {
                failures.push(format!("{}: {error}", composition.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Steps of a training run.
const STEPS: usize = 6;

fn train(kernels: Choice) -> (Vec<f32>, Training) {
    let mut training = Training::new(&Options { kernels, ..Options::default() });
    let losses = (0..STEPS).map(|i| training.step(i).expect("a step")).collect();
    (losses, training)
}

#[test]
fn training_agrees_with_the_cpu_and_with_itself() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: a training run, for there is no GPU");
        return;
    };
    let (losses, on_cpu) = train(Choice::default());
    let (found, first) = train(Choice::default().on(Some(gpu.clone())));
    let (again, second) = train(Choice::default().on(Some(gpu)));
    for (found, loss) in found.iter().zip(&losses) {
        // Adam divides by the root of a moment: rounding grows from step to step.
        assert!((found - loss).abs() <= 1e-3 * loss.abs(), "{found} instead of {loss}");
    }
    let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&again), "the same run twice");
    first.state.fetch().expect("the state");
    for ((name, a), (_, b)) in first.state.iter().zip(second.state.iter()) {
        assert!(a == b, "slot `{name}` differs from run to run");
    }
    for ((name, a), (_, b)) in first.state.iter().zip(on_cpu.state.iter()) {
        assert_eq!(a.ty(), b.ty(), "slot `{name}`");
    }
}

#[test]
fn a_steady_step_makes_nothing_and_submits_once() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: counting what a step makes, for there is no GPU");
        return;
    };
    let kernels = Choice::default().on(Some(gpu.clone()));
    let mut training = Training::new(&Options { kernels, ..Options::default() });
    training.step(0).expect("a step");
    let before = gpu.counts();
    for i in 1..4 {
        training.step(i).expect("a step");
    }
    let after = gpu.counts();
    assert_eq!(after.submits - before.submits, 3, "submissions of three steps");
    assert_eq!(after.buffers, before.buffers, "buffers");
    assert_eq!(after.pipelines, before.pipelines, "pipelines");
    assert_eq!(after.bind_groups, before.bind_groups, "bind groups");
}

/// A sum in a slot to which each run adds an input times another, and what it is then.
fn summing() -> (Graph, State) {
    let graph = Graph::new(DType::F32);
    let build = || {
        let x = graph.input("x", DType::F32, &[3])?;
        let factor = graph.input("factor", DType::F32, &[])?;
        let p = graph.state("p", &[3], Initial::Constant(0.0))?;
        let sum = graph.add(p, graph.mul(x, factor)?)?;
        graph.update(p, sum)?;
        graph.output("sum", sum)
    };
    build().expect("the graph");
    let state = State::initialise(&graph, 0);
    (graph, state)
}

#[test]
fn runs_that_nobody_looks_at_are_submitted_together_each_with_its_inputs() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: counting submissions, for there is no GPU");
        return;
    };
    let options =
        Options { kernels: Choice::default().on(Some(gpu.clone())), ..Options::default() };
    let (graph, mut state) = summing();
    let mut program = Program::compile(&graph, &options).expect("a program");
    let (other_graph, mut other_state) = summing();
    let mut other = Program::compile(&other_graph, &options).expect("a program");
    program.input_mut::<f32>("factor").expect("an input")[0] = 10.0;
    other.input_mut::<f32>("factor").expect("an input")[0] = 1.0;
    let mut sum = 0.0;
    let mut expected = Vec::new();
    let step = |program: &mut Program, state: &mut State, i: usize| {
        let x = program.input_mut::<f32>("x").expect("an input");
        x.fill(i as f32);
        program.run(state).expect("a run");
    };
    step(&mut program, &mut state, 0);
    step(&mut other, &mut other_state, 0);
    gpu.wait().expect("the device");
    let before = gpu.counts();
    let runs = 24;
    for i in 1..=runs {
        // An input that stays is there for all of them.
        if i == 11 {
            program.input_mut::<f32>("factor").expect("an input")[0] = 100.0;
        }
        step(&mut program, &mut state, i);
        sum += i as f32 * if i < 11 { 10.0 } else { 100.0 };
        expected.push(sum);
    }
    let after = gpu.counts();
    assert!(after.submits - before.submits <= runs as u64 / 8, "{before:?} {after:?}");
    for (back, expected) in expected.iter().rev().enumerate() {
        let found = program.earlier::<f32>("sum", back).expect("an output");
        assert_eq!(found, [*expected; 3], "{back} runs ago");
    }
    // Two programs in turn, one of which is looked at.
    let mut other_sum = 0.0;
    for i in 1..=20 {
        step(&mut program, &mut state, i);
        step(&mut other, &mut other_state, i);
        sum += 100.0 * i as f32;
        other_sum += i as f32;
        if i % 5 == 0 {
            assert_eq!(other.values::<f32>("sum").expect("an output"), [other_sum; 3]);
        }
    }
    assert_eq!(state.get("p").expect("a slot").to_f64(), [f64::from(sum); 3]);
    // What the host writes is for the runs behind it only.
    step(&mut program, &mut state, 1);
    state.set("p", Tensor::zeros(&TensorType::new(DType::F32, &[3]))).expect("a slot");
    step(&mut program, &mut state, 2);
    assert_eq!(state.get("p").expect("a slot").to_f64(), [200.0; 3]);
    let made = gpu.counts();
    assert_eq!(made.pipelines, before.pipelines, "pipelines");
    assert_eq!(made.bind_groups, before.bind_groups, "bind groups");
}

/// A function with light nodes in a row, numbers, stretched operands of two shapes, a
/// slot that is updated from its old value, and values that are read twice.
fn chained() -> Graph {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[5, 7, 3]).expect("an input");
    let row = graph.input("row", DType::F32, &[3]).expect("an input");
    let column = graph.input("column", DType::F32, &[7, 1]).expect("an input");
    let rate = graph.input("rate", DType::F32, &[]).expect("an input");
    let p = graph.state("p", &[5, 7, 3], Initial::Uniform { bound: 1.0 }).expect("a slot");
    let m = graph.state("m", &[5, 7, 3], Initial::Constant(0.25)).expect("a slot");
    let build = || {
        let a = graph.add(x, row)?;
        let b = graph.mul(a, column)?;
        let c = graph.relu(b)?;
        let d = graph.sub(c, graph.scale(a, 0.5)?)?;
        let wide = graph.greater(d, b)?;
        let e = graph.select(wide, c, graph.abs(d)?)?;
        let m_new = graph.add(graph.scale(m, 0.9)?, graph.scale(graph.square(e)?, 0.1)?)?;
        let root = graph.sqrt(m_new)?;
        let step = graph.div(graph.mul(rate, e)?, graph.maximum(root, graph.scalar(1e-3)?)?)?;
        let p_new = graph.sub(p, step)?;
        graph.update(p, p_new)?;
        graph.update(m, m_new)?;
        graph.output("e", e)?;
        graph.output("sum", graph.sum(p_new, &[0, 1, 2])?)
    };
    build().expect("the graph");
    graph
}

#[test]
fn light_nodes_in_a_row_are_one_dispatch_with_the_same_values() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: chains of element-wise nodes, for there is no GPU");
        return;
    };
    let graph = chained();
    let fill = |program: &mut Program, name: &str| {
        let values = program.input_mut::<f32>(name).expect("an input").iter_mut().enumerate();
        values.for_each(|(i, value)| *value = (i * 37 % 101) as f32 / 50.0 - 1.0);
    };
    let run = |kernels: Choice, without: Vec<String>| {
        let options = Options { kernels, without, poison: true };
        let mut program = Program::compile(&graph, &options).expect("a program");
        let mut state = State::initialise(&graph, 3);
        for name in ["x", "row", "column", "rate"] {
            fill(&mut program, name);
        }
        for _ in 0..3 {
            program.run(&mut state).expect("a run");
        }
        let mut values: Vec<_> = ["e", "sum"]
            .iter()
            .flat_map(|name| program.output(name).expect("an output").to_f64())
            .collect();
        for name in ["p", "m"] {
            values.extend(state.get(name).expect("a slot").to_f64());
        }
        (program.steps(), values)
    };
    let (_, expected) = run(Choice::default(), Vec::new());
    let on_gpu = || Choice::default().on(Some(gpu.clone()));
    let (alone, singly) = run(on_gpu(), vec!["groups".to_owned()]);
    let (together, chained) = run(on_gpu(), Vec::new());
    assert!(together < alone / 2, "{together} steps instead of {alone}");
    for found in [singly, chained] {
        assert_eq!(found.len(), expected.len());
        for (at, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{at}: {a} instead of {b}");
        }
    }
}

#[test]
fn eigenvalues_of_more_rows_than_a_workgroup_has_lanes() {
    let Some(gpu) = gpu(false) else {
        println!("skipped: eigenvalues of larger matrices, for there is no GPU");
        return;
    };
    let n = 70;
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, n, n]).expect("an input");
    let y = graph.symmetric_eigen(x).expect("a node");
    graph.output("y", y).expect("an output");
    let entry = |at: usize| {
        let (i, j) = (at / n % n, at % n);
        let diagonal = if i == j { i as f64 } else { 0.0 };
        diagonal + (at * 37 % 101) as f64 / 1010.0
    };
    let values: Vec<_> = (0..2 * n * n).map(entry).collect();
    let x = Tensor::new(&TensorType::new(DType::F32, &[2, n, n]), &values);
    let [cpu, found] = [None, Some(gpu)].map(|device| {
        let kernels = Choice::default().on(device);
        let options = Options { kernels, poison: true, ..Options::default() };
        let mut program = Program::compile(&graph, &options).expect("a program");
        program.set_input("x", &x).expect("the input");
        program.run(&mut State::default()).expect("a run");
        program.output("y").expect("the output").to_f64()
    });
    for (at, (a, b)) in cpu.iter().zip(&found).enumerate() {
        assert!((a - b).abs() <= 2e-4, "{at}: {b} instead of {a}");
    }
}
