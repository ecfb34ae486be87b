//! The mean and the variance of channels, in one pass over memory.
//!
//! The mean first and the squares of what is left of it afterwards reads the array
//! twice; the sum and the sum of squares in one pass cancel where the mean is
//! large. Here a run of up to 8192 values is brought into a cache, its own mean is
//! subtracted there, and the means and squares of runs are put together exactly
//! (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
//! computing sample variances", 1979): of n₁ and n₂ values with means m₁ and m₂ and
//! squares S₁ and S₂ about them, with d = m₂ - m₁,
//!
//!   m = m₁ + d n₂ / n,  S = S₁ + S₂ + d² n₁ n₂ / n.

#![allow(unsafe_op_in_unsafe_fn)]

use crate::Real;
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// The sizes of an array [samples, channels, pixels].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MomentsShape {
    /// The outermost.
    pub samples: usize,
    /// Each has a mean and a variance.
    pub channels: usize,
    /// The innermost.
    pub pixels: usize,
}

impl MomentsShape {
    /// Samples of a part.
    fn part(&self) -> usize {
        let sample = (self.channels * self.pixels).max(1);
        (GRAIN / sample).max(self.samples.div_ceil(256)).max(1)
    }

    /// Elements of scratch memory: a mean and squares for each part and channel.
    pub fn scratch(&self) -> usize {
        self.samples.div_ceil(self.part()) * 2 * self.channels
    }

    pub(super) fn elements(&self) -> usize {
        self.samples * self.channels * self.pixels
    }
}

/// How many values there are, their mean, and the squares about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
}

impl Group {
    pub(super) fn join(&mut self, other: Group) {
        let count = self.count + other.count;
        if count > 0.0 {
            let distance = other.mean - self.mean;
            self.squares += other.squares + distance * distance * self.count * other.count / count;
            self.mean += distance * other.count / count;
            self.count = count;
        }
    }
}

/// The values of a channel in some samples.
pub(super) type OfChannel<T> =
    unsafe fn(&MomentsShape, samples: Range<usize>, channel: usize, x: *const T) -> Group;

/// The whole, from what `of_channel` says; see [`MOMENTS`](super::MOMENTS).
pub(super) unsafe fn moments<T: Real>(
    shape: &MomentsShape,
    x: &[T],
    out: &mut [T],
    scratch: &mut [T],
    of_channel: OfChannel<T>,
) {
    let (part, channels) = (shape.part(), shape.channels);
    let (values, pieces) = (Shared::from_ptr(x.as_ptr().cast_mut()), Shared::new(scratch));
    for_parts(shape.samples, part, |range| {
        let first = range.start / part * 2 * channels;
        // SAFETY: each part has a piece of the scratch memory.
        let own = unsafe { pieces.part(first..first + 2 * channels) };
        for channel in 0..channels {
            // SAFETY: the caller's promise; the array is only read.
            let group = unsafe { of_channel(shape, range.clone(), channel, values.get()) };
            own[channel] = T::of(group.mean);
            own[channels + channel] = T::of(group.squares);
        }
    });
    for channel in 0..channels {
        let mut all = Group::default();
        for (number, own) in scratch.chunks_exact(2 * channels).enumerate() {
            let samples = part.min(shape.samples - number * part);
            all.join(Group {
                count: (samples * shape.pixels) as f64,
                mean: own[channel].wide(),
                squares: own[channels + channel].wide(),
            });
        }
        // Of nothing they are not numbers, as the sum over the count is not.
        let nothing = if all.count == 0.0 { f64::NAN } else { 0.0 };
        out[channel] = T::of(all.mean + nothing);
        out[channels + channel] = T::of(all.squares / all.count);
    }
}
