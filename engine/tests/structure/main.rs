//! The structure rewrite against the dense program: the same function, value
//! and gradients, to rounding.

mod alike;
mod maps;
mod readouts;
mod rules;
mod specks;

use speck_engine::TensorType;
use speck_engine::kernels::random::{self, Stream};
use speck_engine::structure::{self, Held, Note};
use speck_engine::{DType, Graph, GraphError, Initial, NodeId, Options, Program, State, Tensor};

/// What stands on the screens.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Samples in the batch.
    pub samples: usize,
    /// Specks a sample, some of them empty.
    pub slots: usize,
    /// 1, or one a sample.
    pub backgrounds: usize,
    /// Edge of a speck.
    pub size: usize,
    /// Height and width.
    pub screen: [usize; 2],
    /// Whether specks fade toward their edge.
    pub faded: bool,
}

/// Builds the output from a graph, the image, and a source of parameters.
pub type Build = fn(&Graph, NodeId, &dyn Fn(&[usize]) -> NodeId) -> Result<NodeId, GraphError>;

fn random_values(elements: usize, stream: usize, low: f64, high: f64) -> Vec<f64> {
    let stream = Stream { seed: 5, stream: stream as u64, step: 0 };
    (0..elements)
        .map(|i| low + (high - low) * f64::from(random::uniform(&stream, i as u64)))
        .collect()
}

/// A weighted sum of the output, and what it is differentiated in: the image's
/// colours and all parameters.
fn forward(
    scene: Scene,
    float: DType,
    build: Build,
) -> Result<(Graph, NodeId, Vec<NodeId>), GraphError> {
    let graph = Graph::new(float);
    let Scene { samples, slots, backgrounds, size, screen, faded } = scene;
    let positions = graph.input("positions", DType::I32, &[samples, slots, 2])?;
    let colours = graph.input("colours", float, &[samples, slots, 3])?;
    let background = graph.input("background", float, &[backgrounds, 3])?;
    let image = if faded {
        graph.render_faded(positions, colours, background, screen, size, 1.5)?
    } else {
        graph.render(positions, colours, background, screen, size)?
    };
    let parameters = std::cell::RefCell::new(vec![colours, background]);
    let parameter = |shape: &[usize]| {
        let number = parameters.borrow().len();
        let name = format!("parameter {number}");
        let node = graph.state(&name, shape, Initial::Uniform { bound: 0.5 }).expect("a slot");
        parameters.borrow_mut().push(node);
        node
    };
    let output = build(&graph, image, &parameter)?;
    let ty = graph.ty(output);
    let weights = Tensor::new(&ty, &random_values(ty.elements(), 99, -1.0, 1.0));
    let weighted = graph.mul(output, graph.constant(weights)?)?;
    let loss = graph.sum_all(weighted)?;
    graph.output("output", output)?;
    let parameters = parameters.borrow().clone();
    Ok((graph, loss, parameters))
}

/// The graph of the sum with its gradients as outputs.
fn graph(scene: Scene, float: DType, build: Build, structured: bool) -> Result<Graph, GraphError> {
    let (graph, mut loss, parameters) = forward(scene, float, build)?;
    if structured {
        loss = structure::rewrite(&graph, &[loss])?[0];
    }
    for (i, gradient) in graph.gradient(loss, &parameters)?.into_iter().enumerate() {
        graph.output(&format!("gradient {i}"), gradient)?;
    }
    graph.output("parameters", graph.scalar(parameters.len() as f64)?)?;
    Ok(graph)
}

