//! Losses and norms against the same computed by hand.

use crate::{assert_close, evaluate, run};
use speck_engine::{DType, Graph, Initial, RunningStatistics, Tensor};

/// Two images of three channels of 2 × 2, in no pattern.
fn images() -> Vec<f64> {
    (0..24).map(|i| f64::from(i * i * 7 % 23) / 5.0 - 2.0).collect()
}

/// The values of a channel of the images.
fn channel(x: &[f64], c: usize) -> Vec<f64> {
    (0..2).flat_map(|n| x[(n * 3 + c) * 4..][..4].to_vec()).collect()
}

const WEIGHT: [f64; 3] = [0.5, -1.0, 2.0];
const BIAS: [f64; 3] = [0.1, 0.2, -0.3];
const EPSILON: f64 = 1e-3;

/// (x - mean) / √(variance + ε) · w + b for each channel.
fn normalised(x: &[f64], mean: [f64; 3], variance: [f64; 3]) -> Vec<f64> {
    let value = |(i, x): (usize, &f64)| {
        let c = i / 4 % 3;
        (x - mean[c]) / (variance[c] + EPSILON).sqrt() * WEIGHT[c] + BIAS[c]
    };
    x.iter().enumerate().map(value).collect()
}

#[test]
fn batch_norm_by_hand() {
    let x = images();
    let mean = [0, 1, 2].map(|c| channel(&x, c).iter().sum::<f64>() / 8.0);
    let variance =
        [0, 1, 2].map(|c| channel(&x, c).iter().map(|v| (v - mean[c]).powi(2)).sum::<f64>() / 8.0);

    let graph = Graph::new(DType::F64);
    let image = graph.input("x", DType::F64, &[2, 3, 2, 2]).expect("an input");
    let weight = graph.input("weight", DType::F64, &[3]).expect("an input");
    let bias = graph.input("bias", DType::F64, &[3]).expect("an input");
    let running = RunningStatistics {
        mean: graph.state("mean", &[3], Initial::Constant(0.5)).expect("a slot"),
        variance: graph.state("variance", &[3], Initial::Constant(1.0)).expect("a slot"),
        momentum: 0.1,
    };
    let y = graph.batch_norm(image, weight, bias, running, EPSILON).expect("a norm");
    graph.output("y", y).expect("an output");
    let old = graph.batch_norm_evaluation(image, weight, bias, running, EPSILON).expect("a norm");
    graph.output("old", old).expect("an output");
    let weights =
        graph.constant(Tensor::from_f64(&[2, 3, 2, 2], images().iter().map(|v| v.sin()).collect()));
    let weighted = graph.mul(y, weights.expect("a constant")).expect("a node");
    let loss = graph.sum_all(weighted).expect("a node");
    let gradients = graph.gradient(loss, &[image, bias]).expect("gradients");
    graph.output("to x", gradients[0]).expect("an output");
    graph.output("to bias", gradients[1]).expect("an output");

    let vector = |v: [f64; 3]| Tensor::from_f64(&[3], v.to_vec());
    let (program, state) = run(
        &graph,
        &[
            ("x", Tensor::from_f64(&[2, 3, 2, 2], x.clone())),
            ("weight", vector(WEIGHT)),
            ("bias", vector(BIAS)),
        ],
    );
    let value = |name| program.output(name).expect("an output").to_f64();
    assert_close(&value("y"), &normalised(&x, mean, variance));
    // In the step that changes them, the running statistics are the old ones.
    assert_close(&value("old"), &normalised(&x, [0.5; 3], [1.0; 3]));
    let slot = |name| state.get(name).expect("a slot").to_f64();
    assert_close(&slot("mean"), &mean.map(|m| 0.9 * 0.5 + 0.1 * m));
    // Bessel's correction: of eight values.
    assert_close(&slot("variance"), &variance.map(|v| 0.9 + 0.1 * v * 8.0 / 7.0));

    // With z the normalised values and c the cotangent (Ioffe and Szegedy,
    // section 3): dx = w / deviation · (c - mean(c) - z · mean(c z)).
    let gradient = value("to x");
    let cotangent: Vec<f64> = x.iter().map(|v| v.sin()).collect();
    for c in 0..3 {
        let deviation = (variance[c] + EPSILON).sqrt();
        let z: Vec<_> = channel(&x, c).iter().map(|x| (x - mean[c]) / deviation).collect();
        let own = channel(&cotangent, c);
        let total = own.iter().sum::<f64>();
        let along = own.iter().zip(&z).map(|(c, z)| c * z).sum::<f64>();
        let slope =
            |(own, z): (&f64, &f64)| WEIGHT[c] / deviation * (own - total / 8.0 - z * along / 8.0);
        let expected: Vec<_> = own.iter().zip(&z).map(slope).collect();
        assert_close(&channel(&gradient, c), &expected);
        assert_close(&value("to bias")[c..=c], &[total]);
    }
}

