//! Passes and groups change how a program computes, never what.

use crate::adam::adam;
use crate::poisoned;
use speck_engine::kernels::Choice;
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Options, Program, State, Tensor, TensorType, passes,
};

/// A training step of a small MLP with dropout and Adam.
fn training() -> Result<Graph, GraphError> {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[16, 19])?;
    let t = graph.input("t", DType::F32, &[16, 7])?;
    let seed = graph.input("seed", DType::I32, &[2])?;
    let step = graph.state_of("step", &TensorType::new(DType::I32, &[]), Initial::Constant(0.0))?;
    let next = graph.increment(step)?;
    graph.update(step, next)?;
    let parameter =
        |name: &str, shape: &[usize]| graph.state(name, shape, Initial::Normal { deviation: 0.3 });
    let parameters = [
        parameter("0.weight", &[61, 19])?,
        parameter("0.bias", &[61])?,
        parameter("1.weight", &[7, 61])?,
        parameter("1.bias", &[7])?,
    ];
    let [w0, b0, w1, b1] = parameters;
    let hidden = graph.linear(x, w0, Some(b0))?;
    let hidden = graph.relu(hidden)?;
    let hidden = graph.dropout(hidden, 0.25, seed, step)?;
    let y = graph.linear(hidden, w1, Some(b1))?;
    let loss = graph.axis_cross_entropy(y, t, &[4, 3])?;
    let squared = graph.mean_squared_error(y, t)?;
    let loss = graph.add(loss, squared)?;
    graph.output("loss", loss)?;
    let gradients = graph.gradient(loss, &parameters)?;
    let count = graph.cast(next)?;
    for (number, (p, gradient)) in parameters.into_iter().zip(gradients).enumerate() {
        adam(&graph, &number.to_string(), p, gradient, count, 0.01)?;
    }
    Ok(graph)
}

/// The loss of each of five steps, and the state after them, bit for bit.
fn train(graph: &Graph, options: &Options) -> (Vec<Tensor>, Vec<(String, Tensor)>) {
    let mut program = Program::compile(graph, options).expect("a program");
    let mut state = State::initialise(graph, 5);
    let wave = |n: usize, shift: f64| (0..n).map(|i| (i as f64 * 0.7 + shift).sin()).collect();
    let values: Vec<f64> = wave(16 * 19, 0.1);
    let x = Tensor::new(&TensorType::new(DType::F32, &[16, 19]), &values);
    let values: Vec<f64> = wave(16 * 7, 0.2);
    let t = values.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let t = Tensor::new(&TensorType::new(DType::F32, &[16, 7]), &t);
    program.set_input("x", &x).expect("an input");
    program.set_input("t", &t).expect("an input");
    program.set_input("seed", &Tensor::from_i32(&[2], vec![11, 0])).expect("an input");
    let mut losses = Vec::new();
    for _ in 0..5 {
        program.run(&mut state).expect("a run");
        losses.push(program.output("loss").expect("an output"));
    }
    (losses, state.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
}

/// Each pass left out alone, the groups too, all of them, and none.
fn leavings() -> Vec<Vec<&'static str>> {
    let all: Vec<_> = passes::ALL.iter().map(|pass| pass.name).chain([passes::GROUPS]).collect();
    let mut sets: Vec<Vec<_>> = all.iter().map(|name| vec![*name]).collect();
    sets.push(all);
    sets
}

#[test]
fn every_pass_leaves_a_training_step_bit_equal() {
    let graph = training().expect("a graph");
    for kernels in ["", "*:scalar"] {
        let kernels = Choice::parse(kernels).expect("a choice");
        let options = Options { kernels: kernels.clone(), ..poisoned(&[]) };
        let (losses, state) = train(&graph, &options);
        assert!(losses[4].to_f64()[0] < losses[0].to_f64()[0], "{losses:?}");
        for without in leavings() {
            let options = Options { kernels: kernels.clone(), ..poisoned(&without) };
            let (other_losses, other) = train(&graph, &options);
            assert_eq!(other_losses, losses, "loss without {without:?}, {kernels:?}");
            for ((name, found), (_, expected)) in other.iter().zip(&state) {
                assert!(found == expected, "{name} without {without:?}, {kernels:?}");
            }
        }
    }
}

#[test]
fn poison_changes_nothing() {
    let graph = training().expect("a graph");
    let clean = train(&graph, &Options::default());
    assert_eq!(train(&graph, &poisoned(&[])), clean);
}

