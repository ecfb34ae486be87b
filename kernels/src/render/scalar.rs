//! The specification of the drawing kernels: every pixel asks who owns it.

use super::RenderShape;
use crate::Real;

/// The speck seen at a pixel: the last that covers it.
fn owner(
    shape: &RenderShape,
    positions: &[i32],
    sample: usize,
    row: usize,
    column: usize,
) -> Option<usize> {
    (0..shape.specks).rev().find(|&speck| {
        let window = shape.position(positions, sample, speck).map(|at| shape.window(at));
        window.is_some_and(|[rows, columns]| rows.contains(&row) && columns.contains(&column))
    })
}

pub(super) fn render<T: Real>(
    shape: &RenderShape,
    positions: &[i32],
    colours: &[T],
    background: &[T],
    out: &mut [T],
) {
    shape.check(positions.len(), colours.len(), out.len());
    shape.check_background(background.len());
    let RenderShape { specks, channels, height, width, .. } = *shape;
    for sample in 0..shape.samples {
        for row in 0..height {
            for column in 0..width {
                let colour = match owner(shape, positions, sample, row, column) {
                    Some(speck) => &colours[(sample * specks + speck) * channels..][..channels],
                    None => &background[shape.background(sample)..][..channels],
                };
                for channel in 0..channels {
                    let plane = sample * channels + channel;
                    out[(plane * height + row) * width + column] = colour[channel];
                }
            }
        }
    }
}

pub(super) fn unrender<T: Real>(
    shape: &RenderShape,
    positions: &[i32],
    image: &[T],
    out: &mut [T],
) {
    shape.check(positions.len(), out.len(), image.len());
    let RenderShape { specks, channels, height, width, .. } = *shape;
    out.fill(T::zero());
    for sample in 0..shape.samples {
        for row in 0..height {
            for column in 0..width {
                let Some(speck) = owner(shape, positions, sample, row, column) else {
                    continue;
                };
                for channel in 0..channels {
                    let plane = sample * channels + channel;
                    out[(sample * specks + speck) * channels + channel] +=
                        image[(plane * height + row) * width + column];
                }
            }
        }
    }
}

pub(super) fn targets<T: Real>(shape: &RenderShape, positions: &[i32], out: &mut [T]) {
    let RenderShape { samples, specks, height, width, size, .. } = *shape;
    assert_eq!(positions.len(), samples * specks * 2, "length of the positions");
    assert_eq!(out.len(), samples * (height + width), "length of the output");
    out.fill(T::zero());
    for sample in 0..samples {
        let (rows, columns) =
            out[sample * (height + width)..][..height + width].split_at_mut(height);
        for speck in 0..specks {
            let Some([row, column]) = shape.position(positions, sample, speck) else {
                continue;
            };
            for (axis, first) in [(&mut *rows, row), (&mut *columns, column)] {
                let centre = first.saturating_add_unsigned(size as u64 / 2);
                let slot = usize::try_from(centre).ok().and_then(|at| axis.get_mut(at));
                if let Some(slot) = slot {
                    *slot = T::one();
                }
            }
        }
    }
}
