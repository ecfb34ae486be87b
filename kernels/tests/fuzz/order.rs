//! Sorting, and the largest of a few rows.

use crate::cases;
use crate::compare::same;
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::largest::{AT_LARGEST, Largest, TO_LARGEST, Taps};
use speck_kernels::sort::{ARGSORT, Sorting};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn sorting(
        outer in 0usize..4, length in 0usize..90, inner in prop_oneof![Just(1), 0usize..6],
        share in 0usize..91, descending: bool, shifts in [SHIFTS; 3], seed: u64,
    ) {
        let shape = Sorting { outer, length, inner, count: share.min(length), descending };
        let x = Memory::special(shape.elements(), shifts[0], seed);
        let outputs = outer * shape.count * inner;
        same(&ARGSORT, outputs, shifts[1], |run, out: &mut [i32]| {
            let mut scratch = Memory::poisoned(shape.elements(), shifts[2]);
            run(&shape, x.slice(), out, scratch.slice_mut());
        })?;
    }

    #[test]
    fn largest_of_rows(
        places in 0usize..20, taps in 1usize..10, channels in 0usize..70,
        shifts in [SHIFTS; 3], seed: u64,
    ) {
        let taps = Taps { places, taps, channels };
        let (all, largest) = (places * taps.taps * channels, places * channels);
        let x = Memory::special(all, shifts[0], seed);
        let kernels: [(&Kernel<Largest>, _, _); 2] =
            [(&AT_LARGEST, all, largest), (&TO_LARGEST, largest, all)];
        for (kernel, from, to) in kernels {
            let k = Memory::special(from, shifts[1], !seed);
            same(kernel, to, shifts[2], |run, out: &mut [f32]| {
                run(&taps, x.slice(), k.slice(), out);
            })?;
        }
    }
}
