//! What an instruction set's file consists of: the loops of `lanes` compiled for
//! it, and the routines around them.

/// The routines of an instruction set, out of the loops over its registers.
macro_rules! compiled {
    ($vector:ty, $features:literal) => {
        use super::moments::{self, Group};
        use super::{Arrays, MomentsShape, NormShape, lanes};
        use std::ops::Range;

        pub(super) unsafe fn norm(
            shape: &NormShape,
            x: &[f32],
            weight: &[f32],
            bias: &[f32],
            out: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { super::forward(shape, [x, weight, bias], out, forward_rows) };
        }

        pub(super) unsafe fn gradient(
            shape: &NormShape,
            x: &[f32],
            weight: &[f32],
            c: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { super::backward(shape, [x, weight, c], out, scratch, backward_rows) };
        }

        pub(super) unsafe fn moments(
            shape: &MomentsShape,
            x: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { moments::moments(shape, x, out, scratch, of_channel) };
        }

        #[target_feature(enable = $features)]
        unsafe fn of_channel(
            shape: &MomentsShape,
            samples: Range<usize>,
            channel: usize,
            x: *const f32,
        ) -> Group {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::of_channel::<$vector>(shape, samples, channel, x) }
        }

        #[target_feature(enable = $features)]
        unsafe fn forward_rows(
            shape: &NormShape,
            rows: Range<usize>,
            arrays: &Arrays<f32>,
            out: *mut f32,
        ) {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::forward_rows::<$vector>(shape, rows, arrays, out) };
        }

        #[target_feature(enable = $features)]
        unsafe fn backward_rows(
            shape: &NormShape,
            rows: Range<usize>,
            arrays: &Arrays<f32>,
            out: *mut f32,
            sums: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { lanes::backward_rows::<$vector>(shape, rows, arrays, out, sums) };
        }
    };
}
pub(super) use compiled;
