//! Random draws have the distributions they are named after, and the gradients
//! of their reparameterization.

use crate::random::draw;
use speck_engine::{DType, Graph, GraphError, NodeId, Tensor};

const N: usize = 100_000;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / values.len() as f64
}

/// The draws have a mean and a variance, to five standard errors; `kurtosis` is
/// the fourth central moment over the variance squared.
#[track_caller]
fn assert_moments(values: &[f64], expected: [f64; 2], kurtosis: f64) {
    let [centre, spread] = expected;
    let n = values.len() as f64;
    let allowed = 5.0 * (spread / n).sqrt();
    assert!((mean(values) - centre).abs() < allowed, "mean {}, not {centre}", mean(values));
    let allowed = 5.0 * spread * ((kurtosis - 1.0) / n).sqrt();
    let found = variance(values);
    assert!((found - spread).abs() < allowed, "variance {found}, not {spread}");
}

/// The share of draws that satisfy a condition is right to five standard errors.
#[track_caller]
fn assert_share(values: &[f64], condition: impl Fn(f64) -> bool, expected: f64) {
    let n = values.len() as f64;
    let found = values.iter().filter(|v| condition(**v)).count() as f64 / n;
    let allowed = 5.0 * (expected * (1.0 - expected) / n).sqrt();
    assert!((found - expected).abs() <= allowed, "a share of {found}, not {expected}");
}

/// A constant repeated.
fn repeated(g: &Graph, value: f64) -> NodeId {
    let value = g.scalar(value).expect("a node");
    g.expand(value, &[N]).expect("a node")
}

type Build<'a> = &'a dyn Fn(&Graph, &[NodeId], NodeId, NodeId) -> Result<NodeId, GraphError>;

/// Draws from `build` with constant parameters, and the gradient of their sum
/// with respect to each.
fn sample(parameters: &[f64], build: Build<'_>) -> Vec<Vec<f64>> {
    draw([3, 1], 4, &[], |g, seed, step| {
        let nodes: Vec<_> = parameters.iter().map(|value| repeated(g, *value)).collect();
        let y = build(g, &nodes, seed, step).expect("draws");
        let loss = g.sum_all(y).expect("a node");
        let gradients = g.gradient(loss, &nodes).expect("gradients");
        [&[y][..], &gradients].concat()
    })
}

#[track_caller]
fn assert_near(found: &[f64], expected: impl Fn(usize) -> f64) {
    for (i, found) in found.iter().enumerate() {
        let expected = expected(i);
        let near = (found - expected).abs() <= 1e-5 * (1.0 + expected.abs());
        assert!(near, "[{i}] is {found}, not {expected}");
    }
}

#[test]
fn normal_draws() {
    let found = sample(&[2.0, 3.0], &|g, p, seed, step| g.sample_normal(p[0], p[1], seed, step));
    assert_moments(&found[0], [2.0, 9.0], 3.0);
    assert_near(&found[1], |_| 1.0);
    assert_near(&found[2], |i| (found[0][i] - 2.0) / 3.0);
}

#[test]
fn uniform_draws() {
    let found = sample(&[-1.0, 3.0], &|g, p, seed, step| g.sample_uniform(p[0], p[1], seed, step));
    assert_moments(&found[0], [1.0, 16.0 / 12.0], 1.8);
    assert!(found[0].iter().all(|v| (-1.0..3.0).contains(v)));
    assert_near(&found[2], |i| (found[0][i] + 1.0) / 4.0);
    assert_near(&found[1], |i| 1.0 - (found[0][i] + 1.0) / 4.0);
}

#[test]
fn exponential_draws() {
    let found = sample(&[2.0], &|g, p, seed, step| g.sample_exponential(p[0], seed, step));
    assert_moments(&found[0], [0.5, 0.25], 9.0);
    assert_share(&found[0], |v| v > 1.0, (-2.0f64).exp());
    assert!(found[0].iter().all(|v| *v >= 0.0 && v.is_finite()));
    assert_near(&found[1], |i| -found[0][i] / 2.0);
}

#[test]
fn bernoulli_draws() {
    for p in [0.0, 0.3, 1.0] {
        let hard = sample(&[p], &|g, p, seed, step| g.sample_bernoulli(p[0], seed, step));
        assert_share(&hard[0], |v| v == 1.0, p);
        assert!(hard[0].iter().all(|v| *v == 0.0 || *v == 1.0));
        assert_near(&hard[1], |_| 0.0);
        let through = sample(&[p], &|g, p, s, t| g.sample_bernoulli_through(p[0], s, t));
        assert_eq!(through[0], hard[0]);
        assert_near(&through[1], |_| 1.0);
    }
}

