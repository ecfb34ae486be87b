//! The stated rule of every op, held to by value.
//!
//! At a tie, a kink, the edge of a domain or a NaN, finite differences say
//! nothing: only the number itself shows that the op does what its entry in
//! the registry says. Every variant of the op's kernels is held to it.

mod elementwise;
mod order;
mod structured;
mod table;

use speck_engine::check::values::{self, Expectation};
use speck_engine::kernels::Choice;
use speck_engine::{
    DType, Graph, NodeId, OpInfo, Options, Program, State, Tensor, TensorType, ops,
};
use std::collections::HashSet;
use table::{Entry, entries};

#[test]
fn every_stated_rule_has_an_entry() {
    let table = entries();
    for op in ops::ALL.iter().filter(|op| op.rule.is_some()) {
        assert!(table.iter().any(|entry| entry.op == op.name), "no entry for {}", op.name);
    }
    for entry in &table {
        let op = info(entry);
        assert!(op.rule.is_some(), "`{}` pins a rule that {} does not state", name(entry), op.name);
    }
}

#[test]
fn every_entry_uses_the_op_it_is_about() {
    for entry in entries() {
        let graph = Graph::new(DType::F64);
        let nodes = inputs(&graph, &entry.expectation.inputs);
        (entry.expectation.build)(&graph, &nodes).expect("a graph");
        let printed = graph.to_string();
        assert!(printed.contains(&format!("= {}(", entry.op)), "{}:\n{printed}", name(&entry));
    }
}

#[test]
fn the_rules_hold() {
    for entry in entries() {
        values::check(&entry.expectation).unwrap_or_else(|error| panic!("{}: {error}", entry.op));
    }
}

/// The checker runs the default kernels in f64; programs train in f32, where
/// each instruction set has code of its own for exactly these values.
#[test]
fn the_rules_hold_in_f32_for_every_variant() {
    let mut checked = HashSet::new();
    for entry in entries() {
        for kernel in (info(&entry).kernels)() {
            for variant in kernel.f32.iter().filter(|variant| variant.refused.is_none()) {
                let choice = format!("{}:{}", kernel.name, variant.name);
                let found = run_f32(&entry, &choice);
                let Expectation { output, gradients, .. } = &entry.expectation;
                for (found, expected) in found.iter().zip(std::iter::once(output).chain(gradients))
                {
                    assert_close(found, expected, &format!("{} / {choice}", name(&entry)));
                }
                checked.insert(choice);
            }
        }
    }
    // With one variant a kernel this test would repeat the one above.
    assert!(checked.iter().any(|name| !name.ends_with(":scalar")), "{checked:?}");
}

#[test]
fn cast_rounds_to_nearest_even_beyond_2_to_the_24() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::I32, &[6]).expect("an input");
    graph.output("y", graph.cast(x).expect("a cast")).expect("an output");
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    let integers = [1 << 24, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, i32::MAX, i32::MIN];
    program.input_mut::<i32>("x").expect("an input").copy_from_slice(&integers);
    program.run(&mut State::default()).expect("a run");
    // Beyond 2²⁴ only even numbers have an f32: 2²⁴ + 1 lies between two of
    // them and goes to the multiple of four, 2²⁴ + 3 up to the next one.
    let expected = [16777216.0, 16777216.0, 16777220.0, -16777216.0, 2147483648.0, -2147483648.0];
    assert_eq!(program.values::<f32>("y").expect("an output"), expected);
}

fn info(entry: &Entry) -> &'static OpInfo {
    let found = ops::ALL.iter().find(|op| op.name == entry.op);
    found.unwrap_or_else(|| panic!("there is no op `{}`", entry.op))
}

fn name(entry: &Entry) -> String {
    format!("{}: {}", entry.op, entry.expectation.name)
}

fn inputs(graph: &Graph, tensors: &[Tensor]) -> Vec<NodeId> {
    let input = |(i, t): (usize, &Tensor)| {
        let dtype = if t.ty().dtype.is_float() { graph.float() } else { t.ty().dtype };
        graph.input(&i.to_string(), dtype, t.shape()).expect("an input")
    };
    tensors.iter().enumerate().map(input).collect()
}

/// Output and gradients in f32 with one variant forced, on poisoned memory.
fn run_f32(entry: &Entry, choice: &str) -> Vec<Vec<f64>> {
    let graph = Graph::new(DType::F32);
    let nodes = inputs(&graph, &entry.expectation.inputs);
    let output = (entry.expectation.build)(&graph, &nodes).expect("a graph");
    let mut names = vec!["output".to_owned()];
    graph.output("output", output).expect("an output");
    if !entry.expectation.gradients.is_empty() {
        let floats: Vec<_> =
            nodes.iter().copied().filter(|id| graph.ty(*id).dtype.is_float()).collect();
        let ones = graph.constant_like(output, 1.0).expect("a constant");
        let gradients = graph.pull_back(output, ones, &floats).expect("gradients");
        for (i, gradient) in gradients.into_iter().enumerate() {
            names.push(format!("gradient {i}"));
            graph.output(&names[i + 1], gradient).expect("an output");
        }
    }
    let kernels = Choice::parse(choice).expect("a choice");
    let options = Options { kernels, poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options).expect("a program");
    let ports: Vec<(String, TensorType)> =
        program.inputs().map(|(name, ty)| (name.to_owned(), ty.clone())).collect();
    for ((name, ty), tensor) in ports.iter().zip(&entry.expectation.inputs) {
        program.set_input(name, &Tensor::new(ty, &tensor.to_f64())).expect("an input");
    }
    program.run(&mut State::default()).expect("a run");
    names.iter().map(|name| program.output(name).expect("an output").to_f64()).collect()
}

/// Equal to a few roundings of f32; special values must be the same ones.
fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let near = (found - expected).abs() <= 1e-6 * (1.0 + expected.abs());
        assert!(same || near, "{what}: [{i}] is {found}, not {expected}");
    }
}
