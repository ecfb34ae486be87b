//! The copy of an image in which a tap of the kernel is a constant offset.
//!
//! A result at `(y, x)` reads, for the tap `(ky, kx)`, the pixel at
//! `(y·s + ky·d − p, x·s + kx·d − p)`. With a border of zeros around the image
//! that is never outside. With stride `s` the pixels are dealt out to `s` planes
//! along each axis, by their remainder: then the pixel lies in plane
//! `ky·d mod s` at `y + ⌊ky·d / s⌋`, so it is a constant away from the result's
//! own position `y · pitch + x`, whatever the stride. One unaligned vector load
//! fetches the tap for 16 results.

use super::ConvShape;
use std::ops::Range;

/// Floats in a cache line; buffers start at a line.
pub(super) const LINE: usize = 16;

/// One axis of the copy. Plane `r` holds at `i` the pixel
/// `i · step + r − border`, or 0 where that is outside.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    /// Pixels of the image.
    pub pixels: usize,
    /// Number of planes.
    pub planes: usize,
    /// Positions of a plane.
    pub length: usize,
    /// Pixels from one position to the next.
    pub step: usize,
    /// Position of pixel 0, where it is in plane 0 and `step` is 1; negative
    /// if the first pixels are left out.
    pub border: isize,
}

impl Axis {
    /// The axis that the kernel of `shape` reads: the input.
    pub(super) fn of_input(shape: &ConvShape, axis: usize) -> Self {
        let (stride, dilation) = (shape.stride[axis], shape.dilation[axis]);
        let taps = 0..shape.kernel[axis];
        let last_plane = taps.clone().map(|tap| tap * dilation % stride).max();
        let reach = taps.end.saturating_sub(1) * dilation / stride;
        Axis {
            pixels: shape.input[axis],
            planes: last_plane.map_or(1, |last| last + 1),
            length: shape.output()[axis] + reach,
            step: stride,
            border: shape.padding[axis] as isize,
        }
    }

    /// The positions of a plane that hold pixels.
    pub(super) fn inside(&self, plane: usize) -> Range<usize> {
        let position_of = |pixel: isize| {
            let distance = (pixel + self.border - plane as isize).max(0) as usize;
            distance.div_ceil(self.step).min(self.length)
        };
        position_of(0)..position_of(self.pixels as isize)
    }

    /// The pixel at a position that holds one.
    fn pixel(&self, plane: usize, position: usize) -> usize {
        ((position * self.step + plane) as isize - self.border) as usize
    }
}

/// The copy of some channels: `[channel, plane y, plane x, y, x]`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Number of channels.
    pub channels: usize,
    /// Height and width.
    pub axes: [Axis; 2],
    /// Elements from one plane to the next, at least those of a plane.
    pub plane: usize,
}

impl Layout {
    /// Planes one after another.
    pub(super) fn new(channels: usize, axes: [Axis; 2]) -> Self {
        Layout { channels, axes, plane: axes[0].length * axes[1].length }
    }

    /// Elements of all planes.
    pub(super) fn size(&self) -> usize {
        self.channels * self.axes[0].planes * self.axes[1].planes * self.plane
    }

    /// Whether the copy would be the image itself, its rows whole vectors of
    /// `lanes`: there is no border. It can be read where it is if also the result's
    /// rows are as wide; a tap to the right would read past the last row's end.
    pub(super) fn is_image(&self, lanes: usize) -> bool {
        let same = |axis: &Axis| {
            axis.planes == 1 && axis.step == 1 && axis.border == 0 && axis.length == axis.pixels
        };
        let [height, width] = self.axes.map(|axis| axis.length);
        self.axes.iter().all(same)
            && self.plane == height * width
            && self.pitch().is_multiple_of(lanes)
    }

    /// Elements from one row of a plane to the next.
    pub(super) fn pitch(&self) -> usize {
        self.axes[1].length
    }

    /// Where a plane starts.
    pub(super) fn plane_at(&self, channel: usize, [y, x]: [usize; 2]) -> usize {
        ((channel * self.axes[0].planes + y) * self.axes[1].planes + x) * self.plane
    }

    /// Copies the channels of `image`, which lie one after another, into
    /// `target`. Positions without a pixel are left as they are: they are
    /// zeroed once, and stay so for all images.
    pub(super) fn fill(&self, image: &[f32], target: &mut [f32]) {
        let [vertical, horizontal] = self.axes;
        let width = horizontal.pixels;
        for channel in 0..self.channels {
            for plane in 0..vertical.planes * horizontal.planes {
                let (y, x) = (plane / horizontal.planes, plane % horizontal.planes);
                let columns = horizontal.inside(x);
                if columns.is_empty() {
                    continue;
                }
                let column = horizontal.pixel(x, columns.start);
                for row in vertical.inside(y) {
                    let from =
                        (channel * vertical.pixels + vertical.pixel(y, row)) * width + column;
                    let to = self.plane_at(channel, [y, x]) + row * self.pitch() + columns.start;
                    let to = &mut target[to..to + columns.len()];
                    match horizontal.step {
                        1 => copy(&image[from..from + to.len()], to),
                        2 => copy_every_second(&image[from..], to),
                        step => {
                            let pixels = image[from..].iter().step_by(step);
                            to.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
                        }
                    }
                }
            }
        }
    }
}

/// Copies a short row: without the call of `memcpy`, which for the few cache
/// lines of a row takes longer than the copy.
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    let (from_lines, from_rest) = from.as_chunks::<LINE>();
    let (to_lines, to_rest) = to.as_chunks_mut::<LINE>();
    to_lines.iter_mut().zip(from_lines).for_each(|(to, from)| *to = *from);
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = *from);
}

/// Copies the first of every two elements; in pairs, which the compiler turns
/// into vector shuffles.
fn copy_every_second(from: &[f32], to: &mut [f32]) {
    let (pairs, rest) = from.as_chunks::<2>();
    to.iter_mut().zip(pairs).for_each(|(to, [first, _])| *to = *first);
    if let (Some(to), Some(from)) = (to.get_mut(pairs.len()), rest.first()) {
        *to = *from;
    }
}
