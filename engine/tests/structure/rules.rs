//! Each rule, on scenes of every kind.

use crate::{Build, Scene, same, scenes, work};
use speck_engine::ops::{AveragePool2d, Window};
use speck_engine::{Graph, GraphError, NodeId, RunningStatistics};

fn everywhere(build: Build) {
    scenes().into_iter().for_each(|scene| same(scene, build));
}

fn flat(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
    graph.flatten_from(x, 1)
}

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

#[test]
fn what_has_no_rule_is_written_out() {
    everywhere(|g, x, _| g.softmax(x, 3));
}

#[test]
fn pointwise_and_per_channel() {
    everywhere(|g, x, parameter| {
        let x = g.mul(x, parameter(&[1, 3, 1, 1]))?;
        let x = g.add(parameter(&[3, 1, 1]), x)?;
        let y = g.tanh(x)?;
        let z = g.scale(y, 0.5)?;
        g.select(g.greater(y, z)?, x, g.sub(y, x)?)
    });
}

#[test]
fn what_is_not_finite_beyond_the_border() {
    everywhere(|g, x, _| {
        let x = g.offset(x, 0.5)?;
        g.div(g.log(x)?, g.sqrt(x)?)
    });
}

#[test]
fn position_dependent_constants() {
    everywhere(|g, x, parameter| {
        let x = g.mul(x, parameter(&[1, 1, 20, 18]))?;
        let x = g.add(x, parameter(&[3, 20, 1]))?;
        let column = parameter(&[1, 1, 1, 18]);
        let place = g.expand(column, &[3, 1, 20, 18])?;
        let x = g.mul(x, place)?;
        let more = g.expand(parameter(&[1, 2, 20, 18]), &[3, 2, 20, 18])?;
        let all = g.concat(&[x, more], 1)?;
        g.conv2d(all, parameter(&[2, 5, 3, 3]), PADDED)
    });
}

#[test]
fn a_constant_of_its_own_for_each_sample() {
    everywhere(|g, x, parameter| g.mul(x, parameter(&[3, 1, 1, 1])));
    everywhere(|g, x, parameter| g.mul(x, parameter(&[3, 1, 20, 1])));
}

#[test]
fn convolution_of_every_kind() {
    everywhere(|g, x, parameter| g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED));
    everywhere(|g, x, parameter| g.conv2d(x, parameter(&[4, 3, 1, 1]), Window::default()));
    everywhere(|g, x, parameter| {
        let window = Window { padding: [2, 0], ..Window::default() };
        g.conv2d(x, parameter(&[2, 3, 5, 2]), window)
    });
    everywhere(|g, x, parameter| {
        let window = Window { stride: [2, 3], padding: [1, 2], dilation: [2, 1], groups: 1 };
        let x = g.conv2d(x, parameter(&[4, 3, 3, 4]), window)?;
        g.conv2d(x, parameter(&[2, 4, 2, 2]), Window { stride: [2, 1], ..PADDED })
    });
    everywhere(|g, x, parameter| {
        let x = g.conv2d(x, parameter(&[6, 1, 3, 3]), Window { groups: 3, ..PADDED })?;
        g.conv2d(x, parameter(&[4, 3, 3, 3]), Window { groups: 2, ..PADDED })
    });
}

#[test]
fn pooling_of_every_kind() {
    everywhere(|g, x, _| g.max_pool2d(x, [2, 2], [2, 2], [0, 0]));
    everywhere(|g, x, parameter| {
        let x = g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED)?;
        let x = g.max_pool2d(x, [3, 2], [2, 2], [1, 0])?;
        let x = g.relu(x)?;
        g.max_pool2d(x, [2, 2], [1, 2], [0, 1])
    });
    everywhere(|g, x, parameter| {
        let x = g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED)?;
        let pool = AveragePool2d {
            kernel: [3, 2],
            stride: [2, 2],
            padding: [1, 1],
            ..AveragePool2d::default()
        };
        let x = g.average_pool2d(x, pool)?;
        g.average_pool2d(x, AveragePool2d { count_padding: false, ..pool })
    });
}

#[test]
fn a_small_network_with_linear_head() {
    everywhere(|g, x, parameter| {
        let x = g.relu(g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED)?)?;
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        let x = g.relu(g.conv2d(x, parameter(&[5, 4, 3, 3]), PADDED)?)?;
        g.matmul_with(flat(g, x)?, parameter(&[6, 450]), false, true)
    });
    everywhere(|g, x, parameter| g.matmul(flat(g, x)?, parameter(&[1080, 6])));
}

#[test]
fn residual_blocks_with_exact_batch_norm() {
    everywhere(|g, x, parameter| {
        let norm = |x| {
            let channels = [g.shape(x)[1]];
            let mean = parameter(&channels);
            let variance = parameter(&channels);
            let running = RunningStatistics { mean, variance, momentum: 0.1 };
            g.batch_norm(x, parameter(&channels), parameter(&channels), running, 1e-5)
        };
        let x = norm(g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED)?)?;
        let x = g.relu(x)?;
        let y = g.relu(norm(g.conv2d(x, parameter(&[4, 4, 3, 3]), PADDED)?)?)?;
        let y = norm(g.conv2d(y, parameter(&[4, 4, 3, 3]), PADDED)?)?;
        let x = g.relu(g.add(x, y)?)?;
        let x = g.concat(&[x, y], 1)?;
        g.mean(x, &[2, 3])
    });
}

#[test]
fn sums_over_planes() {
    everywhere(|g, x, parameter| {
        let x = g.conv2d(x, parameter(&[4, 3, 3, 3]), PADDED)?;
        g.sum(g.flatten_from(x, 2)?, &[2])
    });
    everywhere(|g, x, _| g.sum(g.square(x)?, &[0, 2, 3]));
}

#[test]
fn the_work_is_that_of_what_differs() {
    let scene =
        Scene { samples: 16, slots: 1, backgrounds: 1, size: 1, screen: [64, 64], faded: false };
    let network: Build = |g, x, parameter| {
        let x = g.relu(g.conv2d(x, parameter(&[8, 3, 3, 3]), PADDED)?)?;
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        let x = g.relu(g.conv2d(x, parameter(&[16, 8, 3, 3]), PADDED)?)?;
        g.matmul_with(flat(g, x)?, parameter(&[128, 16 * 1024]), false, true)
    };
    let one = work(scene, network);
    assert!(one < 0.2, "{one}");
    // A background of its own for each sample costs little more.
    let own = work(Scene { backgrounds: 16, ..scene }, network);
    assert!(own < 0.25, "{own}");
}
