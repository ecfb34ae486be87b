//! Matrix products.

use crate::cases;
use crate::compare::agree;
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::matmul::{MATMUL, MatmulShape, half::MATMUL_HALF};
use speck_kernels::storage::Storage;
use std::ops::Range;

/// Around the edges of tiles, or now and then longer than a panel.
fn size(usual: usize) -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..usual, 1 => 0..5 * usual]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn products(
        batch in 0usize..4, m in size(40), n in size(70), k in size(90),
        turned in [any::<bool>(), any::<bool>()], shared in [any::<bool>(), any::<bool>()],
        gaps in [0usize..3, 0..3], reported: bool, shifts in [SHIFTS; 4], seed: u64,
    ) {
        let [transpose_a, transpose_b] = turned;
        let [a_stride, b_stride] = [(0, m * k), (1, k * n)]
            .map(|(i, matrix)| if shared[i] { 0 } else { matrix + gaps[i] });
        let shape = MatmulShape { batch, m, n, k, transpose_a, transpose_b, a_stride, b_stride };
        let last = batch.saturating_sub(1);
        let a = Memory::random(last * a_stride + m * k, shifts[0], seed);
        let b = Memory::random(last * b_stride + k * n, shifts[1], !seed);
        agree(&MATMUL, batch * m * n, shifts[2], 4.0 * k as f32, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[3]);
            let (a, b, scratch) = (a.slice(), b.slice(), scratch.slice_mut());
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported, and nobody touches the product meanwhile.
            unsafe {
                match run.report {
                    Some(report) if reported => {
                        let nobody = |_: Range<usize>, _: *mut u8| {};
                        report(&shape, a, b, out.as_mut_ptr(), scratch, &nobody);
                    }
                    _ => (run.run)(&shape, a, b, out, scratch),
                }
            }
        })?;
    }

    #[test]
    fn products_of_16_bits(
        half: bool, batch in 1usize..3, m in size(40), n in size(70), k in size(90),
        turned in [any::<bool>(), any::<bool>()], shared: bool, reported: bool,
        shifts in [SHIFTS; 4], seed: u64,
    ) {
        let storage = if half { Storage::Bf16 } else { Storage::F16 };
        let b_stride = if shared { 0 } else { k * n };
        let [transpose_a, transpose_b] = turned;
        let shape =
            MatmulShape { batch, m, n, k, transpose_a, transpose_b, a_stride: m * k, b_stride };
        let a = Memory::stored(storage, batch * m * k, shifts[0], seed);
        let b = Memory::stored(storage, (batch - 1) * b_stride + k * n, shifts[1], !seed);
        agree(&MATMUL_HALF, batch * m * n, shifts[2], 4.0 * k as f32, |run, out| {
            let mut scratch = Memory::poisoned((run.scratch)(&shape), shifts[3]);
            let (a, b, scratch) = (a.slice(), b.slice(), scratch.slice_mut());
            // SAFETY: as above.
            unsafe {
                match run.report {
                    Some(report) if reported => {
                        let nobody = |_: Range<usize>, _: *mut u8| {};
                        report(&shape, storage, a, b, out.as_mut_ptr(), scratch, &nobody);
                    }
                    _ => (run.run)(&shape, storage, a, b, out, scratch),
                }
            }
        })?;
    }
}
