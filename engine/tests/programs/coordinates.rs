//! Coordinates out of heat maps against the same computed by hand.

use crate::{assert_close, evaluate};
use speck_engine::{Divergence, Graph, HeatRegularizer, NodeId};

/// A map of two rows and three columns.
const HEAT: [f64; 6] = [0.3, -1.2, 2.0, 0.7, 0.1, -0.4];
const CENTRE: [f64; 2] = [-0.3, 0.4];
const DEVIATION: f64 = 0.6;

fn normalized(exponents: impl Iterator<Item = f64>) -> Vec<f64> {
    let weights: Vec<_> = exponents.map(f64::exp).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Row and column of each pixel: rows at ±1/2, columns at -2/3, 0, 2/3.
fn positions() -> Vec<[f64; 2]> {
    let column = |j: i32| f64::from(j - 1) * 2.0 / 3.0;
    (0..6).map(|i| [f64::from(i / 3) - 0.5, column(i % 3)]).collect()
}

fn mean(probability: &[f64], axis: usize) -> f64 {
    positions().iter().zip(probability).map(|(at, p)| at[axis] * p).sum()
}

fn gaussian() -> Vec<f64> {
    let square = |at: &[f64; 2]| (at[0] - CENTRE[0]).powi(2) + (at[1] - CENTRE[1]).powi(2);
    normalized(positions().iter().map(|at| -square(at) / (2.0 * DEVIATION * DEVIATION)))
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

fn on_map(build: impl Fn(&Graph, NodeId, NodeId) -> NodeId) -> Vec<f64> {
    let inputs: [(&[usize], &[f64]); 2] = [(&[1, 1, 2, 3], &HEAT), (&[1, 1, 2], &CENTRE)];
    evaluate(&inputs, |graph, x| build(graph, x[0], x[1]))
}

#[test]
fn maps_by_hand() {
    let p = normalized(HEAT.into_iter());
    let q = gaussian();
    let found = on_map(|graph, heat, _| graph.dsnt(heat).expect("coordinates"));
    assert_close(&found, &[mean(&p, 0), mean(&p, 1)]);

    let found = on_map(|graph, heat, _| graph.log_marginals(heat).expect("marginals"));
    let row = |i: usize| p[i * 3..i * 3 + 3].iter().sum::<f64>().ln();
    let column = |j: usize| (p[j] + p[j + 3]).ln();
    assert_close(&found, &[row(0), row(1), column(0), column(1), column(2)]);

    let found = on_map(|graph, _, centre| {
        graph.gaussian_log_map(centre, &[2, 3], DEVIATION).expect("a Gaussian")
    });
    assert_close(&found, &q.iter().map(|q| q.ln()).collect::<Vec<_>>());

    let found = on_map(|graph, heat, centre| {
        graph.kullback_leibler_map(heat, centre, DEVIATION).expect("a divergence")
    });
    assert_close(&found, &[divergence(&p, &q)]);

    let found = on_map(|graph, heat, centre| {
        graph.jensen_shannon_map(heat, centre, DEVIATION).expect("a divergence")
    });
    let middle: Vec<_> = p.iter().zip(&q).map(|(p, q)| (p + q) / 2.0).collect();
    assert_close(&found, &[(divergence(&p, &middle) + divergence(&q, &middle)) / 2.0]);

    let found = on_map(|graph, heat, _| graph.variance_map(heat, DEVIATION).expect("a variance"));
    let variance = |axis: usize| {
        let square = |at: &[f64; 2]| (at[axis] - mean(&p, axis)).powi(2);
        positions().iter().zip(&p).map(|(at, p)| square(at) * p).sum::<f64>()
    };
    let wanted = |axis| (variance(axis) - DEVIATION * DEVIATION).powi(2);
    assert_close(&found, &[wanted(0) + wanted(1)]);
}

/// Two samples on axes of two and three; the second has no target column.
const OUTPUTS: [f64; 10] = [0.3, -1.2, 2.0, 0.7, 0.1, -0.4, 1.1, 0.2, -0.9, 0.5];
const TARGETS: [f64; 10] = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];

fn loss(regularizer: Option<HeatRegularizer>) -> f64 {
    let inputs: [(&[usize], &[f64]); 2] = [(&[2, 5], &OUTPUTS), (&[2, 5], &TARGETS)];
    evaluate(&inputs, |graph, x| {
        graph.coordinate_loss(x[0], x[1], &[2, 3], regularizer).expect("a loss")
    })[0]
}

#[test]
fn coordinate_loss_by_hand() {
    let rows = [-0.5, 0.5];
    let columns = [-2.0 / 3.0, 0.0, 2.0 / 3.0];
    // Of each axis with a target: its outputs, its positions, the mean target.
    let lines: [(&[f64], &[f64], f64); 3] = [
        (&OUTPUTS[0..2], &rows, -0.5),
        (&OUTPUTS[2..5], &columns, 1.0 / 3.0),
        (&OUTPUTS[5..7], &rows, 0.5),
    ];
    let mut plain = 0.0;
    let mut variances = 0.0;
    let mut divergences = 0.0;
    for (outputs, positions, target) in lines {
        let p = normalized(outputs.iter().copied());
        let mean: f64 = p.iter().zip(positions).map(|(p, at)| p * at).sum();
        plain += (mean - target).powi(2) / 2.0;
        let variance: f64 = p.iter().zip(positions).map(|(p, at)| p * (at - mean).powi(2)).sum();
        variances += (variance - DEVIATION * DEVIATION).powi(2) / 2.0;
        let square = |at: &f64| (at - target).powi(2) / (2.0 * DEVIATION * DEVIATION);
        let q = normalized(positions.iter().map(|at| -square(at)));
        divergences += divergence(&p, &q) / 2.0;
    }
    let with =
        |divergence| loss(Some(HeatRegularizer { divergence, weight: 0.25, deviation: DEVIATION }));
    assert_close(&[loss(None)], &[plain]);
    assert_close(&[with(Divergence::Variance)], &[plain + 0.25 * variances]);
    assert_close(&[with(Divergence::KullbackLeibler)], &[plain + 0.25 * divergences]);
    let between = with(Divergence::JensenShannon) - plain;
    assert!(between > 0.0 && between < 0.25 * divergences, "{between}");
}

#[test]
fn what_is_no_map_is_refused() {
    let graph = Graph::new(speck_engine::DType::F64);
    let flat = graph.input("flat", graph.float(), &[2, 5]).expect("an input");
    let maps = graph.input("maps", graph.float(), &[2, 1, 2, 3]).expect("an input");
    let centre = graph.input("centre", graph.float(), &[2, 1, 2]).expect("an input");
    assert!(graph.dsnt(flat).is_err());
    assert!(graph.log_marginals(flat).is_err());
    assert!(graph.coordinates(flat, &[2, 2]).is_err());
    assert!(graph.coordinates(flat, &[]).is_err());
    assert!(graph.coordinate_loss(flat, maps, &[2, 3], None).is_err());
    assert!(graph.kullback_leibler_map(maps, flat, 1.0).is_err());
    assert!(graph.kullback_leibler_map(maps, centre, 0.0).is_err());
    assert!(graph.kullback_leibler_map(maps, centre, f64::NAN).is_err());
}
