//! Many specks a sample, of every size, overlapping and over the border.

use crate::{Build, Scene, notes, same};
use speck_engine::RunningStatistics;
use speck_engine::ops::Window;
use speck_engine::structure::Held;

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

#[test]
fn up_to_sixteen_specks_of_one_to_nine_pixels() {
    let plain =
        Scene { samples: 2, slots: 1, backgrounds: 1, size: 1, screen: [30, 26], faded: false };
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

#[test]
fn specks_that_fade_toward_their_edge() {
    let plain =
        Scene { samples: 3, slots: 1, backgrounds: 1, size: 9, screen: [30, 26], faded: true };
    for (slots, size, backgrounds) in [(1, 9, 1), (4, 5, 1), (16, 3, 3)] {
        let scene = Scene { slots, size, backgrounds, ..plain };
        let network: Build = |g, x, p| {
            let x = g.tanh(g.conv2d(x, p(&[4, 3, 3, 3]), PADDED)?)?;
            g.dsnt(g.conv2d(x, p(&[2, 4, 3, 3]), PADDED)?)
        };
        same(scene, network);
        for note in notes(scene, network) {
            assert!(note.held != Held::Densified, "{scene:?}: {note}");
        }
    }
}
