//! Rectangles of images that lists pick, and convolutions of them.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Draw, Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::picked::{
    Correlation, PICKED_CONV, PICKED_CONV_INPUT_GRADIENT, PICKED_CONV_WEIGHT_GRADIENT,
};
use speck_kernels::window::{PICKS, PICKS_GRADIENT, Picks};

/// What each of `taps` taps of `outputs` results reads of so many rows: neighbours, or
/// whatever comes; a few are beyond.
fn reads(outputs: usize, taps: usize, size: usize, draw: &mut Draw) -> std::sync::Arc<[u32]> {
    let are_neighbours = draw.below(2) == 0;
    let stride = 1 + draw.below(2);
    let read = |i: usize| match are_neighbours {
        true => (i / taps * stride + i % taps) as u32,
        false => draw.below(size + 1) as u32,
    };
    (0..outputs * taps).map(read).collect()
}

fn any_picks() -> impl Strategy<Value = Picks> {
    let sizes = (0usize..5, [1usize..8, 1..8], prop_oneof![0usize..20, 0usize..70]);
    let lists = ([1usize..4, 1..4], [0usize..7, 0..9], any::<u64>());
    (sizes, lists, any::<bool>()).prop_map(
        |((images, image, channels), (kernel, output, seed), negative)| {
            let mut draw = Draw::new(seed);
            let reads =
                [0, 1].map(|axis| reads(output[axis], kernel[axis], image[axis], &mut draw));
            Picks { images, image, channels, kernel, reads, negative }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(500)))]

    #[test]
    fn rectangles(picks in any_picks(), shifts in [SHIFTS; 2], seed: u64) {
        let x = Memory::special(picks.image_elements(), shifts[0], seed);
        same(&PICKS, picks.elements(), shifts[1], |run, out: &mut [f32]| {
            run(&picks, x.slice(), out);
        })?;
        let rectangles = Memory::random(picks.elements(), shifts[1], seed);
        let readers = picks.elements() / picks.image_elements().max(1);
        // As many as read an element, or ten times the mean.
        let terms = 20.0 * (1 + readers) as f32;
        agree(&PICKS_GRADIENT, x.len(), shifts[0], terms, |run, out| {
            run(&picks, rectangles.slice(), out);
        })?;
    }

    #[test]
    fn picked_convolutions(
        picks in any_picks(), outputs in prop_oneof![0usize..20, 0usize..70],
        shifts in [SHIFTS; 4], seed: u64,
    ) {
        let picks = Picks { negative: false, ..picks };
        let [down, across] = picks.output();
        let taps = picks.kernel[0] * picks.kernel[1];
        let weights = picks.channels * taps * outputs;
        let results = picks.images * down * across * outputs;
        let lengths = [picks.image_elements(), weights, results];
        // Most products added up to an element.
        let sums = [taps * down * across * outputs, results, picks.channels * taps];
        let correlation = Correlation::new(picks, outputs);
        let passes = [
            (&PICKED_CONV, [0, 1, 2]),
            (&PICKED_CONV_INPUT_GRADIENT, [2, 1, 0]),
            (&PICKED_CONV_WEIGHT_GRADIENT, [0, 2, 1]),
        ];
        for (kernel, [first, second, made]) in passes {
            let a = Memory::random(lengths[first], shifts[0], seed);
            let b = Memory::random(lengths[second], shifts[1], !seed);
            let terms = 4.0 * sums[made].min(1000) as f32;
            agree(kernel, lengths[made], shifts[2], terms, |run, out| {
                let mut scratch = Memory::poisoned((run.scratch)(&correlation), shifts[3]);
                let scratch = scratch.slice_mut();
                // SAFETY: the variant is supported.
                unsafe { (run.run)(&correlation, a.slice(), b.slice(), out, scratch) }
            })?;
        }
    }
}
