//! What an instruction set's file consists of: the loops of `lanes` compiled for
//! it, and the routines around them.

/// The routines of an instruction set, out of the loops over its registers, the
/// most rows of a register tile, and the packing of its matrix product.
macro_rules! compiled {
    ($vector:ty, $rows:literal, $tile:ty, $features:literal) => {
        use super::lanes::{self, Operands, Region, Tiles, WeightTile};
        use super::{Correlation, Routine};
        use crate::matmul::PackedTile;
        use std::ops::Range;

        pub(super) const FORWARD: Routine<f32> =
            Routine { run: forward, scratch: lanes::forward_scratch::<$vector> };
        pub(super) const INPUT_GRADIENT: Routine<f32> =
            Routine { run: input_gradient, scratch: lanes::input_gradient_scratch::<$vector> };
        pub(super) const WEIGHT_GRADIENT: Routine<f32> =
            Routine { run: weight_gradient, scratch: lanes::weight_gradient_scratch::<$vector> };

        /// # Safety
        /// The processor has the instruction set.
        unsafe fn forward(
            c: &Correlation,
            x: &[f32],
            weight: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            let pack = <$tile as PackedTile>::pack;
            // SAFETY: the caller's promise.
            unsafe { lanes::forward::<$vector>(c, x, weight, out, scratch, pack, forward_rows) };
        }

        /// # Safety
        /// The processor has the instruction set.
        unsafe fn input_gradient(
            c: &Correlation,
            cotangent: &[f32],
            weight: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            let run = input_images;
            // SAFETY: as above.
            unsafe { lanes::input_gradient::<$vector>(c, cotangent, weight, out, scratch, run) };
        }

        /// # Safety
        /// The processor has the instruction set.
        unsafe fn weight_gradient(
            c: &Correlation,
            x: &[f32],
            cotangent: &[f32],
            out: &mut [f32],
            scratch: &mut [f32],
        ) {
            let run = weight_tiles;
            // SAFETY: as above.
            unsafe {
                lanes::weight_gradient::<$vector, $rows>(c, x, cotangent, out, scratch, run);
            };
        }

        #[target_feature(enable = $features)]
        unsafe fn forward_rows(c: &Correlation, rows: Range<usize>, operands: &Operands) {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::forward_rows::<$vector, $rows>(c, rows, operands) };
        }

        #[target_feature(enable = $features)]
        unsafe fn input_images(c: &Correlation, images: Range<usize>, operands: &Operands) {
            // SAFETY: as above.
            unsafe { lanes::input_images::<$vector, $rows>(c, images, operands) };
        }

        #[target_feature(enable = $features)]
        unsafe fn weight_tiles(c: &Correlation, region: Region, operands: &Operands) {
            // SAFETY: as above.
            unsafe { lanes::weight_tiles::<$vector, Compiled, $rows>(c, region, operands) };
        }

        struct Compiled;

        impl Tiles for Compiled {
            unsafe fn weight<const R: usize, const N: usize>(job: &WeightTile<'_>) {
                // SAFETY: as above.
                unsafe { weight_tile::<R, N>(job) };
            }
        }

        #[target_feature(enable = $features)]
        #[inline(never)]
        unsafe fn weight_tile<const R: usize, const N: usize>(job: &WeightTile<'_>) {
            // SAFETY: as above.
            unsafe { lanes::weight_tile::<$vector, R, N>(job) };
        }
    };
}
pub(super) use compiled;
