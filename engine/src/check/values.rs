//! Outputs and gradients given by hand.
//!
//! Finite differences say nothing at a tie or a kink. There the rule of an op
//! is stated in its definition and held to by value.

use super::{CheckError, compare_all, declare};
use crate::graph::{Graph, GraphError, NodeId};
use crate::program::{Options, Program};
use crate::state::State;
use crate::tensor::Tensor;

/// An op at a place where only its rule says what comes out.
pub struct Expectation {
    /// What is shown.
    pub name: &'static str,
    /// The inputs.
    pub inputs: Vec<Tensor>,
    /// Builds the op's use.
    pub build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>,
    /// The output.
    pub output: Vec<f64>,
    /// For each floating-point input, its gradient where the cotangent is 1
    /// everywhere; empty if gradients are not looked at.
    pub gradients: Vec<Vec<f64>>,
}

impl Expectation {
    /// An expectation of the output alone.
    pub fn new(
        name: &'static str,
        inputs: Vec<Tensor>,
        build: fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>,
        output: &[f64],
    ) -> Self {
        Expectation { name, inputs, build, output: output.to_vec(), gradients: Vec::new() }
    }

    /// With the gradient of each floating-point input for a cotangent of 1.
    pub fn gradients(mut self, gradients: &[&[f64]]) -> Self {
        self.gradients = gradients.iter().map(|values| values.to_vec()).collect();
        self
    }
}

/// Checks an expectation exactly (to 1e-12), in f64.
///
/// # Errors
/// The first value that differs, or a graph that cannot be built.
pub fn check(expectation: &Expectation) -> Result<(), CheckError> {
    let graph = Graph::new(crate::DType::F64);
    let nodes = declare(&graph, &expectation.inputs)?;
    let output = (expectation.build)(&graph, &nodes)?;
    graph.output("output", output)?;
    if !expectation.gradients.is_empty() {
        let floats: Vec<_> =
            nodes.iter().copied().filter(|id| graph.ty(*id).dtype.is_float()).collect();
        let ones = graph.constant_like(output, 1.0)?;
        for (i, gradient) in graph.pull_back(output, ones, &floats)?.iter().enumerate() {
            graph.output(&format!("gradient {i}"), *gradient)?;
        }
    }
    let options = Options { poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options)?;
    for (i, tensor) in expectation.inputs.iter().enumerate() {
        program.set_input(&i.to_string(), tensor)?;
    }
    program.run(&mut State::default())?;
    let name = expectation.name;
    compare_all(
        &format!("{name}: output"),
        &program.output("output")?.to_f64(),
        &expectation.output,
        1e-12,
    )?;
    for (i, expected) in expectation.gradients.iter().enumerate() {
        let found = program.output(&format!("gradient {i}"))?.to_f64();
        compare_all(&format!("{name}: gradient {i}"), &found, expected, 1e-12)?;
    }
    Ok(())
}
