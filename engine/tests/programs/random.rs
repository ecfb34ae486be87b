//! Random ops draw the same values wherever and however often they run.

use crate::{assert_close, poisoned};
use speck_engine::{DType, Graph, NodeId, Program, State, Tensor, passes};

/// Runs `build` of a seed and a step, and reads the outputs it returns.
pub fn draw(
    seed: [i32; 2],
    step: i32,
    without: &[&str],
    build: impl Fn(&Graph, NodeId, NodeId) -> Vec<NodeId>,
) -> Vec<Vec<f64>> {
    let graph = Graph::new(DType::F32);
    let seed_node = graph.input("seed", DType::I32, &[2]).expect("an input");
    let step_node = graph.input("step", DType::I32, &[]).expect("an input");
    let nodes = build(&graph, seed_node, step_node);
    for (i, node) in nodes.iter().enumerate() {
        graph.output(&i.to_string(), *node).expect("an output");
    }
    let mut program = Program::compile(&graph, &poisoned(without)).expect("a program");
    program.set_input("seed", &Tensor::from_i32(&[2], seed.to_vec())).expect("an input");
    program.set_input("step", &Tensor::from_i32(&[], vec![step])).expect("an input");
    program.run(&mut State::default()).expect("a run");
    (0..nodes.len()).map(|i| program.output(&i.to_string()).expect("one").to_f64()).collect()
}

fn both(g: &Graph, seed: NodeId, step: NodeId) -> Vec<NodeId> {
    let uniform = g.random_uniform(&[5, 7], seed, step).expect("a node");
    let normal = g.random_normal(&[5, 7], seed, step).expect("a node");
    let again = g.random_uniform(&[5, 7], seed, step).expect("a node");
    vec![uniform, normal, again]
}

#[test]
fn the_seed_the_step_and_the_stream_decide_the_draw() {
    let here = draw([1, 2], 3, &[], both);
    assert_eq!(draw([1, 2], 3, &[], both), here);
    // The first and the third are the same op on the same inputs, and still
    // draw for themselves.
    assert_ne!(here[0], here[2]);
    for (seed, step) in [([1, 2], 4), ([1, 3], 3), ([2, 2], 3), ([2, 1], 3)] {
        for (other, one) in draw(seed, step, &[], both).iter().zip(&here) {
            let equal = other.iter().zip(one).filter(|(a, b)| a == b).count();
            assert!(equal <= 1, "seed {seed:?}, step {step}: {equal} equal draws");
        }
    }
}

#[test]
fn negative_words_of_a_seed_and_steps_are_bits() {
    let here = draw([-1, -2], -3, &[], both);
    for other in [draw([1, -2], -3, &[], both), draw([-1, -2], 3, &[], both)] {
        assert_ne!(here[0], other[0]);
    }
}

#[test]
fn passes_change_no_draw() {
    // The first draw is dead, the second constant-folded where seeds are
    // constants: the streams of the others must not move up.
    let build = |g: &Graph, seed: NodeId, step: NodeId| {
        g.random_uniform(&[9], seed, step).expect("a node");
        let fixed_seed = g.constant(Tensor::from_i32(&[2], vec![7, 7])).expect("a node");
        let fixed_step = g.constant(Tensor::from_i32(&[], vec![7])).expect("a node");
        let fixed = g.random_normal(&[9], fixed_seed, fixed_step).expect("a node");
        let last = g.random_uniform(&[9], seed, step).expect("a node");
        vec![fixed, last]
    };
    let all: Vec<_> = passes::ALL.iter().map(|pass| pass.name).chain([passes::GROUPS]).collect();
    let with = draw([5, 6], 1, &[], build);
    assert_eq!(draw([5, 6], 1, &all, build), with);
    for name in all {
        assert_eq!(draw([5, 6], 1, &[name], build), with, "without {name}");
    }
}