#[test]
fn relaxed_bernoulli_draws() {
    let odds: f64 = 0.7;
    for temperature in [0.2, 1.0, 3.0] {
        let found = sample(&[odds], &|g, p, seed, step| {
            g.sample_relaxed_bernoulli(p[0], temperature, seed, step)
        });
        assert_share(&found[0], |v| v > 0.5, 1.0 / (1.0 + (-odds).exp()));
        assert_near(&found[1], |i| found[0][i] * (1.0 - found[0][i]) / temperature);
    }
    // At even odds and temperature 1 the draw is σ(ln u - ln(1 - u)) = u.
    let found = sample(&[0.0], &|g, p, s, t| g.sample_relaxed_bernoulli(p[0], 1.0, s, t));
    assert_moments(&found[0], [0.5, 1.0 / 12.0], 1.8);
}

#[test]
fn gumbel_draws() {
    let found = draw([3, 1], 4, &[], |g, seed, step| {
        vec![g.random_gumbel(&[N], seed, step).expect("draws")]
    });
    let euler = 0.577_215_664_901_532_9;
    assert_moments(&found[0], [euler, std::f64::consts::PI.powi(2) / 6.0], 5.4);
    // The distribution function is exp(-exp(-y)).
    assert_share(&found[0], |v| v <= 1.0, (-(-1.0f64).exp()).exp());
}

/// Logits of the probabilities 1/8, 1/4 and 5/8 for each of `N` samples.
fn logits(g: &Graph, axis: usize) -> NodeId {
    let values = [1.0f64, 2.0, 5.0].map(f64::ln);
    let shape = if axis == 0 { [3, 1] } else { [1, 3] };
    let row = Tensor::new(&speck_engine::TensorType::new(DType::F32, &shape), &values);
    let row = g.constant(row).expect("a node");
    g.expand(row, &if axis == 0 { [3, N] } else { [N, 3] }).expect("a node")
}

#[test]
fn categorical_draws() {
    for axis in [0, 1] {
        let found = draw([3, 1], 4, &[], |g, seed, step| {
            vec![g.sample_categorical(logits(g, axis), axis, seed, step).expect("draws")]
        });
        for (class, share) in [0.125, 0.25, 0.625].into_iter().enumerate() {
            assert_share(&found[0], |v| v == class as f64, share);
        }
    }
}

#[test]
fn gumbel_softmax_draws() {
    for axis in [0, 1] {
        let run = |through: bool| {
            draw([3, 1], 4, &[], |g, seed, step| {
                let x = logits(g, axis);
                let y = if through {
                    g.gumbel_softmax_through(x, axis, 0.7, seed, step)
                } else {
                    g.gumbel_softmax(x, axis, 0.7, seed, step)
                };
                let y = y.expect("draws");
                let weights = g.iota(3 * N).expect("a node");
                let weights = g.sin(weights).expect("a node");
                let weights = g.reshape(weights, &g.shape(y)).expect("a node");
                let loss = g.sum_all(g.mul(y, weights).expect("a node")).expect("a node");
                vec![y, g.gradient(loss, &[x]).expect("a gradient")[0]]
            })
        };
        let (soft, hard) = (run(false), run(true));
        let at = |values: &[f64], sample: usize, class: usize| {
            values[if axis == 0 { class * N + sample } else { sample * 3 + class }]
        };
        let mut winners = Vec::new();
        for sample in 0..N {
            let soft = [0, 1, 2].map(|class| at(&soft[0], sample, class));
            let hard = [0, 1, 2].map(|class| at(&hard[0], sample, class));
            assert!((soft.iter().sum::<f64>() - 1.0).abs() < 1e-5);
            let winner = (0..3).max_by(|a, b| soft[*a].total_cmp(&soft[*b])).expect("three");
            let one_hot = [0, 1, 2].map(|class| f64::from(u8::from(class == winner)));
            assert_eq!(hard, one_hot, "{soft:?}");
            winners.push(winner as f64);
        }
        for (class, share) in [0.125, 0.25, 0.625].into_iter().enumerate() {
            assert_share(&winners, |v| v == class as f64, share);
        }
        assert_eq!(hard[1], soft[1]);
        assert!(soft[1].iter().any(|v| v.abs() > 0.1));
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let graph = Graph::new(DType::F32);
    let seed = graph.input("seed", DType::I32, &[2]).expect("an input");
    let step = graph.input("step", DType::I32, &[]).expect("an input");
    let x = graph.input("x", DType::F32, &[2, 3]).expect("an input");
    let y = graph.input("y", DType::F32, &[2]).expect("an input");
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(graph.gumbel_softmax(x, 1, temperature, seed, step).is_err());
        assert!(graph.gumbel_softmax_through(x, 1, temperature, seed, step).is_err());
        assert!(graph.sample_relaxed_bernoulli(x, temperature, seed, step).is_err());
    }
    assert!(graph.gumbel_softmax_through(x, 2, 1.0, seed, step).is_err());
    assert!(graph.sample_categorical(x, 2, seed, step).is_err());
    assert!(graph.sample_normal(x, y, seed, step).is_err());
    assert!(graph.sample_uniform(x, y, seed, step).is_err());
}
