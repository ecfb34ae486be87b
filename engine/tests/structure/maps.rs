//! Rules that lead from maps to maps.

use crate::{everywhere, same, scenes, written_out};
use speck_engine::compositions::{Interpolation, Resampling, Target, TransposedConvolution};
use speck_engine::ops::Window;
use speck_engine::{Graph, GraphError, NodeId, RunningStatistics};

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

fn random(graph: &Graph, shape: &[usize]) -> Result<NodeId, GraphError> {
    let word = |name: &str, size: &[usize]| {
        let ty = speck_engine::TensorType::new(speck_engine::DType::I32, size);
        graph.state_of(name, &ty, speck_engine::Initial::Constant(3.0))
    };
    graph.random_uniform(shape, word("seed", &[2])?, word("step", &[])?)
}

#[test]
fn transposed_convolution_of_every_kind() {
    everywhere(|g, x, p| {
        let form = TransposedConvolution { stride: [2, 2], ..TransposedConvolution::default() };
        g.transposed_convolution2d(x, p(&[3, 4, 2, 2]), Some(p(&[4])), &form)
    });
    everywhere(|g, x, p| {
        let form = TransposedConvolution {
            stride: [2, 3],
            padding: [1, 2],
            output_padding: [1, 0],
            dilation: [1, 2],
            groups: 1,
        };
        let x = g.transposed_convolution2d(x, p(&[3, 4, 3, 4]), None, &form)?;
        g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 2, 2]), Window { stride: [2, 2], ..PADDED })?;
        let form =
            TransposedConvolution { stride: [2, 2], groups: 2, ..TransposedConvolution::default() };
        g.transposed_convolution2d(x, p(&[4, 3, 2, 3]), None, &form)
    });
    everywhere(|g, x, p| {
        let form = TransposedConvolution { padding: [1, 1], ..TransposedConvolution::default() };
        g.transposed_convolution2d(x, p(&[3, 2, 3, 3]), None, &form)
    });
}

fn resized(mode: Interpolation, align_corners: bool, factors: [f64; 2]) -> Resampling {
    let target = Target::Factors { factors: factors.to_vec(), recompute: true };
    Resampling { target, mode, align_corners, antialias: false }
}

#[test]
fn upsampling_nearest_and_bilinear() {
    everywhere(|g, x, _| g.interpolate(x, &resized(Interpolation::Nearest, false, [2.0, 3.0])));
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        let x = g.interpolate(x, &resized(Interpolation::Nearest, false, [2.0, 2.0]))?;
        g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
    });
    everywhere(|g, x, _| g.interpolate(x, &resized(Interpolation::Linear, false, [2.0, 2.0])));
    everywhere(|g, x, p| {
        let x = g.max_pool2d(x, [2, 2], [2, 2], [0, 0])?;
        let x = g.conv2d(x, p(&[4, 3, 1, 1]), Window::default())?;
        let x = g.interpolate(x, &resized(Interpolation::Linear, false, [4.0, 2.0]))?;
        g.tanh(x)
    });
    // Corners on corners: the pace of the two maps is no simple ratio.
    for scene in scenes() {
        same(scene, |g, x, _| g.interpolate(x, &resized(Interpolation::Linear, true, [2.0, 1.5])));
        same(scene, |g, x, _| g.interpolate(x, &resized(Interpolation::Cubic, false, [2.0, 0.5])));
    }
}

#[test]
fn cropping_padding_and_channel_slices() {
    everywhere(|g, x, p| {
        let x = g.narrow(x, 2, 3, 1, 15)?;
        let x = g.narrow(x, 3, 1, 2, 8)?;
        g.conv2d(x, p(&[2, 3, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.embed(x, 2, 2, 1, 24)?;
        let x = g.embed(x, 3, 1, 2, 40)?;
        g.conv2d(x, p(&[2, 3, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        let [a, b] = [g.narrow(x, 1, 0, 1, 2)?, g.narrow(x, 1, 1, 2, 2)?];
        g.mul(a, g.sigmoid(b)?)
    });
}

#[test]
fn a_u_net_joins_windows_of_different_sizes() {
    everywhere(|g, x, p| {
        let layer = |x: NodeId, out: usize| {
            let channels = g.shape(x)[1];
            let y = g.conv2d(x, p(&[out, channels, 3, 3]), PADDED)?;
            g.tanh(g.add(y, p(&[out, 1, 1]))?)
        };
        let first = layer(g.narrow(x, 2, 0, 1, 20)?, 3)?;
        let first = g.embed(first, 3, 0, 1, 20)?;
        let low = layer(g.max_pool2d(first, [2, 2], [2, 2], [0, 0])?, 4)?;
        let form = TransposedConvolution { stride: [2, 2], ..TransposedConvolution::default() };
        let up = g.transposed_convolution2d(low, p(&[4, 3, 2, 2]), None, &form)?;
        let joined = g.concat(&[first, up], 1)?;
        layer(joined, 2)
    });
}

#[test]
fn dense_blocks_join_all_before() {
    everywhere(|g, x, p| {
        let mut all = x;
        for _ in 0..3 {
            let channels = g.shape(all)[1];
            let y = g.relu(g.conv2d(all, p(&[2, channels, 3, 3]), PADDED)?)?;
            all = g.concat(&[all, y], 1)?;
        }
        g.average_pool2d(
            all,
            speck_engine::ops::AveragePool2d {
                kernel: [2, 2],
                stride: [2, 2],
                ..Default::default()
            },
        )
    });
}

#[test]
fn norms_of_every_sample_and_position() {
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[6, 3, 3, 3]), PADDED)?;
        let x = g.group_norm(x, 2, Some(p(&[6])), Some(p(&[6])), 1e-3)?;
        g.conv2d(x, p(&[2, 6, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        let x = g.instance_norm(x, Some(p(&[4])), Some(p(&[4])), 1e-3)?;
        g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
    });
    // Layer norm over the channels of each position, channels first and last.
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[6, 3, 3, 3]), PADDED)?;
        let x = g.standardize(x, &[1], 1e-2)?;
        g.conv2d(x, p(&[2, 6, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[6, 3, 3, 3]), PADDED)?;
        let x = g.permute(x, &[0, 2, 3, 1])?;
        let x = g.layer_norm(x, p(&[6]), p(&[6]), 1e-2)?;
        let x = g.matmul(x, p(&[6, 5]))?;
        let x = g.permute(x, &[0, 3, 1, 2])?;
        g.conv2d(x, p(&[2, 5, 3, 3]), PADDED)
    });
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[3, 3, 3, 3]), PADDED)?;
        g.layer_norm_over(x, &[3, 20, 18], None, None, 1e-3)
    });
}

