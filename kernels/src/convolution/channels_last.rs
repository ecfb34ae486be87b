//! Some rows of an image, with its channels side by side.
//!
//! Vectors along the channels need no border, no dealing out by stride and no
//! masks at the ends of rows: every pixel is whole vectors. The price is a
//! transposition, which takes blocks of a vector of channels by a vector of
//! pixels in registers; blocks run on over the ends of rows, so that narrow
//! images take no longer.
//!
//! Reference: an element at a time a block of 16 × 16 would be 256 loads and 256 stores,
//! each of which could move 16 times as much. With AVX-512 it is 16 loads, 64 shuffles
//! and 16 stores, with AVX2 four blocks of 8 loads, 24 shuffles and 8 stores; they are the
//! shuffles of `movement`'s `transpose`, where both ways are timed against an element at
//! a time. With closures around them, compiled without the instruction set, all of the
//! weight's gradient took twice as long (see `vector`).
//!
//! What is left of it, sampled in the weight's gradient by F(4×4) for 64 → 64 channels at
//! 32 × 32, 16 images, one thread of a two-core AVX-512 server (Zen 5): 17 to 19 % of the
//! time, for both operands, beside 60 % for the products that it makes possible. Channels
//! that are no whole vectors are written as zeros: with 3 of them 16 are moved.

use super::vector::Vector;

/// Rows `first..first + rows` of an image, which may lie outside: zero there.
pub(super) struct Band {
    /// Channels, and the same as whole vectors.
    pub channels: usize,
    pub padded: usize,
    /// Height and width of the image.
    pub pixels: [usize; 2],
    /// First row of the image.
    pub first: isize,
    /// Number of rows.
    pub rows: usize,
    /// Pixels from one row of the band to the next, and those before the
    /// image's first in a row.
    pub pitch: usize,
    pub border: usize,
}

impl Band {
    /// Elements of the band.
    pub(super) fn size(&self) -> usize {
        self.rows * self.pitch * self.padded
    }
}

/// Fills `to` with `[row, pixel, channel]`. Only the pixels of the image are
/// written in a row that it has: the borders are zeroed once, and stay so.
///
/// # Safety
/// The processor has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn fill<V: Vector>(band: &Band, image: &[f32], to: &mut [f32]) {
    let [height, width] = band.pixels;
    let (plane, row) = (height * width, band.pitch * band.padded);
    assert!(image.len() >= band.channels * plane && to.len() >= band.size());
    assert!(band.border + width <= band.pitch && band.channels <= band.padded);
    assert!(band.padded.is_multiple_of(V::LANES));
    let inside = |y: isize| y.clamp(0, height as isize) as usize;
    let (start, end) = (inside(band.first), inside(band.first + band.rows as isize));
    // Rows of the band that the image has; none of one that begins below it.
    let first = (start as isize - band.first).clamp(0, band.rows as isize) as usize;
    let last = first + (end - start);
    to[..first * row].fill(0.0);
    to[last * row..band.rows * row].fill(0.0);
    let total = (end - start) * width;
    for channel in (0..band.channels).step_by(V::LANES) {
        let rows = V::LANES.min(band.channels - channel);
        let mut target = (first * band.pitch + band.border) * band.padded + channel;
        let mut column = 0;
        for at in (0..total).step_by(V::LANES) {
            let count = V::LANES.min(total - at);
            let mut targets = [std::ptr::null_mut(); 16];
            for target_of in &mut targets[..count] {
                *target_of = to[target..].as_mut_ptr();
                (column, target) = (column + 1, target + band.padded);
                if column == width {
                    (column, target) = (0, target + (band.pitch - width) * band.padded);
                }
            }
            // SAFETY: of each of the channels, `count` pixels are in the image;
            // a pixel of the band has whole vectors from each of `channel`.
            unsafe {
                let from = image.as_ptr().add(channel * plane + start * width + at);
                V::transpose(from, plane, rows, &targets[..count]);
            }
        }
    }
}
