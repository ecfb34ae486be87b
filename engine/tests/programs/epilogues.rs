//! Groups that are run on the parts of a product as they are finished give the bits
//! of groups that are run behind it, and leave alone what they must.

use crate::poisoned;
use speck_engine::{
    DType, Graph, GraphError, Initial, NodeId, Program, State, Tensor, TensorType, passes,
};

type Make<'a> = &'a (dyn Fn() -> Graph + Sync);

/// The outputs, the new state, and how many steps the program has.
fn run(make: Make, threads: usize, without: &[&str]) -> (Vec<Tensor>, State, usize) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool of threads").install(|| {
        let graph = make();
        let mut program = Program::compile(&graph, &poisoned(without)).expect("a program");
        let inputs: Vec<_> =
            program.inputs().map(|(name, ty)| (name.to_owned(), ty.clone())).collect();
        for (i, (name, ty)) in inputs.iter().enumerate() {
            program.set_input(name, &values(ty, i)).expect("an input");
        }
        let mut state = State::initialise(&graph, 0);
        // Twice: what one run leaves behind does not reach the next.
        for _ in 0..2 {
            program.run(&mut state).expect("a run");
        }
        let outputs = (0..).map_while(|i: usize| program.output(&i.to_string()).ok());
        (outputs.collect(), state, program.steps())
    })
}

fn values(ty: &TensorType, seed: usize) -> Tensor {
    let value = |j: usize| ((j * 37 + seed * 11) % 101) as f64 / 50.5 - 1.0;
    Tensor::new(ty, &(0..ty.elements()).map(value).collect::<Vec<_>>())
}

/// Compares a program with and without; says how many steps were joined.
fn check(make: Make) -> usize {
    let (plain, plain_state, before) = run(make, 1, &[passes::EPILOGUES]);
    for threads in [1, 2, 3] {
        let (joined, state, steps) = run(make, threads, &[]);
        assert!(joined == plain, "{threads} threads");
        for ((name, a), (_, b)) in state.iter().zip(plain_state.iter()) {
            assert!(a == b, "slot `{name}` on {threads} threads");
        }
        for output in &joined {
            assert!(output.to_f64().iter().all(|value| value.is_finite()));
        }
        if threads == 3 {
            return before - steps;
        }
    }
    0
}

type Build = fn(&Graph, &[NodeId]) -> Result<Vec<NodeId>, GraphError>;

/// The graph of inputs of these shapes.
fn graph_of(dtype: DType, shapes: &[&[usize]], build: Build) -> Graph {
    let graph = Graph::new(dtype);
    let inputs: Vec<_> = (0..shapes.len())
        .map(|i| graph.input(&i.to_string(), dtype, shapes[i]).expect("an input"))
        .collect();
    for (i, output) in build(&graph, &inputs).expect("a graph").iter().enumerate() {
        graph.output(&i.to_string(), *output).expect("an output");
    }
    graph
}

/// Bias, activation and residual.
fn dense(graph: &Graph, x: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
    let y = graph.add(graph.matmul(x[0], x[1])?, x[2])?;
    Ok(vec![graph.add(graph.gelu(y)?, x[3])?])
}

#[test]
fn bias_activation_and_residual_are_joined_to_the_product() {
    // One block of rows and several, computed transposed, long sums, ragged.
    for [m, n, k] in
        [[128, 512, 40], [700, 130, 70], [9001, 8, 33], [2130, 40, 1100], [260, 260, 17000]]
    {
        let shapes: [&[usize]; 4] = [&[m, k], &[k, n], &[n], &[m, n]];
        assert_eq!(check(&|| graph_of(DType::F32, &shapes, dense)), 1, "{m} × {n} × {k}");
        // Its kernels do not say what they have finished.
        if k < 100 {
            assert_eq!(check(&|| graph_of(DType::F64, &shapes, dense)), 0);
        }
    }
    let batch: [&[usize]; 4] = [&[80, 33, 20], &[80, 20, 31], &[31], &[80, 33, 31]];
    assert_eq!(check(&|| graph_of(DType::F32, &batch, dense)), 1, "a batch");
    let small: [&[usize]; 4] = [&[4, 5], &[5, 6], &[6], &[4, 6]];
    assert_eq!(check(&|| graph_of(DType::F32, &small, dense)), 0, "too small to gain");
}

