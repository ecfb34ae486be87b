//! Work limited by memory, on arrays that no cache holds: element-wise ops, norms
//! and their gradients, updates of optimizers.
//!
//! Each is a program as a training step compiles it, all passes included. What
//! counts is how near it comes to a copy: the bytes that have to be read and
//! written once, over the time, against the bytes a second of a copy that is
//! timed in turn with it.

use super::ops::{BenchError, Row};
use super::{Peaks, median, time};
use speck_engine::kernels::{Choice, peak::Copy};
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, RunningStatistics, State,
};
use speck_learners::LearnerError;
use speck_learners::gradient::append_updates;
use speck_models::settings::{Value, resolve};

/// Values of an array: 50 million, as [rows, columns].
const ROWS: usize = 48_829;
const COLUMNS: usize = 1024;
/// And as maps [samples, channels, height, width].
const MAPS: [usize; 4] = [95, 128, 64, 64];

/// A program on such arrays.
pub struct Large {
    /// The op, composition or optimizer.
    pub name: &'static str,
    /// What of it.
    pub case: &'static str,
    /// How many arrays have to be read, and how many written.
    pub moved: usize,
    build: fn(&Graph) -> Result<(), GraphError>,
}

const fn large(
    name: &'static str,
    case: &'static str,
    moved: usize,
    build: fn(&Graph) -> Result<(), GraphError>,
) -> Large {
    Large { name, case, moved, build }
}

/// Everything that is timed so. A batch norm has to read its input twice: what it
/// gives depends on all of it; its gradient reads input and cotangent twice, and the
/// input once more for the statistics, which a training step keeps.
pub const ALL: &[Large] = &[
    large("relu", "forward", 2, |g| unary(g, Graph::relu)),
    large("exp", "forward", 2, |g| unary(g, Graph::exp)),
    large("tanh", "forward", 2, |g| unary(g, Graph::tanh)),
    large("gelu", "forward", 2, |g| unary(g, Graph::gelu)),
    large("gelu", "gradient", 3, |g| slopes(g, |g, x, _| g.gelu(x))),
    large("add", "forward", 3, |g| binary(g, Graph::add)),
    large("mul", "forward", 3, |g| binary(g, Graph::mul)),
    large("mul", "by a number", 2, |g| unary(g, |g, x| g.scale(x, 0.5))),
    large("add", "a row to each row", 2, |g| {
        let (x, row) = (rows(g, "x")?, g.input("row", g.float(), &[COLUMNS])?);
        g.output("y", g.add(x, row)?)
    }),
    large("sum", "rows", 1, |g| unary(g, |g, x| g.sum(x, &[1]))),
    large("sum", "columns", 1, |g| unary(g, |g, x| g.sum(x, &[0]))),
    large("softmax", "rows", 2, |g| unary(g, |g, x| g.softmax(x, 1))),
    large("layer_norm", "forward", 2, |g| {
        let y = layer_norm(g, rows(g, "x")?, &weights(g, COLUMNS)?)?;
        g.output("y", y)
    }),
    large("layer_norm", "gradient", 3, |g| slopes(g, layer_norm)),
    large("rms_norm", "forward", 2, |g| {
        let y = rms_norm(g, rows(g, "x")?, &weights(g, COLUMNS)?)?;
        g.output("y", y)
    }),
    large("rms_norm", "gradient", 3, |g| slopes(g, rms_norm)),
    large("group_norm", "forward", 2, |g| {
        let y = group_norm(g, maps(g, "x")?, &weights(g, MAPS[1])?)?;
        g.output("y", y)
    }),
    large("group_norm", "gradient", 3, |g| map_slopes(g, group_norm)),
    large("batch_norm", "forward", 3, |g| {
        let y = batch_norm(g, maps(g, "x")?, &weights(g, MAPS[1])?)?;
        g.output("y", y)
    }),
    large("batch_norm", "gradient", 6, |g| map_slopes(g, batch_norm)),
    large("sgd", "update", 3, |g| update(g, "sgd")),
    large("momentum", "update", 5, |g| update(g, "momentum")),
    large("adam", "update", 7, |g| update(g, "adam")),
    large("adamw", "update", 7, |g| update(g, "adamw")),
    large("rmsprop", "update", 5, |g| update(g, "rmsprop")),
    large("lion", "update", 5, |g| update(g, "lion")),
];

type Norm = fn(&Graph, NodeId, &[NodeId]) -> Result<NodeId, GraphError>;

fn rows(graph: &Graph, name: &str) -> Result<NodeId, GraphError> {
    graph.input(name, graph.float(), &[ROWS, COLUMNS])
}

fn maps(graph: &Graph, name: &str) -> Result<NodeId, GraphError> {
    graph.input(name, graph.float(), &MAPS)
}

fn weights(graph: &Graph, count: usize) -> Result<[NodeId; 2], GraphError> {
    let input = |name: &str| graph.input(name, graph.float(), &[count]);
    Ok([input("weight")?, input("bias")?])
}

fn unary(
    graph: &Graph,
    op: fn(&Graph, NodeId) -> Result<NodeId, GraphError>,
) -> Result<(), GraphError> {
    graph.output("y", op(graph, rows(graph, "x")?)?)
}

fn binary(
    graph: &Graph,
    op: fn(&Graph, NodeId, NodeId) -> Result<NodeId, GraphError>,
) -> Result<(), GraphError> {
    graph.output("y", op(graph, rows(graph, "a")?, rows(graph, "b")?)?)
}

