//! Graphs, programs and states as their users see them.

#[path = "../common/adam.rs"]
mod adam;
mod arrangement;
mod checkpoints;
mod compositions;
mod coordinates;
mod epilogues;
mod errors;
mod fusion;
mod gradients;
mod images;
mod passes;
mod print;
mod products;
mod random;
mod sampling;
mod shapes;
mod states;
mod stored;
mod sums;

use speck_engine::{DType, Graph, NodeId, Options, Program, State, Tensor};

/// Cases of each property.
const CASES: u32 = 10_000;

/// Options with unwritten memory made visible.
fn poisoned(without: &[&str]) -> Options {
    let without = without.iter().map(|name| (*name).to_owned()).collect();
    Options { poison: true, without, ..Options::default() }
}

/// Compiles, sets the inputs and runs once on the state as it starts.
fn run(graph: &Graph, inputs: &[(&str, Tensor)]) -> (Program, State) {
    let mut program = Program::compile(graph, &poisoned(&[])).expect("a program");
    for (name, value) in inputs {
        program.set_input(name, value).expect("an input");
    }
    let mut state = State::initialise(graph, 0);
    program.run(&mut state).expect("a run");
    (program, state)
}

/// The value that `build` makes of float inputs in f64.
fn evaluate(
    inputs: &[(&[usize], &[f64])],
    build: impl Fn(&Graph, &[NodeId]) -> NodeId,
) -> Vec<f64> {
    let graph = Graph::new(DType::F64);
    let nodes: Vec<_> = (0..inputs.len())
        .map(|i| graph.input(&i.to_string(), DType::F64, inputs[i].0).expect("an input"))
        .collect();
    graph.output("y", build(&graph, &nodes)).expect("an output");
    let names: Vec<_> = (0..inputs.len()).map(|i| i.to_string()).collect();
    let values: Vec<_> = names
        .iter()
        .zip(inputs)
        .map(|(name, (shape, values))| (name.as_str(), Tensor::from_f64(shape, values.to_vec())))
        .collect();
    run(&graph, &values).0.output("y").expect("an output").to_f64()
}

/// Equal up to rounding.
#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= 1e-12 * (1.0 + expected.abs());
        assert!(near, "[{i}] is {found}, not {expected}");
    }
}
