//! What is refused, and whether the message leads to the mistake.

use crate::run;
use speck_engine::kernels::Choice;
use speck_engine::ops::{AveragePool2d, Window};
use speck_engine::{
    CompileError, DType, Graph, Initial, NodeId, Options, Program, RunError, RunningStatistics,
    State, StateError, Tensor, TensorType,
};

#[test]
fn a_shape_error_names_op_shapes_layer_and_line() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[8, 3]).expect("an input");
    let w = graph.input("w", DType::F32, &[4, 5]).expect("an input");
    let here = line!() + 2;
    let error = graph
        .scoped("encoder", |graph| graph.scoped("linear.0", |graph| graph.matmul(x, w)))
        .expect_err("3 is not 4");
    assert_eq!(error.op, "matmul");
    assert_eq!(error.inputs, [graph.ty(x), graph.ty(w)]);
    assert_eq!(error.path, "encoder/linear.0");
    assert_eq!((error.location.file(), error.location.line()), (file!(), here));
    let message = error.to_string();
    let place = format!("{}:{here}", file!());
    for part in ["matmul", "3 and 4", "f32[8,3]", "f32[4,5]", "`encoder/linear.0`", &place] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

/// Layers are compositions: the line is that of the caller, not one of the
/// engine's own.
#[test]
fn compositions_name_their_callers_line() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[8, 3]).expect("an input");
    let v = graph.input("v", DType::F32, &[5]).expect("an input");
    let i = graph.input("i", DType::I32, &[8, 3]).expect("an input");
    let t = graph.input("t", DType::I32, &[]).expect("an input");
    let start = line!();
    let errors = [
        graph.linear(x, v, None).map(drop),
        graph.layer_norm(x, v, v, 1e-5).map(drop),
        graph.batch_norm_evaluation(x, v, v, statistics(v), 1e-5).map(drop),
        graph.mean_all(i).map(drop),
        graph.binary_cross_entropy(x, v).map(drop),
        graph.mean_squared_error(x, v).map(drop),
        graph.axis_cross_entropy(x, x, &[2, 2]).map(drop),
        graph.dropout(x, 1.0, t, t).map(drop),
        graph.dropout(x, 0.5, t, t).map(drop),
        graph.max_pool2d(x, [2, 2], [2, 2], [0, 0]).map(drop),
        graph.flatten_from(x, 3).map(drop),
        graph.softmax(x, 2).map(drop),
        graph.gradient(x, &[x]).map(drop),
        graph.state("s", &[2], Initial::Constant(0.0)).and_then(|s| graph.update(s, x)),
        graph.update(x, x),
        graph.concat(&[x, v], 0).map(drop),
        graph.concat(&[[x].as_slice(), &[v; 40]].concat(), 0).map(drop),
    ];
    for (offset, error) in errors.iter().enumerate() {
        let error = error.as_ref().expect_err("a refusal");
        assert_eq!(error.location.file(), file!(), "{error}");
        assert_eq!(error.location.line(), start + 2 + offset as u32, "{error}");
    }
}

/// Every node that a composition makes leads back to the caller's line, in a
/// print and in the error of a pass or of a gradient.
#[test]
fn nodes_of_compositions_carry_their_callers_line() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[8, 3]).expect("an input");
    let v = graph.state("v", &[3], Initial::Constant(1.0)).expect("a slot");
    let w = graph.state("w", &[3], Initial::Constant(1.0)).expect("a slot");
    let before = graph.len();
    graph.layer_norm(x, v, v, 1e-5).expect("a norm");
    let running = RunningStatistics { variance: w, ..statistics(v) };
    graph.batch_norm(x, v, v, running, 1e-5).expect("a norm");
    let printed = graph.to_string();
    for line in printed.lines().skip(before).filter(|line| line.starts_with('%')) {
        assert!(line.contains(file!()), "{line}");
    }
}

fn statistics(node: NodeId) -> RunningStatistics {
    RunningStatistics { mean: node, variance: node, momentum: 0.1 }
}

#[test]
fn names_are_taken_once() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let error = graph.input("x", DType::I32, &[]).expect_err("taken");
    assert!(error.to_string().contains("there is an input `x` already"), "{error}");
    graph.output("y", x).expect("an output");
    let error = graph.output("y", x).expect_err("taken");
    assert!(error.to_string().contains("there is an output `y`"), "{error}");
    graph.state("p", &[2], Initial::Constant(0.0)).expect("a slot");
    let error = graph.state("p", &[3], Initial::Constant(0.0)).expect_err("taken");
    assert!(error.to_string().contains("there is a slot `p` already"), "{error}");
    // An input, an output and a slot are different things.
    graph.state("x", &[2], Initial::Constant(0.0)).expect("a slot called as an input");
}

