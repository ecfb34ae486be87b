//! Windows that are computed once for all samples that are alike.

use crate::random_values;
use speck_engine::ops::{AveragePool2d, Window};
use speck_engine::structure::{self, Kinds};
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, State, Tensor, TensorType,
};

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
const SCREEN: [usize; 2] = [48, 40];

type Parameter<'a> = &'a dyn Fn(&[usize]) -> NodeId;
type Build = fn(&Graph, NodeId, Parameter<'_>) -> Result<NodeId, GraphError>;

/// The output for a speck of `size` at every place and an empty slot, and the
/// kinds of places if they are looked for.
fn run(float: DType, size: usize, build: Build, alike: bool) -> (Vec<f64>, Option<Kinds>) {
    let samples = SCREEN[0] * SCREEN[1] + 1;
    let graph = Graph::new(float);
    let positions = graph.input("positions", DType::I32, &[samples, 1, 2]).expect("an input");
    let colours = graph.input("colours", float, &[samples, 1, 3]).expect("an input");
    let background = graph.input("background", float, &[1, 3]).expect("an input");
    let image = graph.render(positions, colours, background, SCREEN, size).expect("screens");
    let number = std::cell::Cell::new(0);
    let parameter = |shape: &[usize]| {
        number.set(number.get() + 1);
        let name = format!("parameter {}", number.get());
        graph.state(&name, shape, Initial::Uniform { bound: 0.5 }).expect("a slot")
    };
    let output = build(&graph, image, &parameter).expect("a network");
    graph.output("output", output).expect("an output");
    let kind = graph.input("kind", DType::I32, &[samples]).expect("an input");
    let kinds = match alike {
        true => structure::rewrite_alike(&graph, colours, kind).expect("a rewrite"),
        false => None,
    };
    let kinds = kinds.map(|(kinds, _)| kinds);
    let options = Options { poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options).expect("a program");
    let mut places = vec![-1; samples * 2];
    for (i, place) in places.chunks_exact_mut(2).skip(1).enumerate() {
        // In an order that is not that of the kinds.
        let i = i * 7 % (samples - 1);
        place.copy_from_slice(&[(i / SCREEN[1]) as i32, (i % SCREEN[1]) as i32]);
    }
    let mut set = |name: &str, tensor: Tensor| program.set_input(name, &tensor).expect("set");
    if let Some(kinds) = &kinds {
        let kind = places.chunks_exact(2).map(|place| kinds.kind(place[0], place[1]));
        set("kind", Tensor::from_i32(&[samples], kind.collect()));
    } else {
        set("kind", Tensor::from_i32(&[samples], vec![0; samples]));
    }
    set("positions", Tensor::from_i32(&[samples, 1, 2], places));
    let colour = [0.9, 0.2, 0.6].repeat(samples);
    set("colours", Tensor::new(&TensorType::new(float, &[samples, 1, 3]), &colour));
    let behind = random_values(3, 3, 0.0, 1.0);
    set("background", Tensor::new(&TensorType::new(float, &[1, 3]), &behind));
    let mut state = State::initialise(&graph, 7);
    program.run(&mut state).expect("a run");
    (program.output("output").expect("an output").to_f64(), kinds)
}

/// Compares with the dense program; returns the kinds of rows and columns.
#[track_caller]
fn same(size: usize, build: Build) -> [usize; 2] {
    let mut counts = [0; 2];
    for (float, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let (dense, _) = run(float, size, build, false);
        let (alike, kinds) = run(float, size, build, true);
        assert_eq!(dense.len(), alike.len());
        let largest = dense.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
        for (at, (a, b)) in dense.iter().zip(&alike).enumerate() {
            let error = (a - b).abs();
            assert!(error <= tolerance * largest, "{float}, {size}: {b} instead of {a} at {at}");
        }
        counts = kinds.map_or([0; 2], |kinds| kinds.counts());
    }
    counts
}

#[test]
fn a_network_with_a_linear_head() {
    let network: Build = |g, x, p| {
        let x = g.relu(g.add(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?, p(&[4, 1, 1]))?)?;
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        let x = g.relu(g.conv2d(x, p(&[5, 4, 3, 3]), PADDED)?)?;
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        g.matmul_with(g.flatten_from(x, 1)?, p(&[6, 600]), false, true)
    };
    let counts = same(1, network);
    assert!(counts.iter().all(|count| (4..=20).contains(count)), "{counts:?}");
    for size in [2, 5] {
        assert_ne!(same(size, network), [0; 2]);
    }
}

#[test]
fn one_layer_knows_inside_and_border() {
    let counts = same(1, |g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        g.matmul_with(g.flatten_from(x, 1)?, p(&[6, 7680]), false, true)
    });
    // A place whose window reaches the border sees it with one row of its taps.
    assert_eq!(counts, [5, 5]);
}

#[test]
fn blocks_that_join_and_average() {
    let counts = same(1, |g, x, p| {
        let x = g.average_pool2d(
            x,
            AveragePool2d { kernel: [2, 2], stride: [2, 2], ..AveragePool2d::default() },
        )?;
        let y = g.tanh(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)?;
        let z = g.conv2d(y, p(&[4, 1, 3, 3]), Window { groups: 4, ..PADDED })?;
        let y = g.concat(&[g.add(y, z)?, x], 1)?;
        g.global_average_pool(g.mul(y, p(&[1, 7, 1, 1]))?)
    });
    assert_ne!(counts, [0; 2]);
}

fn heat(g: &Graph, x: NodeId, p: Parameter<'_>) -> Result<NodeId, GraphError> {
    let x = g.tanh(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)?;
    g.conv2d(x, p(&[2, 4, 1, 1]), Window::default())
}

#[test]
fn readouts_of_the_place_itself() {
    let readouts: [Build; 3] = [
        |g, x, p| g.dsnt(heat(g, x, p)?),
        |g, x, p| g.global_max_pool(heat(g, x, p)?),
        |g, x, p| g.sum(g.softmax(heat(g, x, p)?, 3)?, &[2]),
    ];
    for readout in readouts {
        assert_ne!(same(1, readout), [0; 2]);
    }
}

#[test]
fn what_differs_from_place_to_place_is_not_shared() {
    // Each row and column has its own constant: no two places are alike.
    let counts = same(1, |g, x, p| {
        let x = g.mul(x, p(&[1, 1, 48, 40]))?;
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        g.matmul_with(g.flatten_from(x, 1)?, p(&[6, 7680]), false, true)
    });
    assert_eq!(counts, [0; 2]);
    // So is a factor of the sample's own.
    same(1, |g, x, p| {
        let x = g.mul(x, p(&[1921, 1, 1, 1]))?;
        g.global_average_pool(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)
    });
}
