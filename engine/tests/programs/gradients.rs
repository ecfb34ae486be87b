//! Differentiation of graphs.

use crate::{assert_close, evaluate, run};
use speck_engine::op::{Case, Draw};
use speck_engine::{DType, Graph, RunningStatistics, Tensor, check};

#[test]
fn the_second_and_third_derivatives_of_a_cube() {
    let points = [-1.5, 0.0, 2.0];
    let derivative = |order: usize| {
        evaluate(&[(&[3], &points)], |g, x| {
            let square = g.square(x[0]).expect("a node");
            let mut y = g.mul(square, x[0]).expect("a node");
            for _ in 0..order {
                let total = g.sum_all(y).expect("a node");
                y = g.gradient(total, &[x[0]]).expect("a gradient")[0];
            }
            y
        })
    };
    assert_close(&derivative(1), &points.map(|x| 3.0 * x * x));
    assert_close(&derivative(2), &points.map(|x| 6.0 * x));
    assert_close(&derivative(3), &[6.0; 3]);
    assert_close(&derivative(4), &[0.0; 3]);
}

#[test]
fn what_the_loss_does_not_depend_on_has_a_gradient_of_zero() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, 3]).expect("an input");
    let unused = graph.input("unused", DType::F32, &[4, 5]).expect("an input");
    let loss = graph.sum_all(x).expect("a node");
    let later = graph.square(x).expect("a node");
    let gradients = graph.gradient(loss, &[x, unused, later]).expect("gradients");
    for (name, gradient, of) in
        [("x", gradients[0], x), ("unused", gradients[1], unused), ("later", gradients[2], later)]
    {
        assert_eq!(graph.ty(gradient), graph.ty(of));
        graph.output(name, gradient).expect("an output");
    }
    let (program, _) = run(&graph, &[]);
    assert_eq!(program.values::<f32>("x").expect("an output"), [1.0; 6]);
    assert_eq!(program.values::<f32>("unused").expect("an output"), [0.0; 20]);
    assert_eq!(program.values::<f32>("later").expect("an output"), [0.0; 6]);
}

#[test]
fn a_gradient_is_of_one_float_with_respect_to_floats() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2]).expect("an input");
    let i = graph.input("i", DType::I32, &[]).expect("an input");
    let loss = graph.sum_all(x).expect("a node");
    let error = graph.gradient(x, &[x]).expect_err("two numbers");
    assert!(error.to_string().contains("one floating-point number"), "{error}");
    let error = graph.gradient(i, &[x]).expect_err("an integer");
    assert!(error.to_string().contains("one floating-point number"), "{error}");
    let error = graph.gradient(loss, &[x, i]).expect_err("an integer");
    assert!(error.to_string().contains("integers have no gradient"), "{error}");
    let other = graph.input("other", DType::F32, &[1]).expect("an input");
    let error = graph.pull_back(loss, other, &[x]).expect_err("another type");
    assert!(error.to_string().contains("another type"), "{error}");
}

#[test]
fn cotangents_of_all_uses_are_added() {
    // y = x·x + x + Σx, x used four times.
    let gradient = evaluate(&[(&[3], &[1.0, 2.0, 3.0])], |g, x| {
        let product = g.mul(x[0], x[0]).expect("a node");
        let sum = g.add(product, x[0]).expect("a node");
        let total = g.sum_all(x[0]).expect("a node");
        let y = g.add(sum, total).expect("a node");
        let loss = g.sum_all(y).expect("a node");
        g.gradient(loss, &[x[0]]).expect("a gradient")[0]
    });
    assert_close(&gradient, &[6.0, 8.0, 10.0]);
}

