use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, hash, poisoned, random};

fn shapes() -> Vec<RenderShape> {
    let mut all = Vec::new();
    for (samples, specks) in [(0, 2), (1, 0), (1, 1), (3, 4), (5, 9)] {
        for (height, width) in [(1, 1), (5, 7), (17, 4), (0, 3)] {
            for size in [0, 1, 2, 3, 30] {
                for backgrounds in [1, samples] {
                    let channels = if size == 2 { 1 } else { 3 };
                    all.push(RenderShape {
                        samples,
                        specks,
                        backgrounds,
                        channels,
                        height,
                        width,
                        size,
                    });
                }
            }
        }
    }
    all.push(RenderShape {
        samples: 8,
        specks: 6,
        backgrounds: 8,
        channels: 3,
        height: 64,
        width: 64,
        size: 2,
    });
    all
}

/// Positions on, across and beyond the edges; crowded, so that specks overlap;
/// some slots empty, some at the ends of `i32`.
fn positions(shape: &RenderShape) -> Vec<i32> {
    let slots = shape.samples * shape.specks;
    let within = |i: u64, length: usize| (hash(i) % (length as u64 + 6)) as i32 - 3;
    let position = |slot: usize| match slot % 11 {
        4 => [-1, -1],
        8 => [-1, 2],
        9 => [i32::MAX, i32::MIN],
        _ => [within(2 * slot as u64, shape.height), within(2 * slot as u64 + 1, shape.width)],
    };
    (0..slots).flat_map(position).collect()
}

/// The pixels `(sample, row, column)` with the speck seen there, drawn speck
/// by speck over a list of owners.
fn owners(shape: &RenderShape, positions: &[i32]) -> Vec<Option<usize>> {
    let mut owners = vec![None; shape.samples * shape.plane()];
    for (slot, position) in positions.chunks_exact(2).enumerate() {
        if position == [-1, -1] {
            continue;
        }
        let (sample, speck) = (slot / shape.specks, slot % shape.specks);
        for i in 0..shape.size as i64 {
            for j in 0..shape.size as i64 {
                let (row, column) = (i64::from(position[0]) + i, i64::from(position[1]) + j);
                let inside = (0..shape.height as i64).contains(&row)
                    && (0..shape.width as i64).contains(&column);
                if inside {
                    let pixel = row as usize * shape.width + column as usize;
                    owners[sample * shape.plane() + pixel] = Some(speck);
                }
            }
        }
    }
    owners
}

fn matches<T: Real>() {
    for shape in shapes() {
        let RenderShape { samples, specks, backgrounds, channels, .. } = shape;
        let plane = shape.plane();
        let positions = positions(&shape);
        let owners = owners(&shape, &positions);
        let colours = random::<T>(1, samples * specks * channels, 0.0, 1.0);
        let background = random::<T>(2, backgrounds * channels, 0.0, 1.0);
        let image = random::<T>(3, samples * channels * plane, -1.0, 1.0);
        let mut drawn = poisoned::<T>(image.len());
        let mut sums = vec![T::zero(); colours.len()];
        for (pixel, owner) in owners.iter().enumerate() {
            let (sample, at) = (pixel / plane, pixel % plane);
            for channel in 0..channels {
                let here = (sample * channels + channel) * plane + at;
                drawn[here] = match owner {
                    Some(speck) => colours[(sample * specks + speck) * channels + channel],
                    None if backgrounds == 1 => background[channel],
                    None => background[sample * channels + channel],
                };
                if let Some(speck) = owner {
                    sums[(sample * specks + speck) * channels + channel] += image[here];
                }
            }
        }
        for variant in T::variants(&RENDER) {
            let mut out = poisoned::<T>(drawn.len());
            // SAFETY: portable variants.
            unsafe { (variant.run)(&shape, &positions, &colours, &background, &mut out) };
            assert_same(&out, &drawn, &format!("render {} {shape:?}", variant.name));
        }
        for variant in T::variants(&UNRENDER) {
            let mut out = poisoned::<T>(sums.len());
            // SAFETY: portable variants.
            unsafe { (variant.run)(&shape, &positions, &image, &mut out) };
            assert_same(&out, &sums, &format!("unrender {} {shape:?}", variant.name));
        }
    }
}

