//! A training step so small that what it costs is what calling kernels costs.

use super::adam::adam;
use speck_engine::{DType, Graph, GraphError, Initial, Program, State, TensorType};

/// 64 → 32 → 32 → 128 with rectifiers, squared error and Adam, batch 8.
pub fn graph() -> Result<Graph, GraphError> {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[8, 64])?;
    let target = graph.input("target", DType::F32, &[8, 128])?;
    let counter = TensorType::new(DType::I32, &[]);
    let step = graph.state_of("step", &counter, Initial::Constant(0.0))?;
    let next = graph.increment(step)?;
    graph.update(step, next)?;
    let mut parameters = Vec::new();
    let mut y = x;
    for (layer, [inputs, outputs]) in [[64, 32], [32, 32], [32, 128]].into_iter().enumerate() {
        let start = Initial::Normal { deviation: 0.1 };
        let weight = graph.state(&format!("{layer}.weight"), &[outputs, inputs], start)?;
        let bias = graph.state(&format!("{layer}.bias"), &[outputs], Initial::Constant(0.0))?;
        y = if layer > 0 { graph.relu(y)? } else { y };
        y = graph.linear(y, weight, Some(bias))?;
        parameters.extend([weight, bias]);
    }
    let loss = graph.mean_squared_error(y, target)?;
    graph.output("loss", loss)?;
    let gradients = graph.gradient(loss, &parameters)?;
    let count = graph.cast(next)?;
    for (number, (parameter, gradient)) in parameters.into_iter().zip(gradients).enumerate() {
        adam(&graph, &number.to_string(), parameter, gradient, count, 0.01)?;
    }
    Ok(graph)
}

/// The program with inputs, and its state.
pub fn training() -> (Program, State) {
    let graph = graph().expect("a graph");
    let mut program = Program::compile(&graph, &Default::default()).expect("a program");
    for name in ["x", "target"] {
        let values = program.input_mut::<f32>(name).expect("an input");
        values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32 * 0.7).sin());
    }
    (program, State::initialise(&graph, 3))
}