#[test]
fn element_types_do_not_mix() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let i = graph.input("i", DType::I32, &[2]).expect("an input");
    let d = graph.input("d", DType::F64, &[2]).expect("an input");
    for refused in [
        graph.add(x, i),
        graph.add(x, d),
        graph.relu(i),
        graph.sum(i, &[0]),
        graph.cast(x),
        graph.increment(x),
        graph.gather(x, 0, x),
    ] {
        let error = refused.expect_err("a refusal");
        for ty in &error.inputs {
            assert!(error.to_string().contains(&ty.to_string()), "{error}");
        }
    }
}

/// The adjoint of a broadcast that is none: a reshape of the right size must
/// not pass for it.
#[test]
fn sum_to_refuses_what_does_not_broadcast() {
    let graph = Graph::new(DType::F32);
    let sizes: [(&[usize], &[usize]); 5] =
        [(&[2, 3], &[3, 2]), (&[4], &[2, 2]), (&[2, 3], &[2]), (&[3], &[1, 3]), (&[2, 2], &[4])];
    for (number, (from, to)) in sizes.into_iter().enumerate() {
        let x = graph.input(&number.to_string(), DType::F32, from).expect("an input");
        assert!(graph.sum_to(x, to).is_err(), "{from:?} was summed to {to:?}");
    }
}

#[test]
fn axes_that_do_not_exist_are_refused() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, 3]).expect("an input");
    for refused in [
        graph.sum(x, &[2]),
        graph.sum(x, &[0, 0]),
        graph.mean(x, &[5]),
        graph.max(x, &[2]),
        graph.argmax(x, 2),
        graph.log_softmax(x, 2),
        graph.permute(x, &[0]),
        graph.permute(x, &[1, 1]),
        graph.narrow(x, 2, 0, 1, 1),
        graph.narrow(x, 1, 1, 1, 3),
        graph.narrow(x, 1, 0, 0, 2),
        graph.narrow(x, 1, usize::MAX, 1, 2),
        graph.narrow(x, 1, 0, usize::MAX, 3),
        graph.embed(x, 1, 0, 1, 2),
        graph.embed(x, 1, usize::MAX, 1, 9),
        graph.concat(&[x, x], 2),
        graph.concat(&[], 0),
        graph.reshape(x, &[5]),
        graph.expand(x, &[2, 4]),
        graph.expand(x, &[3]),
    ] {
        assert!(refused.is_err());
    }
}

#[test]
fn an_input_of_another_type_is_refused() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    graph.output("y", graph.neg(x).expect("a node")).expect("an output");
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    for wrong in [
        Tensor::from_f32(&[3], vec![0.0; 3]),
        Tensor::from_f32(&[1, 2], vec![0.0; 2]),
        Tensor::from_i32(&[2], vec![0; 2]),
        Tensor::from_f64(&[2], vec![0.0; 2]),
    ] {
        let error = program.set_input("x", &wrong).expect_err("another type");
        assert!(matches!(error, RunError::Type { .. }));
        let message = error.to_string();
        assert!(message.contains("`x`") && message.contains("f32[2]"), "{message}");
        assert!(message.contains(&wrong.ty().to_string()), "{message}");
    }
    let error = program.set_input("z", &Tensor::from_f32(&[2], vec![0.0; 2])).expect_err("no z");
    assert_eq!(error.to_string(), "the program has no input `z`; it has `x`");
    let error = program.output("z").expect_err("no z");
    assert_eq!(error.to_string(), "the program has no output `z`; it has `y`");
    assert!(program.input_mut::<i32>("x").is_err());
    assert!(program.values::<f64>("y").is_err());
}

#[test]
fn a_state_without_the_slot_is_refused() {
    let graph = Graph::new(DType::F32);
    let p = graph.state("layer/p", &[2], Initial::Constant(1.0)).expect("a slot");
    graph.output("y", graph.neg(p).expect("a node")).expect("an output");
    let mut program = Program::compile(&graph, &Options::default()).expect("a program");
    let error = program.run(&mut State::default()).expect_err("no slot");
    assert!(matches!(error, RunError::State(StateError::Missing(_))));
    assert_eq!(error.to_string(), "the state has no slot `layer/p`");

    let other = Graph::new(DType::F32);
    other.state("layer/p", &[3], Initial::Constant(1.0)).expect("a slot");
    let mut state = State::initialise(&other, 0);
    let error = program.run(&mut state).expect_err("another type");
    assert_eq!(error.to_string(), "slot `layer/p` is f32[3], but f32[2] is wanted");
    // After a refusal the right state still runs.
    let mut state = State::initialise(&graph, 0);
    program.run(&mut state).expect("a run");
    assert_eq!(program.values::<f32>("y").expect("an output"), [-1.0, -1.0]);
    let error = state.set("layer/p", Tensor::from_f32(&[3], vec![0.0; 3])).expect_err("a type");
    assert!(matches!(error, StateError::Type { .. }));
    assert!(state.set("q", Tensor::from_f32(&[2], vec![0.0; 2])).is_err());
}

