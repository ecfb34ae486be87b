//! What an instruction set's file consists of: the loops of `lanes` compiled for
//! it, and the routines around them.

/// The routines of an instruction set, out of the loops over its registers.
macro_rules! compiled {
    ($vector:ty, $features:literal) => {
        use super::lanes::{self, Arrays};
        use super::{AttentionShape, Backward, Forward};

        pub(super) const FORWARD: Forward<f32> =
            Forward { scratch: lanes::forward_scratch, run: forward };
        pub(super) const BACKWARD: Backward<f32> =
            Backward { scratch: lanes::backward_scratch, run: backward };

        unsafe fn forward(
            shape: &AttentionShape,
            q: &[f32],
            k: &[f32],
            v: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { lanes::forward(shape, [q, k, v], out, scratch, forward_unit) };
        }

        unsafe fn backward(
            shape: &AttentionShape,
            q: &[f32],
            k: &[f32],
            v: &[f32],
            c: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { lanes::backward(shape, [q, k, v, c], out, scratch, backward_unit) };
        }

        #[target_feature(enable = $features)]
        unsafe fn forward_unit(
            shape: &AttentionShape,
            unit: usize,
            arrays: &Arrays,
            out: *mut f32,
            scratch: *mut f32,
        ) {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::forward_unit::<$vector>(shape, unit, arrays, out, scratch) };
        }

        #[target_feature(enable = $features)]
        unsafe fn backward_unit(
            shape: &AttentionShape,
            unit: usize,
            arrays: &Arrays,
            out: *mut f32,
            scratch: *mut f32,
        ) {
            // SAFETY: as above.
            unsafe { lanes::backward_unit::<$vector>(shape, unit, arrays, out, scratch) };
        }
    };
}
pub(super) use compiled;
