//! Drawing specks on a background, the gradient of that in the colours, and
//! the target that belongs to a drawing.
//!
//! A speck is a square whose top left pixel is at `position = (row, column)`.
//! It may lie partly or wholly outside the screen, where it is cut off. The
//! position (−1, −1) marks an empty slot: nothing is drawn there. Where specks
//! overlap, the one with the greatest index covers the others; a pixel is
//! *owned* by the speck seen in it.
//!
//! The routines of this family check their arguments: lengths that do not
//! match the shape panic before anything is read or written.

pub mod gpu;
mod painted;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use std::ops::Range;

/// The sizes of a batch of screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderShape {
    /// Screens in the batch.
    pub samples: usize,
    /// Slots for specks on each screen.
    pub specks: usize,
    /// Background colours: 1 for all screens, or one for each.
    pub backgrounds: usize,
    /// Channels of a colour, normally 3.
    pub channels: usize,
    /// Rows of a screen.
    pub height: usize,
    /// Columns of a screen.
    pub width: usize,
    /// Edge of a speck in pixels.
    pub size: usize,
}

impl RenderShape {
    /// Pixels of a screen.
    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Where the background of `sample` begins.
    fn background(&self, sample: usize) -> usize {
        if self.backgrounds == 1 { 0 } else { sample * self.channels }
    }

    /// The position of a speck, or `None` for an empty slot.
    fn position(&self, positions: &[i32], sample: usize, speck: usize) -> Option<[i64; 2]> {
        let at = 2 * (sample * self.specks + speck);
        let (row, column) = (positions[at], positions[at + 1]);
        (row != -1 || column != -1).then_some([i64::from(row), i64::from(column)])
    }

    /// The rows and columns of the screen that a speck covers.
    fn window(&self, [row, column]: [i64; 2]) -> [Range<usize>; 2] {
        let cut = |first: i64, length: usize| {
            let inside = |at: i64| at.clamp(0, length as i64) as usize;
            inside(first)..inside(first.saturating_add_unsigned(self.size as u64))
        };
        [cut(row, self.height), cut(column, self.width)]
    }

    fn check(&self, positions: usize, colours: usize, image: usize) {
        let slots = self.samples * self.specks;
        assert_eq!(positions, 2 * slots, "length of the positions");
        assert_eq!(colours, slots * self.channels, "length of the colours");
        assert_eq!(image, self.samples * self.channels * self.plane(), "length of the image");
    }

    fn check_background(&self, background: usize) {
        let backgrounds = self.backgrounds;
        assert!(backgrounds == 1 || backgrounds == self.samples, "{backgrounds} backgrounds");
        assert_eq!(background, backgrounds * self.channels, "length of the background");
    }
}

/// Drawing.
pub struct Render;

impl Signature for Render {
    /// `(shape, positions, colours, background, out)`.
    type Run<T: Real> = unsafe fn(
        shape: &RenderShape,
        positions: &[i32],
        colours: &[T],
        background: &[T],
        out: &mut [T],
    );
}

/// Draws a batch: `positions` `[samples, specks, 2]` (row, column), `colours`
/// `[samples, specks, channels]`, `background` `[backgrounds, channels]`,
/// `out` `[samples, channels, height, width]`.
pub static RENDER: Kernel<Render> = Kernel { name: "render", f32: &render(), f64: &render() };

const fn render<T: Real>() -> [Variant<<Render as Signature>::Run<T>>; 2] {
    [
        Variant { name: "painted", isa: Isa::Portable, run: painted::render::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::render::<T> },
    ]
}

/// The gradient of drawing.
pub struct Unrender;

impl Signature for Unrender {
    /// `(shape, positions, image, out)`; the background does not matter.
    type Run<T: Real> =
        unsafe fn(shape: &RenderShape, positions: &[i32], image: &[T], out: &mut [T]);
}

/// The adjoint of [`RENDER`] in the colours: `image` is `[samples, channels,
/// height, width]`, `out` `[samples, specks, channels]` the sum of `image`,
/// row by row, over the pixels that each speck owns; 0 for empty slots.
pub static UNRENDER: Kernel<Unrender> =
    Kernel { name: "unrender", f32: &unrender(), f64: &unrender() };

const fn unrender<T: Real>() -> [Variant<<Unrender as Signature>::Run<T>>; 2] {
    [
        Variant { name: "painted", isa: Isa::Portable, run: painted::unrender::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::unrender::<T> },
    ]
}

/// The right answer to a drawing.
pub struct Targets;

impl Signature for Targets {
    /// `(shape, positions, out)`; channels and backgrounds do not matter.
    type Run<T: Real> = unsafe fn(shape: &RenderShape, positions: &[i32], out: &mut [T]);
}

/// `out` `[samples, height + width]` is 1 at the row and, `height` further, at
/// the column of the centre `position + size / 2` of every speck, else 0. A
/// centre whose row (column) is off the screen marks no row (column).
pub static SPECK_TARGETS: Kernel<Targets> = Kernel {
    name: "speck_targets",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::targets::<f32> }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::targets::<f64> }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![RENDER.status(), UNRENDER.status(), SPECK_TARGETS.status()]
}