/// `get_mut` lends a whole tensor. One of another size in its place must be
/// refused, not written past its end.
#[test]
fn a_slot_replaced_by_another_type_is_refused() {
    let graph = Graph::new(DType::F32);
    let p = graph.state("p", &[64], Initial::Constant(1.0)).expect("a slot");
    graph.update(p, graph.neg(p).expect("a node")).expect("an update");
    let (mut program, mut state) = run(&graph, &[]);
    *state.get_mut("p").expect("a slot") = Tensor::from_f32(&[64, 2], vec![0.0; 128]);
    let refused = program.run(&mut state);
    assert!(matches!(refused, Err(RunError::State(StateError::Type { .. }))), "{refused:?}");
}

#[test]
fn an_unknown_pass_or_variant_is_refused() {
    let graph = Graph::new(DType::F32);
    graph.output("y", graph.scalar(1.0).expect("a node")).expect("an output");
    let options = Options { without: vec!["dead-cod".to_owned()], ..Options::default() };
    let error = Program::compile(&graph, &options).err().expect("no such pass");
    assert!(matches!(error, CompileError::NoSuchPass(..)));
    let message = error.to_string();
    assert!(message.contains("no pass `dead-cod`"), "{message}");
    for pass in speck_engine::passes::ALL {
        assert!(message.contains(&format!("`{}`", pass.name)), "{message}");
        assert_eq!(message.matches(pass.name).count(), 1, "{message}");
    }
    assert!(message.contains("`groups`"), "{message}");
    assert!(Choice::parse("matmul:fast").is_err());
}

#[test]
fn only_slots_are_updated_and_by_their_own_type() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let p = graph.state("p", &[2], Initial::Constant(0.0)).expect("a slot");
    let twice = graph.add(p, p).expect("a node");
    assert!(graph.update(x, twice).is_err(), "an input is no slot");
    assert!(graph.update(twice, x).is_err(), "a sum is no slot");
    let wrong = graph.reshape(twice, &[1, 2]).expect("a node");
    let error = graph.update(p, wrong).expect_err("another shape");
    assert!(error.to_string().contains("`p`"), "{error}");
    let counter = graph
        .state_of("n", &TensorType::new(DType::I32, &[2]), Initial::Constant(0.0))
        .expect("a slot");
    assert!(graph.update(counter, twice).is_err(), "floats are no integers");
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, 4, 5, 5]).expect("an input");
    let w = graph.input("w", DType::F32, &[6, 4, 3, 3]).expect("an input");
    let plain = Window::default();
    for window in [
        Window { stride: [0, 1], ..plain },
        Window { dilation: [1, 0], ..plain },
        Window { dilation: [3, 3], ..plain },
        Window { groups: 0, ..plain },
        Window { groups: 2, ..plain },
        Window { padding: [usize::MAX, 0], ..plain },
        Window { dilation: [usize::MAX, 1], ..plain },
    ] {
        assert!(graph.conv2d(x, w, window).is_err(), "{window:?}");
    }
    let empty = graph.input("empty", DType::F32, &[6, 4, 0, 3]).expect("an input");
    let padded = Window { padding: [1, 1], ..plain };
    assert!(graph.conv2d(x, empty, padded).is_err(), "a window without rows");
    for (kernel, stride, padding) in [
        ([6, 1], [1, 1], [0, 0]),
        ([0, 1], [1, 1], [0, 0]),
        ([2, 2], [1, 0], [0, 0]),
        ([2, 2], [1, 1], [2, 0]),
        ([usize::MAX, 1], [1, 1], [0, 0]),
        ([2, 2], [1, 1], [usize::MAX, 0]),
    ] {
        assert!(graph.max_pool2d(x, kernel, stride, padding).is_err(), "{kernel:?}");
        let pool = AveragePool2d { kernel, stride, padding, ..AveragePool2d::default() };
        assert!(graph.average_pool2d(x, pool).is_err(), "{kernel:?}");
    }
}