#[test]
fn batch_norm_of_one_value_a_channel_does_not_divide_by_zero() {
    let graph = Graph::new(DType::F64);
    let x = graph.input("x", DType::F64, &[1, 2]).expect("an input");
    let one = graph.constant(Tensor::from_f64(&[2], vec![1.0; 2])).expect("a constant");
    let slot = |name| graph.state(name, &[2], Initial::Constant(1.0)).expect("a slot");
    let running =
        RunningStatistics { mean: slot("mean"), variance: slot("variance"), momentum: 0.5 };
    let y = graph.batch_norm(x, one, one, running, EPSILON).expect("a norm");
    graph.output("y", y).expect("an output");
    let (program, state) = run(&graph, &[("x", Tensor::from_f64(&[1, 2], vec![3.0, 4.0]))]);
    assert_close(&program.output("y").expect("an output").to_f64(), &[1.0, 1.0]);
    assert_close(&state.get("mean").expect("a slot").to_f64(), &[2.0, 2.5]);
    assert_close(&state.get("variance").expect("a slot").to_f64(), &[0.5, 0.5]);
}

#[test]
fn layer_norm_by_hand() {
    let x = [1.0, 2.0, 6.0, -1.0, 0.0, 4.0];
    let y = evaluate(&[(&[2, 3], &x), (&[3], &WEIGHT), (&[3], &BIAS)], |g, n| {
        g.layer_norm(n[0], n[1], n[2], EPSILON).expect("a norm")
    });
    let expected: Vec<_> = x
        .chunks(3)
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / 3.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            let value =
                |c: usize| (row[c] - mean) / (variance + EPSILON).sqrt() * WEIGHT[c] + BIAS[c];
            [0, 1, 2].map(value)
        })
        .collect();
    assert_close(&y, &expected);
}

#[test]
fn cross_entropy_by_hand() {
    // Two samples, an axis of 3 and one of 2. The second sample has two
    // targets on the first axis and none on the second.
    let y = [1.0, 2.0, 0.5, -1.0, 1.0, 0.0, 0.0, 3.0, 2.0, 2.0];
    let t = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
    let found = evaluate(&[(&[2, 5], &y), (&[2, 5], &t)], |g, x| {
        g.axis_cross_entropy(x[0], x[1], &[3, 2]).expect("a loss")
    });
    let log_sum = |v: &[f64]| v.iter().map(|v| v.exp()).sum::<f64>().ln();
    let first = log_sum(&y[..3]) - 2.0;
    let second = log_sum(&y[5..8]) - (0.0 + 3.0) / 2.0;
    let columns = log_sum(&y[3..5]) + 1.0;
    assert_close(&found, &[(first + second) / 2.0 + columns / 2.0]);
}

#[test]
fn cross_entropy_refuses_axes_that_are_not_there() {
    let graph = Graph::new(DType::F64);
    let x = graph.input("x", DType::F64, &[2, 5]).expect("an input");
    assert!(graph.axis_cross_entropy(x, x, &[]).is_err());
    assert!(graph.axis_cross_entropy(x, x, &[3, 3]).is_err());
    // Outputs that no axis covers would count for nothing.
    assert!(graph.axis_cross_entropy(x, x, &[3]).is_err());
    let t = graph.input("t", DType::F64, &[1, 5]).expect("an input");
    assert!(graph.axis_cross_entropy(x, t, &[5]).is_err());
}

#[test]
fn binary_cross_entropy_and_squared_error_by_hand() {
    // Logits far out: a logarithm of a sigmoid would be infinite.
    let y = [0.5, -2.0, 800.0, -800.0];
    let t = [1.0, 0.0, 1.0, 0.25];
    let inputs: [(&[usize], &[f64]); 2] = [(&[2, 2], &y), (&[2, 2], &t)];
    let found = evaluate(&inputs, |g, x| g.binary_cross_entropy(x[0], x[1]).expect("a loss"));
    let sigmoid = |y: f64| 1.0 / (1.0 + (-y).exp());
    let expected = [-sigmoid(0.5).ln(), -(1.0 - sigmoid(-2.0)).ln(), 0.0, 200.0];
    assert_close(&found, &[expected.iter().sum::<f64>() / 4.0]);
    let found = evaluate(&inputs, |g, x| g.mean_squared_error(x[0], x[1]).expect("a loss"));
    let expected: f64 = y.iter().zip(t).map(|(y, t)| (y - t).powi(2)).sum();
    assert_close(&found, &[expected / 4.0]);
}

#[test]
fn means_of_nothing_one_and_many() {
    let x: [(&[usize], &[f64]); 1] = [(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0])];
    assert_close(&evaluate(&x, |g, x| g.mean(x[0], &[1]).expect("a node")), &[2.0, 6.0]);
    assert_close(&evaluate(&x, |g, x| g.mean(x[0], &[]).expect("a node")), x[0].1);
    assert_close(&evaluate(&x, |g, x| g.mean_all(x[0]).expect("a node")), &[4.0]);
    let empty: [(&[usize], &[f64]); 1] = [(&[0, 3], &[])];
    let mean = evaluate(&empty, |g, x| g.mean(x[0], &[0]).expect("a node"));
    assert!(mean.iter().all(|v| v.is_nan()), "{mean:?}");
}
