//! Everything that runs on the CPU runs on a GPU, with the same results.
//!
//! Where there is no GPU these tests say so and count what they left out; with
//! `SPECK_REQUIRE_GPU=1` that is a failure.

#[path = "common/adam.rs"]
mod adam;
#[path = "common/cnn.rs"]
mod cnn;

use cnn::Training;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::{Gpu, GpuError};
use speck_engine::ops::{AveragePool2d, Window};
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

/// Ops of what is stored in 16 bits: their cases store it before.
const CPU_ONLY: [&str; 12] = [
    "store_f16",
    "store_bf16",
    "widen_f16",
    "widen_bf16",
    "matmul_half",
    "conv2d_half",
    "conv2d_input_gradient_half",
    "conv2d_weight_gradient_half",
    "permute_half",
    "concat_half",
    "gather_half",
    "index_select_half",
];

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
                Err(error) if CPU_ONLY.contains(&op.name) => {
                    let error = error.to_string();
                    let named = error.contains("`store_") || error.contains(op.name);
                    let said = error.contains("only on the CPU") && named;
                    assert!(said, "{}: {error}", op.name);
                }
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

/// A GPU that binds so many bytes at most.
fn small(most: u64) -> Option<Arc<Gpu>> {
    gpu(false).map(|_| Gpu::open_binding(0, true, most).expect("the same GPU again"))
}

/// Rows of values of which one is larger than a binding, and ops that fall into parts.
fn large() -> Graph {
    let graph = Graph::new(DType::F32);
    let build = || {
        let x = graph.input("x", DType::F32, &[100, 30])?;
        let row = graph.input("row", DType::F32, &[30])?;
        let weight = graph.input("weight", DType::F32, &[30, 20])?;
        let batch = graph.input("batch", DType::F32, &[70, 4, 5])?;
        let p = graph.state("p", &[100, 30], Initial::Uniform { bound: 1.0 })?;
        let y = graph.add(graph.relu(graph.scale(x, 2.0)?)?, row)?;
        graph.update(p, graph.add(p, graph.mul(y, y)?)?)?;
        graph.output("y", y)?;
        graph.output("exp", graph.exp(graph.mul(x, p)?)?)?;
        let product = graph.matmul(y, weight)?;
        graph.output("product", product)?;
        graph.output("sum", graph.sum(product, &[1])?)?;
        graph.output("softmax", graph.softmax(y, 1)?)?;
        graph.output("squares", graph.matmul_with(batch, batch, false, true)?)
    };
    build().expect("the graph");
    graph
}

/// What [`large_moved`] gives.
const MOVED: [&str; 16] = [
    "conv",
    "average",
    "spread",
    "input gradient",
    "gather",
    "scatter",
    "permute",
    "concat",
    "narrow",
    "embed",
    "sums",
    "argmax",
    "expand",
    "columns",
    "layer norm",
    "attention",
];

/// Images and rows through every op that falls into parts along its first dimension.
fn large_moved() -> Graph {
    let graph = Graph::new(DType::F32);
    let build = || {
        // 512 bytes an image, 128 a row, of an argmax 4.
        let image = graph.input("image", DType::F32, &[40, 4, 8, 4])?;
        let rows = graph.input("rows", DType::F32, &[192, 32])?;
        let weight = graph.input("weight", DType::F32, &[8, 4, 3, 3])?;
        let scale = graph.input("scale", DType::F32, &[32])?;
        let keep = |name: &str, node| graph.output(name, node);
        let window = Window { padding: [1, 1], ..Window::default() };
        let conv = graph.conv2d(image, weight, window)?;
        keep("conv", conv)?;
        let pool = AveragePool2d {
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            count_padding: true,
            ceil_mode: false,
            divisor: None,
        };
        let average = graph.average_pool2d(image, pool)?;
        keep("average", average)?;
        keep("spread", graph.average_pool2d_gradient(average, pool, [8, 4])?)?;
        keep("input gradient", graph.conv2d_input_gradient(conv, weight, window, [8, 4])?)?;
        let most = graph.max_pool2d_indices(image, [2, 2], [2, 2], [0, 0])?;
        let (flat, most) = (graph.reshape(image, &[40, 4, 32])?, graph.reshape(most, &[40, 4, 8])?);
        let picked = graph.gather(flat, 2, most)?;
        keep("gather", picked)?;
        keep("scatter", graph.scatter_add(picked, 2, most, 32)?)?;
        keep("permute", graph.permute(image, &[0, 2, 3, 1])?)?;
        keep("concat", graph.concat(&[image, conv], 1)?)?;
        let narrow = graph.narrow(rows, 1, 3, 2, 8)?;
        keep("narrow", narrow)?;
        keep("embed", graph.embed(narrow, 1, 0, 1, 32)?)?;
        keep("sums", graph.cumulative_sum(rows, 1, false)?)?;
        keep("argmax", graph.cast(graph.argmax(rows, 1)?)?)?;
        keep("expand", graph.copy(graph.expand(scale, &[192, 32])?)?)?;
        let column = graph.narrow(rows, 1, 0, 1, 1)?;
        keep("columns", graph.copy(graph.expand(column, &[192, 32])?)?)?;
        keep("layer norm", graph.layer_norm(rows, scale, scale, 1e-5)?)?;
        let heads = graph.reshape(rows, &[48, 4, 32])?;
        keep("attention", graph.attention(heads, heads, heads, 0.5, true)?)
    };
    build().expect("the graph");
    graph
}

