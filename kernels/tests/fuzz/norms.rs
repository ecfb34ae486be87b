//! Normalizations and moments.

use crate::cases;
use crate::compare::agree;
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::norm::{self, MomentsShape, NormShape};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn norms(
        examples in 0usize..40, groups in 1usize..4, each in 1usize..9, run in 1usize..70,
        by_column: bool, centred: bool, shifts in [SHIFTS; 5], seed: u64,
    ) {
        // Rows whose values have weights of their own are one group.
        let (groups, width) = if by_column { (1, each * run) } else { (groups, each * run) };
        let run = if by_column { 1 } else { run };
        let shape =
            NormShape { rows: examples * groups, width, centred, epsilon: 0.1, run, groups };
        let arrays = [shape.elements(), shape.weights(), shape.weights(), shape.elements()];
        let lengths = if centred { arrays } else { [arrays[0], arrays[1], 0, arrays[3]] };
        let arrays = [0, 1, 2, 3]
            .map(|i| Memory::random(lengths[i], shifts[i], seed.wrapping_add(i as u64)));
        let [x, weight, bias, c] = [0, 1, 2, 3].map(|i| arrays[i].slice());
        agree(&norm::NORM, shape.elements(), shifts[4], 10.0, |run, out| {
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { run(&shape, x, weight, bias, out) }
        })?;
        let terms = 10.0 * (1 + shape.rows) as f32;
        agree(&norm::NORM_GRADIENT, shape.gradients(), shifts[4], terms, |run, out| {
            let mut scratch = Memory::poisoned(norm::gradient_scratch(&shape), shifts[0]);
            // SAFETY: as above.
            unsafe { run(&shape, x, weight, c, out, scratch.slice_mut()) }
        })?;
    }

    #[test]
    fn moments(
        samples in 0usize..40, channels in 0usize..5, pixels in 0usize..300,
        shifts in [SHIFTS; 2], seed: u64,
    ) {
        let shape = MomentsShape { samples, channels, pixels };
        let x = Memory::random(samples * channels * pixels, shifts[0], seed);
        agree(&norm::MOMENTS, 2 * channels, shifts[1], 4.0, |run, out| {
            let mut scratch = Memory::poisoned(shape.scratch(), shifts[0]);
            // SAFETY: as above.
            unsafe { run(&shape, x.slice(), out, scratch.slice_mut()) }
        })?;
    }
}