#[test]
fn batch_norm_with_running_statistics() {
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        let variance = g.square(p(&[4]))?;
        let running = RunningStatistics { mean: p(&[4]), variance, momentum: 0.1 };
        let x = g.batch_norm_evaluation(x, p(&[4]), p(&[4]), running, 1e-2)?;
        g.conv2d(g.relu(x)?, p(&[2, 4, 3, 3]), PADDED)
    });
}

#[test]
fn coordinates_as_channels() {
    everywhere(|g, x, p| {
        // Rows and columns from -1 to 1, the same for all samples.
        let line = |size: usize| (0..size).map(move |i| 2.0 * i as f64 / (size - 1) as f64 - 1.0);
        let ty = |shape: &[usize]| speck_engine::TensorType::new(g.float(), shape);
        let rows: Vec<_> = line(20).collect();
        let rows = g.constant(speck_engine::Tensor::new(&ty(&[1, 1, 20, 1]), &rows))?;
        let columns: Vec<_> = line(18).collect();
        let columns = g.constant(speck_engine::Tensor::new(&ty(&[1, 1, 1, 18]), &columns))?;
        let [rows, columns] = [rows, columns].map(|x| g.expand(x, &[3, 1, 20, 18]));
        let x = g.concat(&[x, rows?, columns?], 1)?;
        let x = g.tanh(g.conv2d(x, p(&[4, 5, 3, 3]), PADDED)?)?;
        g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
    });
}

#[test]
fn patches_by_a_convolution_of_their_own_stride() {
    everywhere(|g, x, p| {
        let window = Window { stride: [4, 3], ..Window::default() };
        let x = g.add(g.conv2d(x, p(&[8, 3, 4, 3]), window)?, p(&[8, 1, 1]))?;
        let tokens = g.permute(g.flatten_from(x, 2)?, &[0, 2, 1])?;
        let tokens = g.layer_norm(tokens, p(&[8]), p(&[8]), 1e-2)?;
        g.mean(g.tanh(g.matmul(tokens, p(&[8, 4]))?)?, &[1])
    });
}

#[test]
fn dropout_of_channels_and_of_elements() {
    everywhere(|g, x, p| {
        let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
        let kept = g.greater_equal(random(g, &[3, 4, 1, 1])?, g.scalar(0.4)?)?;
        let x = g.mul(x, g.scale(kept, 1.0 / 0.6)?)?;
        g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)
    });
    // A mask of its own for each position differs everywhere.
    written_out(&["mul"], |g, x, _| {
        let kept = g.greater_equal(random(g, &[3, 3, 20, 18])?, g.scalar(0.4)?)?;
        g.mul(x, kept)
    });
}

#[test]
fn locally_connected_layers() {
    // y[o] = Σ over channels and taps of w[o, c, tap, place] x[c, place + tap].
    everywhere(|g, x, p| {
        let mut sum: Option<NodeId> = None;
        for tap in 0..3 {
            let moved = g.narrow(x, 2, tap, 1, 18)?;
            let moved = g.reshape(moved, &[3, 1, 3, 18, 18])?;
            let each = g.mul(moved, p(&[1, 4, 3, 18, 18]))?;
            let each = g.sum(each, &[2])?;
            sum = Some(match sum {
                Some(sum) => g.add(sum, each)?,
                None => each,
            });
        }
        g.tanh(sum.unwrap_or(x))
    });
}

#[test]
fn what_no_rule_knows_is_written_out_once() {
    written_out(&["softmax"], |g, x, p| {
        let x = g.conv2d(x, p(&[2, 3, 3, 3]), PADDED)?;
        g.tanh(g.softmax(x, 3)?)
    });
}
