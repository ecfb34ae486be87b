use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, hash, poisoned, random};

/// What `run` writes with each fast variant, against what `plain` writes.
fn compare<S: Signature>(
    kernel: &'static Kernel<S>,
    length: usize,
    run: impl Fn(S::Run<f32>, &mut [f32]) + Sync,
) {
    let [fast @ .., scalar] = kernel.f32 else { panic!("no variants") };
    let mut want = poisoned(length);
    run(scalar.run, &mut want);
    assert!(want.iter().all(|value| !value.is_nan()));
    for variant in fast.iter().filter(|variant| variant.isa.supported().is_ok()) {
        let results = on_one_and_two_threads(|| {
            let mut out = poisoned(length);
            run(variant.run, &mut out);
            out
        });
        assert_close(&results[0], &want, 1e-6, 5e-5, kernel.name);
        assert_same(&results[1], &results[0], "two threads");
    }
}

#[test]
fn tiles_and_their_adjoints_are_those_of_the_plain_loops() {
    for (samples, channels) in [(0, 3), (1, 1), (3, 2), (3, 17), (40, 64), (70, 150)] {
        for (slots, tiles) in [(1, 1), (3, 3), (2, 1), (1, 2), (0, 1)] {
            for backgrounds in [1, samples.max(1)] {
                for (size, edge) in [([2, 3], [4, 5]), ([0, 0], [3, 2]), ([3, 1], [3, 1])] {
                    if backgrounds != 1 && backgrounds != samples {
                        continue;
                    }
                    let windows = Windows { samples, slots, channels, size, map: [6, 5] };
                    let classes = [vec![0, 1, 1, 1, 1, 2].into(), vec![0, 1, 1, 1, 0].into()];
                    let negative = samples == 3;
                    let base = [3, 2];
                    let tile =
                        Tile { windows, tiles, size: edge, backgrounds, base, classes, negative };
                    let place = |i: usize, n: u64| (hash(i as u64 + n) % 9) as i32 - 3;
                    let origins: Vec<_> = (0..2 * samples * slots).map(|i| place(i, 5)).collect();
                    let starts: Vec<_> = (0..2 * samples * tiles).map(|i| place(i, 99)).collect();
                    let below = random::<f32>(1, tile.base_elements(), -1.0, 1.0);
                    let patch = random::<f32>(2, tile.windows.elements(), -1.0, 1.0);
                    let x = random::<f32>(3, tile.elements(), -1.0, 1.0);
                    compare(&WINDOW_TILE, tile.elements(), |run, out| {
                        run(&tile, &below, &patch, &origins, &starts, out);
                    });
                    compare(&WINDOW_TILE_PATCH, patch.len(), |run, out| {
                        run(&tile, &x, &origins, &starts, out);
                    });
                    compare(&WINDOW_TILE_BASE, below.len(), |run, out| {
                        let mut scratch = poisoned(base_scratch(&tile));
                        run(&tile, &x, &origins, &starts, out, &mut scratch);
                    });
                }
            }
        }
    }
}

#[test]
fn rectangles_and_their_adjoints_are_those_of_the_plain_loops() {
    for (images, channels) in [(0, 3), (1, 1), (3, 2), (5, 17), (40, 64)] {
        for (kernel, apart) in [([3, 3], false), ([2, 2], true), ([3, 2], true), ([2, 3], false)] {
            // Row 4 and column 3 are beyond the border; or neighbours are read.
            let read = |count: usize, most: u64| {
                let place = |i: u64| if apart { hash(i) % (most + 1) } else { i % (most + 1) };
                (0..2 * count as u64).map(|i| place(i) as u32).collect()
            };
            let reads = [read(kernel[0], 4), read(kernel[1], 3)];
            for negative in [false, true] {
                let reads = reads.clone();
                let picks = Picks { images, image: [4, 3], channels, kernel, reads, negative };
                let x = random::<f32>(3, picks.image_elements(), -1.0, 1.0);
                let rectangles = random::<f32>(4, picks.elements(), -1.0, 1.0);
                compare(&PICKS, rectangles.len(), |run, out| run(&picks, &x, out));
                compare(&PICKS_GRADIENT, x.len(), |run, out| run(&picks, &rectangles, out));
            }
        }
    }
}