#[test]
fn passes_do_something() {
    let graph = training().expect("a graph");
    let compiled = |without: &[&str]| Program::compile(&graph, &poisoned(without)).expect("one");
    let all = compiled(&[]);
    for pass in passes::ALL {
        let without = compiled(&[pass.name]);
        assert!(
            without.to_string().lines().count() > all.to_string().lines().count()
                || without.steps() > all.steps(),
            "{} does nothing",
            pass.name
        );
    }
    let ungrouped = compiled(&[passes::GROUPS]);
    assert!(ungrouped.steps() > all.steps());
}

/// Element-wise chains with scalars and rows stretched over them, longer than
/// a tile and than the part of one thread, at lengths with a rest.
#[test]
fn groups_are_bit_equal_to_single_steps() {
    for (rows, columns) in [(1, 1), (3, 7), (1, 1025), (40, 101), (7, 9973)] {
        let graph = Graph::new(DType::F32);
        let ty = |shape: &[usize]| TensorType::new(DType::F32, shape);
        let types =
            [ty(&[rows, columns]), ty(&[rows, columns]), ty(&[columns]), ty(&[rows, 1]), ty(&[])];
        let x: Vec<_> = types
            .iter()
            .enumerate()
            .map(|(i, ty)| graph.input(&i.to_string(), ty.dtype, &ty.shape).expect("an input"))
            .collect();
        chain(&graph, &x).expect("a graph");
        let run = |without: &[&str]| {
            let mut program = Program::compile(&graph, &poisoned(without)).expect("a program");
            for (i, ty) in types.iter().enumerate() {
                let value = |j: usize| ((j * 31 + i * 7) % 97) as f64 / 48.5 - 1.0;
                let values: Vec<_> = (0..ty.elements()).map(value).collect();
                program.set_input(&i.to_string(), &Tensor::new(ty, &values)).expect("an input");
            }
            program.run(&mut State::default()).expect("a run");
            ["y", "z", "s"].map(|name| program.output(name).expect("an output"))
        };
        assert_eq!(run(&[]), run(&[passes::GROUPS]), "{rows} × {columns}");
        let all: Vec<_> = leavings().pop().expect("all");
        assert_eq!(run(&[]), run(&all), "{rows} × {columns}");
    }
}

fn chain(graph: &Graph, x: &[NodeId]) -> Result<(), GraphError> {
    let scaled = graph.mul(x[0], x[4])?;
    let wave = graph.sin(scaled)?;
    let power = graph.exp(graph.mul(wave, x[1])?)?;
    let root = graph.sqrt(graph.offset(graph.square(x[1])?, 1.0)?)?;
    let chosen = graph.select(graph.greater(power, root)?, power, x[4])?;
    let y = graph.tanh(graph.div(chosen, root)?)?;
    graph.output("y", y)?;
    let rows = graph.add(graph.sigmoid(y)?, x[2])?;
    let z = graph.erf(graph.maximum(graph.mul(rows, x[3])?, wave)?)?;
    graph.output("z", z)?;
    // A chain of scalars beside the long ones.
    let s = graph.softplus(graph.log(graph.exp(x[4])?)?)?;
    graph.output("s", s)
}

/// What is folded is computed by the kernels that were asked for, not by
/// others that round elsewhere.
#[test]
fn folding_uses_the_chosen_kernels() {
    let values: Vec<f64> = (0..1000).map(|i| f64::from(i) / 100.0 - 5.0).collect();
    let ty = TensorType::new(DType::F32, &[10, 100]);
    type Build = fn(&Graph, NodeId) -> Result<NodeId, GraphError>;
    let ops: [(&str, Build); 6] = [
        ("exp", |g, x| g.exp(x)),
        ("tanh", |g, x| g.tanh(x)),
        ("erf", |g, x| g.erf(x)),
        ("sin", |g, x| g.sin(x)),
        ("log_softmax", |g, x| g.log_softmax(x, 1)),
        ("sum", |g, x| g.sum(x, &[1])),
    ];
    for (name, build) in ops {
        let graph = Graph::new(DType::F32);
        let x = graph.constant(Tensor::new(&ty, &values)).expect("a constant");
        graph.output("y", build(&graph, x).expect("a node")).expect("an output");
        let run = |without: &[&str]| {
            let kernels = Choice::parse("*:scalar").expect("a choice");
            let options = Options { kernels, ..poisoned(without) };
            let mut program = Program::compile(&graph, &options).expect("a program");
            program.run(&mut State::default()).expect("a run");
            (program.steps(), program.output("y").expect("an output"))
        };
        let (folded, plain) = (run(&[]), run(&["constant-folding"]));
        assert_eq!((folded.0, plain.0), (0, 1), "{name}");
        assert!(folded.1 == plain.1, "{name} is folded by another kernel");
    }
}
