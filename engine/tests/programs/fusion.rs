//! Steps that are brought together: stretched operands, sums at their ends,
//! and values computed again give the bits of single steps.

use crate::poisoned;
use speck_engine::{DType, Graph, GraphError, NodeId, Program, State, Tensor, TensorType, passes};

/// Runs a graph of inputs `0`, `1`, … of these shapes and outputs `0`, `1`, ….
fn run(graph: &Graph, shapes: &[&[usize]], outputs: usize, without: &[&str]) -> Vec<Tensor> {
    let mut program = Program::compile(graph, &poisoned(without)).expect("a program");
    for (i, shape) in shapes.iter().enumerate() {
        let ty = TensorType::new(graph.float(), shape);
        let value = |j: usize| ((j * 37 + i * 11) % 101) as f64 / 50.5 - 1.0;
        let values: Vec<_> = (0..ty.elements()).map(value).collect();
        program.set_input(&i.to_string(), &Tensor::new(&ty, &values)).expect("an input");
    }
    program.run(&mut State::default()).expect("a run");
    (0..outputs).map(|i| program.output(&i.to_string()).expect("an output")).collect()
}

type Build = fn(&Graph, &[NodeId]) -> Result<Vec<NodeId>, GraphError>;

fn check(dtype: DType, shapes: &[&[usize]], build: Build) -> [usize; 2] {
    let graph = Graph::new(dtype);
    let inputs: Vec<_> = (0..shapes.len())
        .map(|i| graph.input(&i.to_string(), dtype, shapes[i]).expect("an input"))
        .collect();
    let outputs = build(&graph, &inputs).expect("a graph");
    for (i, output) in outputs.iter().enumerate() {
        graph.output(&i.to_string(), *output).expect("an output");
    }
    let all: Vec<_> = passes::ALL.iter().map(|pass| pass.name).chain([passes::GROUPS]).collect();
    let fused = run(&graph, shapes, outputs.len(), &[]);
    for without in [&["fusion"][..], &[passes::GROUPS], &["fusion", passes::GROUPS], &all] {
        let plain = run(&graph, shapes, outputs.len(), without);
        assert!(fused == plain, "{shapes:?} without {without:?}");
    }
    [&[][..], &all]
        .map(|without| Program::compile(&graph, &poisoned(without)).expect("a program").steps())
}

/// A norm over all but the second dimension and its gradient, with a rectifier.
fn channels(graph: &Graph, x: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
    let y = graph.batch_norm_of(x[0], Some(x[1]), Some(x[2]), 1e-5)?;
    let y = graph.relu(y)?;
    let loss = graph.sum_all(graph.mul(graph.exp(y)?, x[3])?)?;
    let mut outputs = graph.gradient(loss, &x[..3])?;
    outputs.extend([y, loss]);
    Ok(outputs)
}

/// The same over the last one, as the ops that `norm` stands for.
fn rows(graph: &Graph, x: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
    let y = graph.standardize(x[0], &[1], 1e-5)?;
    let y = graph.add(graph.mul(y, x[1])?, x[2])?;
    let y = graph.add(graph.gelu_tanh(y)?, x[0])?;
    let loss = graph.sum_all(graph.mul(y, x[3])?)?;
    let mut outputs = graph.gradient(loss, &x[..3])?;
    outputs.extend([y, loss]);
    Ok(outputs)
}

#[test]
fn norms_of_channels_and_rows_are_bit_equal_to_single_steps() {
    for dtype in [DType::F32, DType::F64] {
        for [batch, channels_, pixels] in [[2, 3, 5], [3, 7, 1025], [5, 33, 700], [40, 32, 256]] {
            let all: &[usize] = &[batch, channels_, pixels];
            let [fused, plain] = check(dtype, &[all, &[channels_], &[channels_], all], channels);
            assert!(2 * fused < plain, "{fused} steps, {plain} without");
        }
        for [many, width] in [[3, 5], [77, 100], [300, 128], [130, 384], [5, 40_000], [1, 33]] {
            let all: &[usize] = &[many, width];
            let [fused, plain] = check(dtype, &[all, &[width], &[width], all], rows);
            assert!(2 * fused < plain, "{fused} steps, {plain} without");
        }
    }
}

#[test]
fn what_is_past_the_caches_is_bit_equal() {
    // Over 16 MiB, and not a multiple of a tile or a line.
    let all: &[usize] = &[1, 5, 900_001];
    check(DType::F32, &[all, &[5], &[5], all], channels);
}

#[test]
fn sums_of_all_patterns_end_groups() {
    let sums: Build = |graph, x| {
        let y = graph.square(x[0])?;
        let axes: [&[usize]; 8] = [&[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2], &[]];
        axes.iter().map(|axes| graph.sum(y, axes)).collect()
    };
    for shape in [[2, 3, 4], [9, 17, 33], [5, 1, 1000], [70, 40, 30], [1, 8, 4096], [33, 1, 1]] {
        check(DType::F32, &[&shape], sums);
        check(DType::F64, &[&shape], sums);
    }
}

/// Every kind of stretching, of the condition too, over lengths around a tile.
#[test]
fn stretched_operands_of_all_patterns() {
    let build: Build = |graph, x| {
        let mut y = graph.mul(x[0], x[1])?;
        for other in &x[2..] {
            y = graph.select(graph.greater(*other, y)?, graph.sub(y, *other)?, y)?;
        }
        Ok(vec![y, graph.neg(graph.tanh(y)?)?])
    };
    for [a, b, c] in [[2, 3, 4], [1, 1, 1], [3, 5, 1023], [4, 1024, 2], [50, 31, 17]] {
        let shapes: [&[usize]; 8] =
            [&[a, b, c], &[], &[c], &[b, 1], &[b, c], &[a, 1, 1], &[a, 1, c], &[a, b, 1]];
        check(DType::F32, &shapes, build);
    }
}

/// A value that is cheap to compute again is not kept; one that a product
/// reads is.
#[test]
fn cheap_values_are_computed_again() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[64, 512]).expect("an input");
    let s = graph.input("s", DType::F32, &[512]).expect("an input");
    let centred = graph.sub(x, s).expect("a node");
    let variance = graph.sum(graph.square(centred).expect("a node"), &[0]).expect("a node");
    let y = graph.mul(centred, graph.rsqrt(variance).expect("a node")).expect("a node");
    graph.output("y", y).expect("an output");
    let printed = |without: &[&str]| {
        Program::compile(&graph, &poisoned(without)).expect("a program").to_string()
    };
    let count = |text: &str| text.matches("= sub(").count();
    assert_eq!((count(&printed(&[])), count(&printed(&["fusion"]))), (2, 1), "{}", printed(&[]));
    let weight = graph.reshape(s, &[512, 1]).expect("a node");
    let product = graph.matmul(centred, weight).expect("a node");
    graph.output("product", product).expect("an output");
    assert_eq!(count(&printed(&[])), 1, "{}", printed(&[]));
}

/// The loss of logits and its gradient read both arrays once: one group, though the mean
/// stands between them.
#[test]
fn a_loss_and_its_gradient_are_one_group() {
    let build: Build = |graph, x| {
        let loss = graph.mean_all(graph.sub(graph.softplus(x[0])?, graph.mul(x[1], x[0])?)?)?;
        Ok(vec![graph.gradient(loss, &x[..1])?[0], loss])
    };
    for shape in [[3, 5], [32, 128], [70, 1023]] {
        // The group, and the mean.
        assert_eq!(check(DType::F32, &[&shape, &shape], build)[0], 2, "{shape:?}");
    }
}
