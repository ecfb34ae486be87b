//! Where results go, and who takes the images that are finished.
//!
//! A bias, a rectifier, a residual or the sums of a norm read the result of a
//! convolution once. As a pass of their own they find most of it gone from the
//! second-level cache. An image of a group lies in one piece, and is finished by one
//! thread: so it goes to a [`Taker`] there and then, as parts of a matrix product do.
//!
//! Measured on a two-core AVX-512 server (Zen 5), two threads, in a training step of a
//! network of three convolutions to 32, 64 and 128 channels at batch 256, 160 ms in all:
//! bias and rectifier took 3.0, 1.4 and 0.9 ms as passes of their own, after convolutions
//! of 6.9, 16.1 and 15.2. Handed over, both take 9.0, 17.6 and 16.2, in a run in which
//! the other convolutions took 1.03 times as long: 1.4 % of the step. A residual network
//! with batch norm gains nothing: its moments are a kernel, and read the result next.

use super::correlate::Direction;
use super::{ConvShape, Routine};
use crate::matmul::Taker;
use crate::parallel::Shared;
use std::ops::Range;

/// The result of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    out: Shared<f32>,
    length: usize,
    taker: Option<&'a dyn Taker>,
}

impl Target<'_> {
    pub(super) fn of(out: &mut [f32]) -> Self {
        Target { length: out.len(), out: Shared::new(out), taker: None }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// A part to be written.
    ///
    /// # Safety
    /// As for [`Shared::part`].
    pub(super) unsafe fn part<'b>(self, range: Range<usize>) -> &'b mut [f32] {
        debug_assert!(range.end <= self.length);
        // SAFETY: the caller's promise.
        unsafe { self.out.part(range) }
    }

    /// Hands over a part that is finished, which nobody else touches any more.
    pub(super) fn done(&self, range: Range<usize>) {
        if let Some(taker) = self.taker {
            let values = self.out.get().wrapping_add(range.start);
            taker.take(range, values.cast());
        }
    }

    /// All of it is 0.
    ///
    /// # Safety
    /// Nobody else touches the result.
    pub(super) unsafe fn zero(self) {
        // SAFETY: the caller's promise.
        unsafe { self.part(0..self.length) }.fill(0.0);
        self.done(0..self.length);
    }
}

/// What computes the result and the gradient of the input.
pub(super) trait Correlates {
    /// Scratch that `correlate` needs.
    fn needed(shape: &ConvShape, direction: Direction) -> usize;
    /// Correlates `source` with `weight`.
    ///
    /// # Safety
    /// The processor has the instruction set, and nobody else touches what of the
    /// target has not been handed over.
    unsafe fn correlate(
        shape: &ConvShape,
        direction: Direction,
        source: &[f32],
        weight: &[f32],
        target: Target<'_>,
        scratch: &mut [f32],
    );
}

/// The routine.
pub(super) const fn routine<C: Correlates, const FORWARD: bool>() -> Routine<f32> {
    Routine {
        run: run::<C, FORWARD>,
        scratch: |shape| C::needed(shape, direction(FORWARD)),
        report: Some(report::<C, FORWARD>),
    }
}

const fn direction(forward: bool) -> Direction {
    if forward { Direction::Forward } else { Direction::InputGradient }
}

/// # Safety
/// The processor has the instruction set of `C`.
unsafe fn run<C: Correlates, const FORWARD: bool>(
    shape: &ConvShape,
    source: &[f32],
    weight: &[f32],
    result: &mut [f32],
    scratch: &mut [f32],
) {
    let target = Target::of(result);
    // SAFETY: the caller's promise.
    unsafe { C::correlate(shape, direction(FORWARD), source, weight, target, scratch) }
}

/// # Safety
/// As for [`run`], and as [`Routine::report`] says.
unsafe fn report<C: Correlates, const FORWARD: bool>(
    shape: &ConvShape,
    source: &[f32],
    weight: &[f32],
    result: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    let (channels, pixels) = match FORWARD {
        true => (shape.out_channels, shape.output_pixels()),
        false => (shape.in_channels, shape.input_pixels()),
    };
    let length = shape.batch * channels * pixels;
    let target = Target { out: Shared::from_ptr(result), length, taker: Some(taker) };
    // SAFETY: the caller's promise.
    unsafe { C::correlate(shape, direction(FORWARD), source, weight, target, scratch) }
}
