//! Slots of the state: who reads the old value, who the new one, and where
//! values live. The planner computes new values in the slot itself wherever it
//! can, so these are the places where one value too many could be overwritten.

use crate::{poisoned, run};
use proptest::prelude::*;
use speck_engine::{DType, Graph, Initial, NodeId, Program, State, Tensor, TensorType, passes};

/// A graph with slots `a`, `b`, … of the given starting values.
fn slots(values: &[&[f64]]) -> (Graph, Vec<NodeId>, State) {
    let graph = Graph::new(DType::F64);
    let name = |i: usize| char::from(b'a' + i as u8).to_string();
    let nodes: Vec<_> = (0..values.len())
        .map(|i| graph.state(&name(i), &[values[i].len()], Initial::Constant(0.0)).expect("a slot"))
        .collect();
    let mut state = State::initialise(&graph, 0);
    for (i, value) in values.iter().enumerate() {
        state.set(&name(i), Tensor::from_f64(&[value.len()], value.to_vec())).expect("a slot");
    }
    (graph, nodes, state)
}

/// Runs some steps with unwritten memory made visible.
fn steps(graph: &Graph, state: &mut State, count: usize) -> Program {
    let mut program = Program::compile(graph, &poisoned(&[])).expect("a program");
    for _ in 0..count {
        program.run(state).expect("a run");
    }
    program
}

fn slot(state: &State, name: &str) -> Vec<f64> {
    state.get(name).expect("a slot").to_f64()
}

fn value(program: &Program, name: &str) -> Vec<f64> {
    program.output(name).expect("an output").to_f64()
}

#[test]
fn whoever_reads_a_slot_in_a_step_sees_its_old_value() {
    let (graph, s, mut state) = slots(&[&[1.0, 2.0], &[10.0, 20.0]]);
    let (p, r) = (s[0], s[1]);
    let before = graph.scale(p, 2.0).expect("a node");
    let change = graph.mul(r, p).expect("a node");
    let new = graph.sub(p, change).expect("a node");
    graph.update(p, new).expect("an update");
    // Built after the update, on the old value and on the new one.
    let after = graph.scale(p, 3.0).expect("a node");
    let next = graph.neg(new).expect("a node");
    for (name, node) in [("before", before), ("after", after), ("next", next)] {
        graph.output(name, node).expect("an output");
    }
    let program = steps(&graph, &mut state, 1);
    assert_eq!(value(&program, "before"), [2.0, 4.0]);
    assert_eq!(value(&program, "after"), [3.0, 6.0]);
    assert_eq!(value(&program, "next"), [9.0, 38.0]);
    assert_eq!(slot(&state, "a"), [-9.0, -38.0]);
    assert_eq!(slot(&state, "b"), [10.0, 20.0]);
}

#[test]
fn a_plain_update_is_computed_in_its_slot() {
    let (graph, s, mut state) = slots(&[&[1.0; 5], &[0.5; 5]]);
    let scaled = graph.scale(s[1], 0.25).expect("a node");
    graph.update(s[0], graph.sub(s[0], scaled).expect("a node")).expect("an update");
    let program = steps(&graph, &mut state, 2);
    assert!(program.to_string().contains("in place"), "{program}");
    assert_eq!(slot(&state, "a"), [0.75; 5]);
}

#[test]
fn slots_can_swap_and_rotate() {
    let (graph, s, mut state) = slots(&[&[1.0], &[2.0]]);
    graph.update(s[0], s[1]).expect("an update");
    graph.update(s[1], s[0]).expect("an update");
    steps(&graph, &mut state, 1);
    assert_eq!((slot(&state, "a"), slot(&state, "b")), (vec![2.0], vec![1.0]));

    let (graph, s, mut state) = slots(&[&[1.0], &[2.0], &[3.0]]);
    for i in 0..3 {
        graph.update(s[i], s[(i + 1) % 3]).expect("an update");
    }
    steps(&graph, &mut state, 4);
    let rotated: Vec<_> = ["a", "b", "c"].iter().flat_map(|name| slot(&state, name)).collect();
    assert_eq!(rotated, [2.0, 3.0, 1.0]);
}

#[test]
fn slots_can_swap_through_other_shapes_and_with_themselves() {
    let graph = Graph::new(DType::F64);
    let a = graph.state("a", &[2, 3], Initial::Constant(1.0)).expect("a slot");
    let b = graph.state("b", &[3, 2], Initial::Constant(2.0)).expect("a slot");
    let c = graph.state("c", &[2], Initial::Constant(3.0)).expect("a slot");
    graph.update(a, graph.reshape(b, &[2, 3]).expect("a node")).expect("an update");
    graph.update(b, graph.reshape(a, &[3, 2]).expect("a node")).expect("an update");
    graph.update(c, c).expect("an update");
    let (_, state) = run(&graph, &[]);
    assert_eq!(slot(&state, "a"), [2.0; 6]);
    assert_eq!(slot(&state, "b"), [1.0; 6]);
    assert_eq!(slot(&state, "c"), [3.0; 2]);
}