#[test]
fn the_gradient_of_a_node_on_the_way_and_of_the_loss_itself() {
    let graph = Graph::new(DType::F64);
    let x = graph.input("x", DType::F64, &[]).expect("an input");
    let middle = graph.square(x).expect("a node");
    let loss = graph.exp(middle).expect("a node");
    let gradients = graph.gradient(loss, &[x, middle, loss]).expect("gradients");
    for (name, gradient) in ["x", "middle", "loss"].into_iter().zip(gradients) {
        graph.output(name, gradient).expect("an output");
    }
    let (program, _) = run(&graph, &[("x", Tensor::from_f64(&[], vec![0.5]))]);
    let value = |name| program.output(name).expect("an output").to_f64();
    let e = 0.25f64.exp();
    assert_close(&value("x"), &[e]);
    assert_close(&value("middle"), &[e]);
    assert_close(&value("loss"), &[1.0]);
}

/// An integer path carries nothing: the position of a maximum is constant.
#[test]
fn no_gradient_passes_through_integers() {
    let gradient = evaluate(&[(&[1, 3], &[1.0, 5.0, 2.0])], |g, x| {
        let index = g.argmax(x[0], 1).expect("a node");
        let float = g.cast(index).expect("a node");
        let product = g.mul(float, x[0]).expect("a node");
        let loss = g.sum_all(product).expect("a node");
        g.gradient(loss, &[x[0]]).expect("a gradient")[0]
    });
    assert_close(&gradient, &[1.0, 1.0, 1.0]);
}

#[test]
fn backward_nodes_are_tagged_and_keep_the_forward_path() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, 3]).expect("an input");
    let y = graph.scoped("dense", |g| g.softmax(x, 1)).expect("a node");
    let square = graph.square(y).expect("a node");
    let loss = graph.sum_all(square).expect("a node");
    let forward = graph.len();
    graph.gradient(loss, &[x]).expect("a gradient");
    let printed = graph.to_string();
    let tag = format!("∂{y:?} ");
    let backward: Vec<_> = printed.lines().skip(forward).filter(|l| l.contains(&tag)).collect();
    assert!(!backward.is_empty(), "{printed}");
    for line in backward {
        assert!(line.contains("  dense  ") && line.contains(file!()), "{line}");
    }
}

/// Compositions have no registry entry; their derivatives are checked here.
#[test]
fn compositions_have_right_derivatives() {
    let draw = Draw::Uniform(-1.0, 1.0);
    let cases = [
        Case::new("linear", &[(&[4, 3], draw), (&[2, 3], draw), (&[2], draw)], |g, x| {
            g.linear(x[0], x[1], Some(x[2]))
        }),
        Case::new("layer norm", &[(&[3, 5], draw), (&[5], draw), (&[5], draw)], |g, x| {
            g.layer_norm(x[0], x[1], x[2], 1e-3)
        }),
        Case::new(
            "batch norm, running statistics",
            &[(&[2, 3, 2, 2], draw), (&[3], draw), (&[3], draw), (&[3], Draw::Uniform(0.5, 1.5))],
            |g, x| {
                let running = RunningStatistics { mean: x[2], variance: x[3], momentum: 0.1 };
                g.batch_norm_evaluation(x[0], x[1], x[2], running, 1e-3)
            },
        ),
        Case::new("max pooling", &[(&[2, 2, 5, 4], Draw::Distinct)], |g, x| {
            let pooled = g.max_pool2d(x[0], [3, 2], [2, 1], [1, 1])?;
            g.square(pooled)
        }),
        Case::new(
            "cross-entropy",
            &[(&[3, 7], draw), (&[3, 7], Draw::Uniform(0.1, 1.0))],
            |g, x| g.axis_cross_entropy(x[0], x[1], &[4, 3]),
        ),
        Case::new("binary cross-entropy", &[(&[3, 7], draw), (&[3, 7], draw)], |g, x| {
            g.binary_cross_entropy(x[0], x[1])
        }),
        Case::new("squared error", &[(&[3, 7], draw), (&[3, 7], draw)], |g, x| {
            g.mean_squared_error(x[0], x[1])
        }),
    ];
    for (number, case) in cases.iter().enumerate() {
        let checked = check::gradients::check(case, number as u64 + 1)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(checked.first > 0 && checked.second > 0, "{}: {checked:?}", case.name);
    }
}