/// Holds what a graph gives on a GPU that binds so many bytes against the processor, over
/// two runs.
fn hold_in_parts(graph: &Graph, inputs: &[&str], results: &[&str], slots: &[&str], gpu: &Arc<Gpu>) {
    let [cpu, found] = [None, Some(gpu.clone())].map(|device| {
        let kernels = Choice::default().on(device);
        let options = Options { kernels, poison: true, ..Options::default() };
        let mut program = Program::compile(graph, &options).expect("a program");
        let mut state = State::initialise(graph, 1);
        for (k, name) in inputs.iter().enumerate() {
            let values = program.input_mut::<f32>(name).expect("an input").iter_mut();
            let number = |i: usize| ((i * 37 + k * 11) % 101) as f32 / 50.0 - 1.0;
            values.enumerate().for_each(|(i, value)| *value = number(i));
        }
        program.run(&mut state).expect("a run");
        program.run(&mut state).expect("a run");
        assert!(program.steps() > 0);
        let output = |name: &&str| program.output(name).expect("an output").to_f64();
        let slot = |name: &&str| state.get(name).expect("a slot").to_f64();
        results.iter().map(output).chain(slots.iter().map(slot)).collect::<Vec<_>>()
    });
    let most = gpu.limits().binding;
    for (name, (cpu, found)) in results.iter().chain(slots).zip(cpu.iter().zip(&found)) {
        assert_eq!(cpu.len(), found.len());
        for (at, (a, b)) in cpu.iter().zip(found).enumerate() {
            let near = (a - b).abs() <= 1e-5 * a.abs().max(1.0);
            assert!(near, "{most} bytes, {name} at {at}: {b} instead of {a}");
        }
    }
}

#[test]
fn values_too_large_to_be_bound_are_computed_in_parts() {
    // Of x 64 rows are a part, then 32; a sum of rows of `product` takes 64 of them, for
    // bindings begin at every 256th byte; `batch` is cut in the last case only.
    for most in [1 << 13, 6000, 5200] {
        let Some(gpu) = small(most) else {
            println!("skipped: values too large to be bound, for there is no GPU");
            return;
        };
        let results = ["y", "exp", "product", "sum", "softmax", "squares"];
        hold_in_parts(&large(), &["x", "row", "weight", "batch"], &results, &["p"], &gpu);
    }
    for most in [1 << 13, 10000] {
        let Some(gpu) = small(most) else { return };
        let inputs = ["image", "rows", "weight", "scale"];
        hold_in_parts(&large_moved(), &inputs, &MOVED, &[], &gpu);
    }
}

#[test]
fn what_cannot_be_cut_is_refused_before_the_run_by_its_name() {
    let Some(gpu) = small(4096) else {
        println!("skipped: what is too large, for there is no GPU");
        return;
    };
    let compile = |build: &dyn Fn(&Graph) -> Result<(), speck_engine::GraphError>| {
        let graph = Graph::new(DType::F32);
        graph.scoped("layer", |graph| build(graph)).expect("the graph");
        let kernels = Choice::default().on(Some(gpu.clone()));
        let options = Options { kernels, ..Options::default() };
        Program::compile(&graph, &options).err().expect("a refusal").to_string()
    };
    let found = compile(&|graph| {
        let x = graph.input("x", DType::F32, &[64, 65])?;
        graph.output("y", graph.permute(x, &[1, 0])?)
    });
    assert!(found.contains("`permute` of `layer`") && found.contains("16640 bytes"), "{found}");
    // One row of it is too much.
    let found = compile(&|graph| {
        let x = graph.input("x", DType::F32, &[3, 2000])?;
        graph.output("y", graph.softmax(x, 1)?)
    });
    assert!(found.contains("`softmax` of `layer`"), "{found}");
    // What every row needs is too much.
    let found = compile(&|graph| {
        let x = graph.input("x", DType::F32, &[8, 64])?;
        let weight = graph.input("weight", DType::F32, &[64, 64])?;
        graph.output("y", graph.matmul(x, weight)?)
    });
    assert!(found.contains("`matmul` of `layer`"), "{found}");
    // What nothing reads is held to what a buffer holds.
    let most = gpu.limits().buffer as usize;
    let found = compile(&|graph| {
        graph.input("unread", DType::F32, &[most / 4 + 1])?;
        graph.output("y", graph.input("x", DType::F32, &[1])?)
    });
    assert!(found.contains("`input`") && found.contains("buffers of"), "{found}");
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
    let copy = training.state.clone();
    let values = copy.get(weight).expect("its value").to_f64();
    assert!(values.iter().all(|value| value.is_nan()), "what the GPU writes comes back");
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