/// Sums at the end, over rows, columns and all, and the product kept as well.
#[test]
fn sums_and_products_that_are_kept() {
    let sums: Build = |graph, x| {
        let y = graph.matmul_with(x[0], x[1], true, true)?;
        let z = graph.relu(graph.add(y, x[2])?)?;
        Ok(vec![z, graph.sum(z, &[0])?, graph.sum(z, &[1])?, graph.sum_all(graph.square(z)?)?])
    };
    let kept: Build = |graph, x| {
        let y = graph.matmul_with(x[0], x[1], true, true)?;
        let z = graph.relu(graph.add(y, x[2])?)?;
        Ok(vec![y, z, graph.mul(z, y)?])
    };
    // Read again after a value is written that could lie in its memory.
    let twice: Build = |graph, x| {
        let y = graph.matmul_with(x[0], x[1], true, true)?;
        let z = graph.tanh(graph.add(y, x[2])?)?;
        Ok(vec![z, graph.mul(z, y)?])
    };
    for [m, n, k] in [[300, 257, 50], [1030, 64, 30], [90, 1000, 20]] {
        let shapes: [&[usize]; 3] = [&[k, m], &[n, k], &[n]];
        for build in [sums, kept, twice] {
            assert_eq!(check(&|| graph_of(DType::F32, &shapes, build)), 1, "{m} × {n} × {k}");
        }
    }
}

/// A weight that the product reads is not overwritten while it does: here each
/// sample of the batch reads all of it, and the group runs when two are done. The
/// new value goes elsewhere, and is copied in a step of its own.
#[test]
fn the_state_that_a_product_reads_is_kept_until_it_is_done() {
    let make = || {
        let graph = Graph::new(DType::F32);
        let weight = graph.state("w", &[256, 256], Initial::Constant(0.5)).expect("a slot");
        let x = graph.input("x", DType::F32, &[4, 256, 64]).expect("an input");
        let y = graph.matmul(weight, x).expect("a product");
        let y = graph.reshape(y, &[256, 256]).expect("a matrix");
        let moved = graph.add(graph.scale(y, 1e-3).expect("scaled"), weight).expect("a sum");
        graph.update(weight, moved).expect("an update");
        graph.output("0", graph.tanh(moved).expect("tanh")).expect("an output");
        graph
    };
    assert_eq!(check(&make), 0);
}

/// The gradient of large weights goes to their update and is kept nowhere, also
/// where other steps stand between the two; a group with a sum needs all of it.
#[test]
fn a_gradient_of_large_weights_is_not_kept() {
    let make = |summed: bool| {
        move || {
            let graph = Graph::new(DType::F32);
            let build = || -> Result<(), GraphError> {
                let weight = graph.state("w", &[130, 2100], Initial::Constant(0.5))?;
                let moment = graph.state("m", &[130, 2100], Initial::Constant(0.25))?;
                let x = graph.input("x", DType::F32, &[40, 2100])?;
                let c = graph.input("c", DType::F32, &[40, 130])?;
                let gradient = graph.matmul_with(c, x, true, false)?;
                let rate = graph.scale(graph.sum_all(graph.exp(x)?)?, 1e-7)?;
                let kept = graph.scale(moment, 0.9)?;
                let new = graph.add(kept, graph.scale(gradient, 0.1)?)?;
                graph.update(moment, new)?;
                graph.update(weight, graph.sub(weight, graph.mul(new, rate)?)?)?;
                graph.output("0", rate)?;
                if summed {
                    graph.output("1", graph.sum_all(graph.square(gradient)?)?)?;
                }
                Ok(())
            };
            build().expect("a graph");
            graph
        }
    };
    let arena = |summed: bool, without: &[&str]| {
        let program = Program::compile(&make(summed)(), &poisoned(without)).expect("a program");
        program.arena_bytes()
    };
    let bytes = 130 * 2100 * size_of::<f32>();
    assert_eq!(check(&make(false)), 1);
    assert!(arena(false, &[]) + bytes / 2 < arena(false, &[passes::EPILOGUES]));
    assert_eq!(check(&make(true)), 1);
    assert!(arena(true, &[]) + bytes / 2 > arena(true, &[passes::EPILOGUES]));
}

/// A product of the state is computed before the state changes, however late it is
/// read.
#[test]
fn a_product_of_the_state_is_not_put_off() {
    let make = || {
        let graph = Graph::new(DType::F32);
        let build = || -> Result<(), GraphError> {
            let weight = graph.state("w", &[2100, 20], Initial::Constant(0.5))?;
            let x = graph.input("x", DType::F32, &[140, 20])?;
            let y = graph.matmul_with(x, weight, false, true)?;
            graph.update(weight, graph.scale(weight, 0.5)?)?;
            graph.output("0", graph.sum_all(graph.exp(graph.scale(x, 0.1)?)?)?)?;
            graph.output("1", graph.tanh(y)?)?;
            Ok(())
        };
        build().expect("a graph");
        graph
    };
    check(&make);
}
