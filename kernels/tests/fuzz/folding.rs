//! Sums, maxima, softmax and running totals.

use crate::cases;
use crate::compare::{agree, equal, same};
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::reduce::{self, Dim, collapse};
use speck_kernels::scan::{self, Scanning};
use speck_kernels::softmax::{self, Softmax};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn reductions(
        sizes in prop::collection::vec((0usize..40, any::<bool>()), 0..4),
        shifts in [SHIFTS; 2], seed: u64,
    ) {
        let dims: Vec<Dim> =
            sizes.iter().map(|(size, reduced)| Dim { size: *size, reduced: *reduced }).collect();
        let count = |reduced: bool| {
            dims.iter().filter(|dim| reduced || !dim.reduced).map(|dim| dim.size).product()
        };
        let (elements, kept): (usize, usize) = (count(true), count(false));
        let dims = collapse(&dims);
        let x = Memory::random(elements, shifts[0], seed);
        let terms = 2.0 * (elements / kept.max(1)) as f32;
        agree(&reduce::SUM, kept, shifts[1], terms, |run, out| {
            // SAFETY: the slices are as long as the dimensions say; the variant is
            // supported.
            unsafe { run(&dims, x.slice(), out) }
        })?;
        let x = Memory::special(elements, shifts[0], seed);
        equal(&reduce::MAX, kept, shifts[1], |run, out| {
            // SAFETY: as above.
            unsafe { run(&dims, x.slice(), out) }
        })?;
    }

    #[test]
    fn places_of_maxima(
        outer in 0usize..6, length in 0usize..200, inner in prop_oneof![Just(1), 0usize..40],
        shifts in [SHIFTS; 2], seed: u64,
    ) {
        let x = Memory::special(outer * length * inner, shifts[0], seed);
        same(&reduce::ARGMAX, outer * inner, shifts[1], |run, out: &mut [i32]| {
            // SAFETY: the slices have outer · length · inner and outer · inner elements;
            // the variant is supported.
            unsafe { run(outer, length, inner, x.slice(), out) }
        })?;
    }

    #[test]
    fn softmaxes(
        outer in 0usize..6, length in 1usize..90, inner in prop_oneof![Just(1), 1usize..40],
        shifts in [SHIFTS; 2], seed: u64,
    ) {
        let x = Memory::random(outer * length * inner, shifts[0], seed);
        for kernel in [&softmax::SOFTMAX, &softmax::LOG_SOFTMAX] as [&Kernel<Softmax>; 2] {
            agree(kernel, x.len(), shifts[1], 1.0, |run, out| {
                // SAFETY: both slices have outer · length · inner elements; the
                // variant is supported.
                unsafe { run(outer, length, inner, x.slice(), out) }
            })?;
        }
    }

    #[test]
    fn sums_of_tiles(
        rows in 0usize..9, width in 0usize..300, shifts in [SHIFTS; 2], seed: u64,
    ) {
        let x = Memory::random(rows * width, shifts[0], seed);
        let kernel = &reduce::tiles::SUM_TILES;
        for which in 0..3 {
            let length = if which == 2 { width } else { rows };
            agree(kernel, length, shifts[1], (rows * width) as f32, |run, out| {
                let mut totals = vec![0.0f64; length];
                let at = x.slice().as_ptr();
                // SAFETY: `rows · width` elements and as many totals as are
                // written are there; the variant is supported.
                unsafe {
                    match which {
                        0 => (0..rows)
                            .for_each(|r| totals[r] = (run.run)(at.add(r * width), width)),
                        1 => (run.each)(at, rows, width, totals.as_mut_ptr()),
                        _ => (run.rows)(at, rows, width, totals.as_mut_ptr()),
                    }
                }
                out.iter_mut().zip(totals).for_each(|(out, total)| *out = total as f32);
            })?;
        }
    }

    /// Terms are added in order, so that there is one right answer.
    #[test]
    fn running_totals(
        outer in 0usize..10, length in 0usize..60, inner in prop_oneof![Just(1), 0usize..150],
        reverse: bool, shifts in [SHIFTS; 2], seed: u64,
    ) {
        let shape = Scanning { outer, length, inner, reverse };
        let x = Memory::special(outer * length * inner, shifts[0], seed);
        same(&scan::CUMULATIVE_SUM, x.len(), shifts[1], |run, out: &mut [f32]| {
            run(&shape, x.slice(), out);
        })?;
    }
}