#[test]
fn one_node_can_update_two_slots() {
    let (graph, s, mut state) = slots(&[&[1.0, 2.0], &[10.0, 20.0]]);
    let sum = graph.add(s[0], s[1]).expect("a node");
    graph.update(s[0], sum).expect("an update");
    graph.update(s[1], sum).expect("an update");
    steps(&graph, &mut state, 2);
    assert_eq!(slot(&state, "a"), [22.0, 44.0]);
    assert_eq!(slot(&state, "b"), [22.0, 44.0]);
}

#[test]
fn a_later_update_replaces_an_earlier_one() {
    let (graph, s, mut state) = slots(&[&[1.0]]);
    graph.update(s[0], graph.scale(s[0], 2.0).expect("a node")).expect("an update");
    graph.update(s[0], graph.scale(s[0], 5.0).expect("a node")).expect("an update");
    steps(&graph, &mut state, 1);
    assert_eq!(slot(&state, "a"), [5.0]);
}

#[test]
fn outputs_outlive_the_state_and_the_next_write_to_it() {
    let (graph, s, mut state) = slots(&[&[1.0, 2.0], &[3.0, 4.0]]);
    let new = graph.scale(s[0], 10.0).expect("a node");
    graph.update(s[0], new).expect("an update");
    let reshaped = graph.reshape(s[1], &[1, 2]).expect("a node");
    for (name, node) in [("old", s[0]), ("new", new), ("untouched", s[1]), ("alias", reshaped)] {
        graph.output(name, node).expect("an output");
    }
    let program = steps(&graph, &mut state, 1);
    state.get_mut("b").expect("a slot").values_mut::<f64>().expect("floats").fill(0.0);
    drop(state);
    assert_eq!(value(&program, "old"), [1.0, 2.0]);
    assert_eq!(value(&program, "new"), [10.0, 20.0]);
    assert_eq!(value(&program, "untouched"), [3.0, 4.0]);
    assert_eq!(value(&program, "alias"), [3.0, 4.0]);
}

#[test]
fn a_new_value_that_is_an_output_is_no_part_of_the_state() {
    let (graph, s, mut state) = slots(&[&[1.0, 2.0]]);
    let new = graph.scale(s[0], 10.0).expect("a node");
    graph.update(s[0], new).expect("an update");
    graph.output("new", new).expect("an output");
    let program = steps(&graph, &mut state, 1);
    state.set("a", Tensor::from_f64(&[2], vec![0.0; 2])).expect("a slot");
    assert_eq!(value(&program, "new"), [10.0, 20.0]);
}

/// What the caller writes for the next run is no part of the last one.
#[test]
fn outputs_that_are_inputs_stay_as_the_run_left_them() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[4]).expect("an input");
    let square = graph.reshape(x, &[2, 2]).expect("a node");
    graph.output("y", x).expect("an output");
    graph.output("square", square).expect("an output");
    let (mut program, _) = run(&graph, &[("x", Tensor::from_f32(&[4], vec![1.0; 4]))]);
    program.input_mut::<f32>("x").expect("an input").fill(2.0);
    assert_eq!(value(&program, "y"), [1.0; 4]);
    assert_eq!(value(&program, "square"), [1.0; 4]);
}