fn layer_norm(graph: &Graph, x: NodeId, w: &[NodeId]) -> Result<NodeId, GraphError> {
    graph.layer_norm(x, w[0], w[1], 1e-5)
}

fn rms_norm(graph: &Graph, x: NodeId, w: &[NodeId]) -> Result<NodeId, GraphError> {
    graph.rms_norm(x, &[COLUMNS], Some(w[0]), None)
}

fn group_norm(graph: &Graph, x: NodeId, w: &[NodeId]) -> Result<NodeId, GraphError> {
    graph.group_norm(x, 8, Some(w[0]), Some(w[1]), 1e-5)
}

fn batch_norm(graph: &Graph, x: NodeId, w: &[NodeId]) -> Result<NodeId, GraphError> {
    let channels = [MAPS[1]];
    let mean = graph.state("mean", &channels, Initial::Constant(0.0))?;
    let variance = graph.state("variance", &channels, Initial::Constant(1.0))?;
    let running = RunningStatistics { mean, variance, momentum: 0.1 };
    graph.batch_norm(x, w[0], w[1], running, 1e-5)
}

/// The gradient of a function of rows for them and their weights; the cotangent
/// is given.
fn slopes(graph: &Graph, function: Norm) -> Result<(), GraphError> {
    pulled(graph, [rows(graph, "x")?, rows(graph, "c")?], &weights(graph, COLUMNS)?, function)
}

fn map_slopes(graph: &Graph, function: Norm) -> Result<(), GraphError> {
    pulled(graph, [maps(graph, "x")?, maps(graph, "c")?], &weights(graph, MAPS[1])?, function)
}

fn pulled(
    graph: &Graph,
    [x, c]: [NodeId; 2],
    weights: &[NodeId],
    function: Norm,
) -> Result<(), GraphError> {
    let y = function(graph, x, weights)?;
    let all: Vec<_> = [&[x], weights].concat();
    for (i, gradient) in graph.pull_back(y, c, &all)?.into_iter().enumerate() {
        graph.output(&i.to_string(), gradient)?;
    }
    Ok(())
}

/// One step of an optimizer on a parameter whose gradient is given.
fn update(graph: &Graph, name: &str) -> Result<(), GraphError> {
    let parameter = graph.state("p", &[ROWS, COLUMNS], Initial::Constant(0.5))?;
    let gradient = rows(graph, "g")?;
    let settings = speck_learners::find("gradient").and_then(|entry| {
        let given = [("optimizer".to_owned(), Value::Text(name.to_owned()))];
        resolve(entry.dimensions, &given).ok()
    });
    let Some(settings) = settings else {
        unreachable!("the optimizers of this list are in the registry");
    };
    let parameters = [("p".to_owned(), parameter)];
    match append_updates(&settings, graph, &parameters, &[gradient]) {
        Err(LearnerError::Graph(error)) => Err(error),
        Err(error) => unreachable!("settings that fit any parameter: {error}"),
        Ok(()) => Ok(()),
    }
}

/// Times one of them, in turn with a copy.
///
/// # Errors
/// Memory that the system refuses.
pub fn run(large: &Large, rounds: usize, peaks: &Peaks) -> Result<Row, BenchError> {
    let graph = Graph::new(DType::F32);
    (large.build)(&graph)?;
    let kernels = Choice::default();
    let mut program = Program::compile(&graph, &Options { kernels, ..Options::default() })?;
    let mut state = State::initialise(&graph, 0);
    let inputs: Vec<_> = program.inputs().map(|(name, _)| name.to_owned()).collect();
    for name in inputs {
        let values = program.input_mut::<f32>(&name)?;
        // Something between -1 and 1; one, where it is a number.
        let single = values.len() == 1;
        for (i, value) in values.iter_mut().enumerate() {
            *value = if single { 1.0 } else { (i % 1021) as f32 / 510.5 - 1.0 };
        }
    }
    let mut copy = Copy::new();
    // Of each round, for memory may become faster or slower from one to the next.
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    program.run(&mut state)?;
    for _ in 0..rounds.max(1) {
        // The fastest of as many as the copy's: where memory swings from one array to the
        // next, the fastest of three would beat one of anything, a copy too.
        let mut seconds = f64::INFINITY;
        for _ in 0..Copy::WAYS {
            seconds = seconds.min(time(|| program.run(&mut state))?);
        }
        times.push(seconds);
        ratios.push(seconds / copy.seconds());
    }
    let elements = if ["group_norm", "batch_norm"].contains(&large.name) {
        MAPS.iter().product()
    } else {
        ROWS * COLUMNS
    };
    let bytes = (large.moved * elements * size_of::<f32>()) as u64;
    let seconds = median(&mut times);
    let bandwidth = copy.bytes() as f64 * median(&mut ratios) / seconds;
    let flops = program.cost().flops;
    let bound = Peaks { bandwidth, ..peaks.clone() }.bound(flops, bytes);
    Ok(Row {
        op: large.name,
        case: format!("{}, 50 M", large.case),
        kernel: "program",
        variant: "all passes".to_owned(),
        seconds,
        flops,
        bytes,
        share: bound / seconds,
        ratio: 1.0,
        error: None,
        ulps: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_can_be_built_and_move_what_they_say() {
        for large in ALL {
            let graph = Graph::new(DType::F32);
            (large.build)(&graph).expect(large.name);
            assert!(large.moved > 0);
        }
    }
}