/// The output, the gradients, the new state.
fn run(scene: Scene, float: DType, build: Build, structured: bool) -> (Vec<Vec<f64>>, Program) {
    let graph = graph(scene, float, build, structured).expect("a graph");
    let options = Options { poison: true, ..Options::default() };
    let mut program = Program::compile(&graph, &options).expect("a program");
    let Scene { samples, slots, backgrounds, screen, .. } = scene;
    let edge = screen[0].max(screen[1]) as f64;
    // Over the border too; every fifth slot is empty.
    let places = random_values(samples * slots * 2, 1, -1.0, edge + 1.0);
    let places: Vec<i32> = places.iter().map(|place| place.floor() as i32).collect();
    let places: Vec<i32> = places
        .chunks_exact(2)
        .enumerate()
        .flat_map(|(i, place)| if i % 5 == 4 { [-1, -1] } else { [place[0], place[1]] })
        .collect();
    program.set_input("positions", &Tensor::from_i32(&[samples, slots, 2], places)).expect("set");
    let mut set = |name: &str, shape: &[usize], stream: usize| {
        let ty = TensorType::new(float, shape);
        let values = random_values(ty.elements(), stream, 0.0, 1.0);
        program.set_input(name, &Tensor::new(&ty, &values)).expect("set");
    };
    set("colours", &[samples, slots, 3], 2);
    set("background", &[backgrounds, 3], 3);
    let mut state = State::initialise(&graph, 7);
    program.run(&mut state).expect("a run");
    let count = program.output("parameters").expect("an output").to_f64()[0] as usize;
    let mut values = vec![program.output("output").expect("an output").to_f64()];
    for i in 0..count {
        values.push(program.output(&format!("gradient {i}")).expect("an output").to_f64());
    }
    for slot in graph.states() {
        values.push(state.get(&slot.name).expect("a slot").to_f64());
    }
    (values, program)
}

/// Compares in f64 to 1e-12 and in f32 to 1e-5, relative to the largest magnitude
/// where that is above 1: gradients through a norm are small differences of large
/// sums.
#[track_caller]
pub fn same(scene: Scene, build: Build) {
    for (float, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let (dense, _) = run(scene, float, build, false);
        let (structured, program) = run(scene, float, build, true);
        assert_eq!(dense.len(), structured.len());
        for (i, (dense, structured)) in dense.iter().zip(&structured).enumerate() {
            assert_eq!(dense.len(), structured.len());
            let largest = dense.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
            for (at, (a, b)) in dense.iter().zip(structured).enumerate() {
                assert!(
                    (a - b).abs() <= tolerance * largest,
                    "{scene:?} {float}: value {i} at {at}: {b} instead of {a}\n{program}"
                );
            }
        }
    }
}

/// What the rewrite says of each op.
pub fn notes(scene: Scene, build: Build) -> Vec<Note> {
    // Without the sum of the output, whose weights differ everywhere.
    let (graph, ..) = forward(scene, DType::F64, build).expect("a graph");
    structure::rewrite_noted(&graph, &[]).expect("a rewrite").1
}

/// [`same`] on scenes of every kind; nothing may be written out.
#[track_caller]
pub fn everywhere(build: Build) {
    for scene in scenes() {
        same(scene, build);
        for note in notes(scene, build) {
            assert!(note.held != Held::Densified, "{scene:?}: {note}");
        }
    }
}

/// [`same`] on scenes of every kind; these ops are written out, and no others.
#[track_caller]
pub fn written_out(ops: &[&str], build: Build) {
    for scene in scenes() {
        same(scene, build);
        let notes = notes(scene, build);
        let found: Vec<_> =
            notes.iter().filter(|n| n.held == Held::Densified).map(|n| n.op).collect();
        assert_eq!(found, ops, "{scene:?}");
    }
}

/// Scenes of every kind.
pub fn scenes() -> Vec<Scene> {
    let plain =
        Scene { samples: 3, slots: 1, backgrounds: 1, size: 1, screen: [20, 18], faded: false };
    vec![
        plain,
        Scene { slots: 3, ..plain },
        Scene { backgrounds: 3, slots: 2, ..plain },
        Scene { size: 3, slots: 2, ..plain },
    ]
}

/// Floating-point operations of the structured program.
pub fn flops(scene: Scene, build: Build) -> f64 {
    let graph = graph(scene, DType::F32, build, true).expect("a graph");
    let program = Program::compile(&graph, &Options::default()).expect("a program");
    program.cost().flops as f64
}

/// Floating-point operations of the structured program over those of the dense.
pub fn work(scene: Scene, build: Build) -> f64 {
    let flops = |structured| run(scene, DType::F32, build, structured).1.cost().flops as f64;
    flops(true) / flops(false)
}
