//! A training step of a small convolutional network, from the specks to the
//! new parameters: what the tests of whole programs run.

use crate::adam::adam;
use speck_engine::ops::{AveragePool2d, Window};
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, RunError, RunningStatistics,
    State, TensorType,
};

const SAMPLES: usize = 12;
const SCREEN: usize = 40;
/// Large enough for every kind of op to hand parts to other threads: the
/// first layer's maps have 153 600 elements.
const CHANNELS: [usize; 2] = [8, 16];

/// Declares parameters, all with Adam, until the loss is known.
struct Parameters<'a> {
    graph: &'a Graph,
    all: Vec<(String, NodeId)>,
}

impl Parameters<'_> {
    fn declare(
        &mut self,
        name: &str,
        shape: &[usize],
        start: Initial,
    ) -> Result<NodeId, GraphError> {
        let node = self.graph.state(name, shape, start)?;
        self.all.push((name.to_owned(), node));
        Ok(node)
    }

    /// Weight and bias of a layer with `inputs` per output.
    fn layer(&mut self, name: &str, shape: &[usize]) -> Result<[NodeId; 2], GraphError> {
        let inputs: usize = shape[1..].iter().product();
        let start = Initial::Uniform { bound: 1.0 / (inputs as f64).sqrt() };
        let weight = self.declare(&format!("{name}.weight"), shape, start.clone())?;
        Ok([weight, self.declare(&format!("{name}.bias"), &shape[..1], start)?])
    }
}

/// The graph of a step; its inputs are `positions` and `seed`, its output `loss`.
pub fn graph() -> Result<Graph, GraphError> {
    let graph = Graph::new(DType::F32);
    let positions = graph.input("positions", DType::I32, &[SAMPLES, 2, 2])?;
    let seed = graph.input("seed", DType::I32, &[2])?;
    let counter = TensorType::new(DType::I32, &[]);
    let step = graph.state_of("step", &counter, Initial::Constant(0.0))?;
    let next = graph.increment(step)?;
    graph.update(step, next)?;

    let targets = graph.speck_targets(positions, [SCREEN, SCREEN], 3)?;
    let colours = graph.random_uniform(&[SAMPLES, 2, 3], seed, step)?;
    let black = graph.expand(graph.scalar(0.0)?, &[1, 3])?;
    let image = graph.render(positions, colours, black, [SCREEN, SCREEN], 3)?;

    let mut parameters = Parameters { graph: &graph, all: Vec::new() };
    let outputs = network(&graph, &mut parameters, image, seed, step)?;
    let loss = graph.axis_cross_entropy(outputs, targets, &[SCREEN, SCREEN])?;
    graph.output("loss", loss)?;

    let nodes: Vec<_> = parameters.all.iter().map(|(_, node)| *node).collect();
    let gradients = graph.gradient(loss, &nodes)?;
    let count = graph.cast(next)?;
    for ((name, node), gradient) in parameters.all.iter().zip(gradients) {
        adam(&graph, name, *node, gradient, count, 0.01)?;
    }
    Ok(graph)
}

fn network(
    graph: &Graph,
    parameters: &mut Parameters<'_>,
    image: NodeId,
    seed: NodeId,
    step: NodeId,
) -> Result<NodeId, GraphError> {
    let [first, second] = CHANNELS;
    let window = Window { padding: [1, 1], ..Window::default() };
    let [weight, bias] = parameters.layer("conv.0", &[first, 3, 3, 3])?;
    let x = graph.conv2d(image, weight, window)?;
    let x = graph.add(x, graph.on_channels(bias, x)?)?;
    let scale = parameters.declare("norm.weight", &[first], Initial::Constant(1.0))?;
    let shift = parameters.declare("norm.bias", &[first], Initial::Constant(0.0))?;
    let running = RunningStatistics {
        mean: graph.state("norm.running_mean", &[first], Initial::Constant(0.0))?,
        variance: graph.state("norm.running_variance", &[first], Initial::Constant(1.0))?,
        momentum: 0.1,
    };
    let x = graph.relu(graph.batch_norm(x, scale, shift, running, 1e-5)?)?;
    let x = graph.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;

    let [weight, bias] = parameters.layer("conv.1", &[second, first, 3, 3])?;
    let x = graph.conv2d(x, weight, window)?;
    let x = graph.tanh(graph.add(x, graph.on_channels(bias, x)?)?)?;
    let pool = AveragePool2d { kernel: [2, 2], stride: [2, 2], ..AveragePool2d::default() };
    let x = graph.flatten_from(graph.average_pool2d(x, pool)?, 1)?;
    let x = graph.dropout(x, 0.1, seed, step)?;
    let features = graph.shape(x)[1];
    let [weight, bias] = parameters.layer("linear", &[2 * SCREEN, features])?;
    graph.linear(x, weight, Some(bias))
}

/// A compiled step with its state.
pub struct Training {
    program: Program,
    /// Parameters, moments, statistics and the counter.
    pub state: State,
}

impl Training {
    /// Compiles the step.
    pub fn new(options: &Options) -> Self {
        let graph = graph().expect("a graph");
        let program = Program::compile(&graph, options).expect("a program");
        Training { program, state: State::initialise(&graph, 1) }
    }

    /// One step on the batch of that number; returns the loss.
    pub fn step(&mut self, number: usize) -> Result<f32, RunError> {
        self.program.input_mut::<i32>("seed")?.copy_from_slice(&[7, 0]);
        let positions = self.program.input_mut::<i32>("positions")?;
        for (i, position) in positions.iter_mut().enumerate() {
            // Some specks lie over the edge of the screen.
            *position = ((i * 29 + number * 17) % (SCREEN + 1)) as i32 - 1;
        }
        self.program.run(&mut self.state)?;
        Ok(self.program.values::<f32>("loss")?[0])
    }
}
