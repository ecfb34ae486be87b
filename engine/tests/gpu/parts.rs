//! Values larger than what a device binds, or than its buffers.

use super::gpu;
use speck_engine::kernels::Choice;
use speck_engine::kernels::gpu::Gpu;
use speck_engine::ops::{AveragePool2d, Window};
use speck_engine::{DType, Graph, Initial, Options, Program, State};
use std::sync::Arc;

/// A GPU that binds so many bytes at most.
pub fn small(most: u64) -> Option<Arc<Gpu>> {
    gpu(false).map(|_| Gpu::open_within(0, true, [most, u64::MAX]).expect("the same GPU again"))
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
    // What is too large for a buffer is not too large for a binding.
    let found = compile(&|graph| {
        let x = graph.input("x", DType::F32, &[1, 1024])?;
        let wide = graph.copy(graph.expand(x, &[most / 4096 + 1, 1024])?)?;
        graph.output("y", graph.sum(wide, &[0, 1])?)
    });
    assert!(found.contains("`expand` of `layer`") && found.contains("buffers of"), "{found}");
    // Stored it fits, widened it does not, and its columns are no parts of it.
    let found = compile(&|graph| {
        let x = graph.input("x", DType::F32, &[40, 40])?;
        let x = graph.store(x, DType::Bf16)?;
        graph.output("y", graph.matmul_with(x, x, true, false)?)
    });
    assert!(found.contains("`matmul_half` of `layer`") && found.contains("6400 bytes"), "{found}");
}