#[test]
fn every_variant_draws_the_same() {
    matches::<f32>();
    matches::<f64>();
}

#[test]
fn unrender_is_the_adjoint_in_the_colours() {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for shape in shapes() {
        let positions = positions(&shape);
        let n = shape.samples * shape.specks * shape.channels;
        let colours = random::<f64>(4, n, -1.0, 1.0);
        // On black, drawing is linear in the colours.
        let background = vec![0.0; shape.backgrounds * shape.channels];
        let image = random::<f64>(5, shape.samples * shape.channels * shape.plane(), -1.0, 1.0);
        for (render, unrender) in RENDER.f64.iter().zip(UNRENDER.f64) {
            let (mut drawn, mut sums) = (poisoned(image.len()), poisoned(n));
            // SAFETY: portable variants.
            unsafe {
                (render.run)(&shape, &positions, &colours, &background, &mut drawn);
                (unrender.run)(&shape, &positions, &image, &mut sums);
            }
            let (got, want) = (dot(&colours, &sums), dot(&drawn, &image));
            assert_close(&[got], &[want], 1e-12, 1e-12, &format!("{} {shape:?}", render.name));
        }
    }
}

#[test]
fn a_later_speck_owns_what_it_covers() {
    let shape = RenderShape {
        samples: 1,
        specks: 2,
        backgrounds: 1,
        channels: 1,
        height: 3,
        width: 3,
        size: 2,
    };
    let positions = [0, 0, 1, 1];
    let image = [1.0f32, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
    for variant in RENDER.f32 {
        let mut out = poisoned::<f32>(9);
        // SAFETY: portable variants.
        unsafe { (variant.run)(&shape, &positions, &[0.5, 0.25], &[0.0], &mut out) };
        assert_eq!(out, [0.5, 0.5, 0.0, 0.5, 0.25, 0.25, 0.0, 0.25, 0.25]);
    }
    for variant in UNRENDER.f32 {
        let mut out = poisoned::<f32>(2);
        // SAFETY: portable variants.
        unsafe { (variant.run)(&shape, &positions, &image, &mut out) };
        assert_eq!(out, [11.0, 432.0]);
    }
}

#[test]
fn targets_mark_the_centres() {
    let shape = RenderShape {
        samples: 2,
        specks: 3,
        backgrounds: 1,
        channels: 3,
        height: 4,
        width: 5,
        size: 3,
    };
    // Centres (1, 3), (0, 4) (cut off above), an empty slot; then one beyond
    // the right edge, one beyond the lower, one far away.
    let positions = [0, 2, -1, 3, -1, -1, 0, 4, 3, 0, i32::MAX, i32::MIN];
    for variant in SPECK_TARGETS.f32 {
        let mut out = poisoned::<f32>(18);
        // SAFETY: a portable variant.
        unsafe { (variant.run)(&shape, &positions, &mut out) };
        let first = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        let second = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(out, [first, second].concat());
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = RenderShape {
        samples: 64,
        specks: 6,
        backgrounds: 64,
        channels: 3,
        height: 64,
        width: 64,
        size: 20,
    };
    let positions = positions(&shape);
    let work = || {
        let colours = random::<f32>(6, 64 * 6 * 3, 0.0, 1.0);
        let background = random::<f32>(7, 64 * 3, 0.0, 1.0);
        let mut drawn = poisoned(64 * 3 * 64 * 64);
        let mut sums = poisoned(colours.len());
        painted::render(&shape, &positions, &colours, &background, &mut drawn);
        painted::unrender(&shape, &positions, &drawn, &mut sums);
        [drawn, sums]
    };
    let [one, two] = on_one_and_two_threads(work);
    for (one, two) in one.iter().zip(&two) {
        assert_same(two, one, "2 threads");
    }
}
