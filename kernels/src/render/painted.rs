//! Drawing as a painter does: the whole background first, then the specks in
//! order, each over what is there. The cost is that of filling memory, plus
//! the specks' own pixels.

use super::RenderShape;
use crate::Real;
use crate::parallel::{GRAIN, Shared, for_parts};

pub(super) fn render<T: Real>(
    shape: &RenderShape,
    positions: &[i32],
    colours: &[T],
    background: &[T],
    out: &mut [T],
) {
    shape.check(positions.len(), colours.len(), out.len());
    shape.check_background(background.len());
    let RenderShape { specks, channels, width, .. } = *shape;
    let pixels = shape.plane();
    let target = Shared::new(out);
    for_parts(shape.samples * channels, GRAIN / pixels.max(1), |range| {
        for plane in range {
            let (sample, channel) = (plane / channels, plane % channels);
            // SAFETY: planes lie in `out` and do not overlap.
            let screen = unsafe { target.part(plane * pixels..(plane + 1) * pixels) };
            screen.fill(background[shape.background(sample) + channel]);
            for speck in 0..specks {
                let Some(position) = shape.position(positions, sample, speck) else {
                    continue;
                };
                let colour = colours[(sample * specks + speck) * channels + channel];
                let [rows, columns] = shape.window(position);
                for row in rows {
                    screen[row * width..][columns.clone()].fill(colour);
                }
            }
        }
    });
}

pub(super) fn unrender<T: Real>(
    shape: &RenderShape,
    positions: &[i32],
    image: &[T],
    out: &mut [T],
) {
    shape.check(positions.len(), out.len(), image.len());
    let RenderShape { specks, channels, width, .. } = *shape;
    let pixels = shape.plane();
    let target = Shared::new(out);
    // Every pixel of a speck asks the later specks.
    let cost = specks * specks * shape.size.saturating_mul(shape.size).min(pixels);
    for_parts(shape.samples, GRAIN / (cost * channels).max(1), |range| {
        for sample in range {
            let length = specks * channels;
            // SAFETY: the parts of different samples lie in `out` and do not
            // overlap.
            let sums = unsafe { target.part(sample * length..(sample + 1) * length) };
            sums.fill(T::zero());
            let screens = &image[sample * channels * pixels..][..channels * pixels];
            let window =
                |speck| shape.position(positions, sample, speck).map(|at| shape.window(at));
            for speck in 0..specks {
                let Some([rows, columns]) = window(speck) else { continue };
                for row in rows {
                    for column in columns.clone() {
                        let covered =
                            (speck + 1..specks).filter_map(window).any(|[rows, columns]| {
                                rows.contains(&row) && columns.contains(&column)
                            });
                        if !covered {
                            for channel in 0..channels {
                                sums[speck * channels + channel] +=
                                    screens[channel * pixels + row * width + column];
                            }
                        }
                    }
                }
            }
        }
    });
}
