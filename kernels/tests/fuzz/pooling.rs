//! Largest and mean of windows.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::pooling::{self, AveragePool, AveragePooling, PoolShape};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn poolings(
        planes in 0usize..4, input in [1usize..24, 1..40], kernel in [1usize..4, 1..4],
        stride in [1usize..4, 1..4], dilation in [1usize..3, 1..3], pad in any::<bool>(),
        shifts in [SHIFTS; 2], seed: u64,
    ) {
        let padding = kernel.map(|taps| if pad { taps / 2 } else { 0 });
        let output = [0, 1].map(|axis| {
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let room = input[axis] + 2 * padding[axis];
            if room < reach { 0 } else { (room - reach) / stride[axis] + 1 }
        });
        let shape = PoolShape { planes, input, output, kernel, stride, padding, dilation };
        let (pixels, outputs) = (planes * input[0] * input[1], planes * output[0] * output[1]);
        let x = Memory::special(pixels, shifts[0], seed);
        same(&pooling::MAX_POOL2D_INDICES, outputs, shifts[1], |run, out: &mut [i32]| {
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { run(&shape, x.slice(), out) }
        })?;
        let x = Memory::random(pixels, shifts[0], seed);
        let pool = AveragePool { shape, count_padding: pad, divisor: None };
        let there: &Kernel<AveragePooling> = &pooling::AVERAGE_POOL2D;
        agree(there, outputs, shifts[1], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&pool, x.slice(), out) }
        })?;
        let cotangent = Memory::random(outputs, shifts[1], seed);
        agree(&pooling::AVERAGE_POOL2D_GRADIENT, x.len(), shifts[0], 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&pool, cotangent.slice(), out) }
        })?;
    }
}
