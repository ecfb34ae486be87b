//! Rules that lead from maps to numbers, and losses on maps.

use crate::{Build, Scene, everywhere, same, work, written_out};
use speck_engine::ops::Window;
use speck_engine::{Graph, GraphError, NodeId, RunningStatistics};

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

type Parameter<'a> = &'a dyn Fn(&[usize]) -> NodeId;

fn heat(g: &Graph, x: NodeId, p: Parameter<'_>) -> Result<NodeId, GraphError> {
    let x = g.tanh(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)?;
    g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
}

#[test]
fn global_pooling() {
    everywhere(|g, x, p| g.global_average_pool(heat(g, x, p)?));
    everywhere(|g, x, p| g.global_max_pool(heat(g, x, p)?));
    everywhere(|g, x, p| g.mean(heat(g, x, p)?, &[1, 2, 3]));
    everywhere(|g, x, p| g.mean_all(g.square(heat(g, x, p)?)?));
}

#[test]
fn global_max_pooling_takes_the_first_of_equals() {
    // A layer that begins at zero: the first position is the largest, whether it
    // is a window's or the base's, and only their gradients differ.
    let network: Build = |g, x, p| {
        let x = g.tanh(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)?;
        let weight = p(&[2, 4, 1, 1]);
        let zero = g.sub(weight, g.detach(weight)?)?;
        g.global_max_pool(g.conv2d(x, zero, Window::default())?)
    };
    everywhere(network);
    let large =
        Scene { samples: 8, slots: 1, backgrounds: 1, size: 5, screen: [13, 12], faded: false };
    for (slots, backgrounds, size) in [(1, 1, 5), (1, 8, 3), (3, 1, 5), (16, 8, 1)] {
        same(Scene { slots, backgrounds, size, ..large }, network);
    }
}

#[test]
fn soft_argmax_and_marginals() {
    everywhere(|g, x, p| g.spatial_softmax(heat(g, x, p)?));
    everywhere(|g, x, p| g.dsnt(heat(g, x, p)?));
    everywhere(|g, x, p| g.softmax(heat(g, x, p)?, 1));
    everywhere(|g, x, p| g.sum(heat(g, x, p)?, &[2]));
    everywhere(|g, x, p| g.tanh(g.sum(g.square(heat(g, x, p)?)?, &[3])?));
    // Lines of marginals meet distances from the sample's own mean.
    written_out(&["mul", "mul"], |g, x, p| g.variance_map(heat(g, x, p)?, 0.3));
    // The two lines of marginals are joined in full.
    written_out(&["concat"], |g, x, p| g.log_marginals(heat(g, x, p)?));
}

#[test]
fn losses_on_heat_maps() {
    // Against targets that are specks themselves.
    everywhere(|g, x, p| {
        let target = g.narrow(x, 1, 0, 1, 2)?;
        g.mean_squared_error(heat(g, x, p)?, target)
    });
    everywhere(|g, x, p| {
        let target = g.narrow(x, 1, 0, 1, 2)?;
        g.binary_cross_entropy(heat(g, x, p)?, target)
    });
    everywhere(|g, x, p| {
        let target = g.flatten_from(g.narrow(x, 1, 0, 1, 2)?, 1)?;
        let log = g.log_softmax(g.flatten_from(heat(g, x, p)?, 1)?, 1)?;
        g.sum_all(g.mul(log, target)?)
    });
}

#[test]
fn linear_layers_on_any_order_of_the_map() {
    everywhere(|g, x, p| {
        let x = g.permute(heat(g, x, p)?, &[0, 2, 3, 1])?;
        g.matmul(g.flatten_from(x, 1)?, p(&[720, 5]))
    });
    everywhere(|g, x, p| {
        let x = g.permute(heat(g, x, p)?, &[2, 3, 1, 0])?;
        let x = g.permute(g.reshape(x, &[720, 3])?, &[1, 0])?;
        g.matmul(g.tanh(x)?, p(&[720, 5]))
    });
}

#[test]
fn patch_embedding() {
    // 20 × 18 in patches of 4 × 3 as rows of a matrix, a place each, a norm.
    everywhere(|g, x, p| {
        let split = g.reshape(x, &[3, 3, 5, 4, 6, 3])?;
        let ordered = g.permute(split, &[0, 2, 4, 1, 3, 5])?;
        let rows = g.reshape(ordered, &[90, 36])?;
        let tokens = g.add(g.matmul_with(rows, p(&[8, 36]), false, true)?, p(&[8]))?;
        let tokens = g.reshape(tokens, &[3, 30, 8])?;
        let tokens = g.add(tokens, p(&[1, 30, 8]))?;
        let tokens = g.layer_norm(tokens, p(&[8]), p(&[8]), 1e-2)?;
        let rows = g.reshape(tokens, &[90, 8])?;
        let rows = g.tanh(g.matmul(rows, p(&[8, 4]))?)?;
        g.mean(g.reshape(rows, &[3, 30, 4])?, &[1])
    });
}

/// A net with batch norm and a readout of its heat map.
fn with_head(
    g: &Graph,
    x: NodeId,
    p: Parameter<'_>,
    head: fn(&Graph, NodeId) -> Result<NodeId, GraphError>,
) -> Result<NodeId, GraphError> {
    let mut x = x;
    for out in [16, 16, 16] {
        let channels = g.shape(x)[1];
        x = g.conv2d(x, p(&[out, channels, 3, 3]), PADDED)?;
        let running = RunningStatistics { mean: p(&[out]), variance: p(&[out]), momentum: 0.1 };
        x = g.relu(g.batch_norm(x, p(&[out]), p(&[out]), running, 1e-5)?)?;
    }
    head(g, g.conv2d(x, p(&[1, 16, 1, 1]), Window::default())?)
}

#[test]
fn the_work_does_not_depend_on_the_screen() {
    let heads: [Build; 3] = [
        |g, x, p| with_head(g, x, p, |g, x| g.dsnt(x)),
        |g, x, p| with_head(g, x, p, |g, x| g.global_average_pool(x)),
        |g, x, p| with_head(g, x, p, |g, x| g.global_max_pool(x)),
    ];
    for backgrounds in [1, 16] {
        for head in heads {
            let small = Scene {
                samples: 16,
                slots: 1,
                backgrounds,
                size: 1,
                screen: [64, 64],
                faded: false,
            };
            let large = Scene { screen: [512, 512], ..small };
            let [small, large] = [small, large].map(|scene| crate::flops(scene, head));
            assert!(large < 1.5 * small, "{backgrounds}: {large} instead of {small}");
        }
    }
    let scene =
        Scene { samples: 16, slots: 1, backgrounds: 1, size: 1, screen: [64, 64], faded: false };
    assert!(work(scene, heads[0]) < 0.05);
}
