//! Many specks a sample, of every size, overlapping and over the border.

use crate::{Scene, same};
use speck_engine::RunningStatistics;
use speck_engine::ops::Window;

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

#[test]
fn up_to_sixteen_specks_of_one_to_nine_pixels() {
    let plain = Scene { samples: 2, slots: 1, backgrounds: 1, size: 1, screen: [30, 26] };
    for (slots, size) in [(16, 1), (1, 9), (4, 5), (16, 9)] {
        for backgrounds in [1, 2] {
            same(Scene { slots, size, backgrounds, ..plain }, |g, x, p| {
                let x = g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?;
                let running = RunningStatistics { mean: p(&[4]), variance: p(&[4]), momentum: 0.1 };
                let x = g.batch_norm(x, p(&[4]), p(&[4]), running, 1e-5)?;
                let x = g.max_pool2d(g.relu(x)?, [2, 2], [2, 2], [0, 0])?;
                let x = g.tanh(g.conv2d(x, p(&[3, 4, 3, 3]), PADDED)?)?;
                g.matmul_with(g.flatten_from(x, 1)?, p(&[5, 585]), false, true)
            });
        }
    }
}

/// Specks that fade toward their edge: a weight a place of a speck's own, which
/// is laid over the background in rings of smaller specks of one centre.
#[test]
fn specks_that_fade_toward_their_edge() {
    let plain = Scene { samples: 2, slots: 3, backgrounds: 1, size: 5, screen: [30, 26] };
    same(plain, |g, x, p| {
        // Blurring by a fixed kernel makes specks fall off; it is an ordinary
        // convolution of each channel.
        let blur: Vec<f64> = (0..3 * 25)
            .map(|i| {
                (-0.5 * f64::from((i % 5 - 2) * (i % 5 - 2) + (i / 5 % 5 - 2) * (i / 5 % 5 - 2)))
                    .exp()
            })
            .collect();
        let ty = speck_engine::TensorType::new(g.float(), &[3, 1, 5, 5]);
        let blur = g.constant(speck_engine::Tensor::new(&ty, &blur))?;
        let window = Window { padding: [2, 2], groups: 3, ..Window::default() };
        let x = g.conv2d(x, blur, window)?;
        g.tanh(g.conv2d(x, p(&[2, 3, 3, 3]), PADDED)?)
    });
}