/// A shorter draw is the beginning of a longer one: an element depends on its
/// position, not on the size.
#[test]
fn an_element_depends_on_its_position_only() {
    let long = draw([1, 0], 0, &[], |g, s, t| vec![g.random_normal(&[1000], s, t).expect("one")]);
    for n in [1, 2, 3, 5, 17, 256] {
        let short = draw([1, 0], 0, &[], |g, s, t| vec![g.random_normal(&[n], s, t).expect("one")]);
        assert_eq!(short[0], long[0][..n], "{n}");
    }
}

#[test]
fn moments_of_the_draws() {
    let n = 200_000;
    let draws = draw([3, 1], 0, &[], |g, seed, step| {
        vec![
            g.random_uniform(&[n], seed, step).expect("a node"),
            g.random_normal(&[n], seed, step).expect("a node"),
        ]
    });
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
    let variance = |values: &[f64], mean: f64| {
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64
    };
    // Five standard errors: 1/√(12 n) and 1/√n for the means; for the
    // variances √(1/180 n) and √(2/n).
    let root = (n as f64).sqrt();
    assert!((mean(&draws[0]) - 0.5).abs() < 5.0 / 12f64.sqrt() / root);
    assert!((variance(&draws[0], 0.5) - 1.0 / 12.0).abs() < 5.0 / 180f64.sqrt() / root);
    assert!(mean(&draws[1]).abs() < 5.0 / root);
    assert!((variance(&draws[1], 0.0) - 1.0).abs() < 5.0 * 2f64.sqrt() / root);
}

#[test]
fn dropout_keeps_the_mean_and_drops_at_its_rate() {
    let (n, rate) = (100_000, 0.3);
    let dropped = draw([8, 0], 2, &[], |g, seed, step| {
        let zero = g.scalar(0.0).expect("a node");
        let ones = g.exp(g.expand(zero, &[n]).expect("a node")).expect("a node");
        vec![g.dropout(ones, rate, seed, step).expect("a node")]
    });
    let kept = dropped[0].iter().filter(|v| **v != 0.0).count() as f64 / n as f64;
    // Five standard errors of a share.
    let error = 5.0 * (rate * (1.0 - rate) / n as f64).sqrt();
    assert!((kept - (1.0 - rate)).abs() < error, "{kept}");
    let scale = f64::from((1.0 / (1.0 - rate)) as f32);
    assert!(dropped[0].iter().all(|v| *v == 0.0 || (*v - scale).abs() < 1e-6));
    let mean = dropped[0].iter().sum::<f64>() / n as f64;
    assert!((mean - 1.0).abs() < error / (1.0 - rate), "{mean}");
}

#[test]
fn dropout_gives_the_gradient_of_what_it_kept() {
    let found = draw([8, 0], 2, &[], |g, seed, step| {
        let x = g.iota(40).expect("a node");
        let x = g.offset(x, 1.0).expect("a node");
        let y = g.dropout(x, 0.5, seed, step).expect("a node");
        let loss = g.sum_all(y).expect("a node");
        vec![x, y, g.gradient(loss, &[x]).expect("a gradient")[0]]
    });
    let [x, y, gradient] = &found[..] else { panic!("three outputs") };
    assert!(gradient.contains(&0.0) && gradient.contains(&2.0), "{gradient:?}");
    let product: Vec<_> = x.iter().zip(gradient).map(|(x, g)| x * g).collect();
    assert_close(y, &product);
}

#[test]
fn a_rate_of_zero_is_no_op_and_one_is_refused() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[3]).expect("an input");
    let seed = graph.input("seed", DType::I32, &[2]).expect("an input");
    let step = graph.input("step", DType::I32, &[]).expect("an input");
    assert_eq!(graph.dropout(x, 0.0, seed, step).expect("x itself"), x);
    for rate in [1.0, -0.1, 1.5, f64::NAN] {
        let error = graph.dropout(x, rate, seed, step).expect_err("no such rate");
        assert!(error.to_string().contains("the rate must be"), "{error}");
    }
    assert!(graph.random_uniform(&[3], step, seed).is_err(), "seed and step exchanged");
}