/// Steps that read a whole slot while they write one element must not write
/// into it.
#[test]
fn updates_that_mix_elements_read_the_old_ones() {
    let graph = Graph::new(DType::F64);
    let a = graph.state("a", &[2, 2], Initial::Constant(0.0)).expect("a slot");
    let b = graph.state("b", &[2, 2], Initial::Constant(0.0)).expect("a slot");
    let c = graph.state("c", &[4], Initial::Constant(0.0)).expect("a slot");
    graph.update(a, graph.permute(a, &[1, 0]).expect("a node")).expect("an update");
    graph.update(b, graph.matmul(b, b).expect("a node")).expect("an update");
    let first = graph.narrow(c, 0, 0, 1, 1).expect("a node");
    graph.update(c, graph.sub(c, first).expect("a node")).expect("an update");
    let mut state = State::initialise(&graph, 0);
    for (name, shape) in [("a", &[2, 2][..]), ("b", &[2, 2]), ("c", &[4])] {
        state.set(name, Tensor::from_f64(shape, vec![1.0, 2.0, 3.0, 4.0])).expect("a slot");
    }
    steps(&graph, &mut state, 1);
    assert_eq!(slot(&state, "a"), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(slot(&state, "b"), [7.0, 10.0, 15.0, 22.0]);
    assert_eq!(slot(&state, "c"), [0.0, 1.0, 2.0, 3.0]);
}

/// A scalar slot stretched over a long one, both updated in one group of
/// element-wise steps.
#[test]
fn a_stretched_slot_is_read_before_it_changes() {
    let (graph, s, mut state) = slots(&[&[2.0], &[3.0; 1500], &[1.0; 1500]]);
    let (scale, long, other) = (s[0], s[1], s[2]);
    graph.update(scale, graph.square(scale).expect("a node")).expect("an update");
    graph.update(long, graph.mul(long, scale).expect("a node")).expect("an update");
    graph.update(other, graph.add(other, long).expect("a node")).expect("an update");
    steps(&graph, &mut state, 2);
    assert_eq!(slot(&state, "a"), [16.0]);
    assert_eq!(slot(&state, "b"), [24.0; 1500]);
    assert_eq!(slot(&state, "c"), [10.0; 1500]);
}

#[test]
fn counters_count_and_inputs_can_be_stored() {
    let graph = Graph::new(DType::F32);
    let ty = TensorType::new(DType::I32, &[]);
    let n = graph.state_of("n", &ty, Initial::Constant(5.0)).expect("a slot");
    graph.update(n, graph.increment(n).expect("a node")).expect("an update");
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let last = graph.state("last", &[2], Initial::Constant(0.0)).expect("a slot");
    graph.update(last, x).expect("an update");
    let fixed = graph.state("fixed", &[], Initial::Constant(0.0)).expect("a slot");
    graph.update(fixed, graph.scalar(7.0).expect("a node")).expect("an update");
    let (mut program, mut state) = run(&graph, &[("x", Tensor::from_f32(&[2], vec![1.0, 2.0]))]);
    program.run(&mut state).expect("a run");
    assert_eq!(slot(&state, "n"), [7.0]);
    assert_eq!(slot(&state, "last"), [1.0, 2.0]);
    assert_eq!(slot(&state, "fixed"), [7.0]);
}

#[test]
fn one_program_serves_several_states_and_one_state_several_programs() {
    let train = Graph::new(DType::F64);
    let p = train.state("p", &[2], Initial::Normal { deviation: 1.0 }).expect("a slot");
    train.update(p, train.scale(p, 2.0).expect("a node")).expect("an update");
    let evaluate = Graph::new(DType::F64);
    let q = evaluate.state("q", &[1], Initial::Constant(1.0)).expect("a slot");
    let p = evaluate.state("p", &[2], Initial::Constant(0.0)).expect("a slot");
    let y = evaluate.mul(p, q).expect("a node");
    evaluate.output("y", y).expect("an output");

    let mut state = State::initialise(&train, 3);
    let start = slot(&state, "p");
    assert_eq!(State::initialise(&train, 3).get("p"), state.get("p"));
    assert_ne!(State::initialise(&train, 4).get("p"), state.get("p"));
    let mut other = state.copy().expect("a state");
    let mut program = steps(&train, &mut state, 2);
    program.run(&mut other).expect("a run");
    // New slots for another program; those that are there keep their values.
    state.extend(&evaluate, 3);
    program.run(&mut state).expect("a run");
    let evaluation = steps(&evaluate, &mut state, 1);
    assert_eq!(value(&evaluation, "y"), start.iter().map(|v| 8.0 * v).collect::<Vec<_>>());
    assert_eq!(slot(&other, "p"), start.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
}

/// Longer than a tile of element-wise work, so that tiles border each other.
const LONG: usize = 1300;
const SLOTS: usize = 4;

/// An instruction of a random step: an op and what it works on, by position
/// among the values so far.
type Instruction = (u8, usize, usize);

/// Values of a random step: vectors of [`LONG`], or of one element.
fn operate(op: u8, a: &[f64], b: &[f64]) -> Vec<f64> {
    let pairs = |f: fn(f64, f64) -> f64| -> Vec<f64> {
        let at = |v: &[f64], i: usize| if v.len() == 1 { v[0] } else { v[i] };
        (0..a.len().max(b.len())).map(|i| f(at(a, i), at(b, i))).collect()
    };
    match op {
        0 => pairs(|a, b| a + b),
        1 => pairs(|a, b| a - b),
        2 => pairs(f64::max),
        3 => a.iter().map(|a| -a).collect(),
        4 => vec![a.iter().copied().fold(f64::NEG_INFINITY, f64::max)],
        // [2, n/2] transposed: moves every element.
        5 if a.len() > 1 => (0..a.len()).map(|i| a[i % 2 * (a.len() / 2) + i / 2]).collect(),
        6 => a.iter().map(|a| a * 0.5).collect(),
        _ => a.to_vec(),
    }
}

fn build(graph: &Graph, op: u8, a: NodeId, b: NodeId) -> NodeId {
    let n = graph.ty(a).elements();
    let node = match op {
        0 => graph.add(a, b),
        1 => graph.sub(a, b),
        2 => graph.maximum(a, b),
        3 => graph.neg(a),
        4 => graph.max(a, &[0]).and_then(|y| graph.reshape(y, &[1])),
        5 if n > 1 => graph
            .reshape(a, &[2, n / 2])
            .and_then(|y| graph.permute(y, &[1, 0]))
            .and_then(|y| graph.reshape(y, &[n])),
        6 => graph.scale(a, 0.5),
        _ => graph.copy(a),
    };
    node.expect("a node")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::CASES))]

    /// Random steps against a reading of the same instructions that copies
    /// everything: no plan of memory may show.
    #[test]
    fn random_steps_do_what_they_say(
        instructions in prop::collection::vec((0u8..8, 0usize..64, 0usize..64), 1..24),
        updates in prop::collection::vec(prop::option::of(0usize..64), SLOTS),
        outputs in prop::collection::vec(0usize..64, 0..3),
        without in prop::sample::subsequence(
            passes::ALL[1..].iter().map(|pass| pass.name).chain([passes::GROUPS])
                .collect::<Vec<_>>(), 0..4),
    ) {
        random_step(&instructions, &updates, &outputs, &without)?;
    }
}

fn random_step(
    instructions: &[Instruction],
    updates: &[Option<usize>],
    outputs: &[usize],
    without: &[&str],
) -> Result<(), TestCaseError> {
    // Three long slots and a short one.
    let length = |slot: usize| if slot == SLOTS - 1 { 1 } else { LONG };
    let start = |slot: usize| -> Vec<f64> {
        (0..length(slot)).map(|i| ((i * 37 + slot * 11) % 101) as f64 - 50.0).collect()
    };
    let starts: Vec<_> = (0..SLOTS).map(start).collect();
    let starts: Vec<&[f64]> = starts.iter().map(Vec::as_slice).collect();
    let (graph, mut nodes, mut state) = slots(&starts);
    for (op, a, b) in instructions {
        let (a, b) = (nodes[a % nodes.len()], nodes[b % nodes.len()]);
        nodes.push(build(&graph, *op, a, b));
    }
    // An update takes the first value of the slot's size from its position on.
    let fitting = |from: usize, slot: usize| {
        (0..nodes.len())
            .map(|i| (from + i) % nodes.len())
            .find(|i| graph.ty(nodes[*i]).elements() == length(slot))
    };
    let updates: Vec<(usize, usize)> =
        (0..SLOTS).filter_map(|slot| Some((slot, fitting(updates[slot]?, slot)?))).collect();
    for (slot, value) in &updates {
        graph.update(nodes[*slot], nodes[*value]).expect("an update");
    }
    for (i, node) in outputs.iter().enumerate() {
        graph.output(&i.to_string(), nodes[node % nodes.len()]).expect("an output");
    }
    let mut program = Program::compile(&graph, &poisoned(without)).expect("a program");
    let mut expected: Vec<Vec<f64>> = starts.iter().map(|start| start.to_vec()).collect();
    for _ in 0..3 {
        program.run(&mut state).expect("a run");
        let mut values = expected.clone();
        for (op, a, b) in instructions {
            let value = operate(*op, &values[a % values.len()], &values[b % values.len()]);
            values.push(value);
        }
        for (slot, value) in &updates {
            expected[*slot] = values[*value].clone();
        }
        for ((_, tensor), expected) in state.iter().zip(&expected) {
            prop_assert_eq!(tensor.to_f64(), &expected[..]);
        }
        // Outputs are the run's, not the state's: they outlast its values.
        wipe(&mut state);
        for (i, node) in outputs.iter().enumerate() {
            prop_assert_eq!(value(&program, &i.to_string()), &values[node % values.len()][..]);
        }
        restore(&mut state, &expected);
    }
    Ok(())
}

fn wipe(state: &mut State) {
    let values: Vec<_> =
        state.iter().map(|(_, tensor)| vec![f64::NAN; tensor.to_f64().len()]).collect();
    restore(state, &values);
}

fn restore(state: &mut State, values: &[Vec<f64>]) {
    let names: Vec<_> = state.iter().map(|(name, _)| name.to_owned()).collect();
    for (name, values) in names.iter().zip(values) {
        state.set(name, Tensor::from_f64(&[values.len()], values.clone())).expect("a slot");
    }
}
