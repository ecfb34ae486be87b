//! Drawing specks, and the gradient of that.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Draw, Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::render::{RENDER, RenderShape, SPECK_TARGETS, UNRENDER};

/// On, across and beyond the edges, some slots empty, some far away.
fn positions(shape: &RenderShape, shift: usize, seed: u64) -> Memory<i32> {
    let mut draw = Draw::new(seed);
    let slots = shape.samples * shape.specks;
    let positions: Vec<_> = (0..slots)
        .flat_map(|_| match draw.below(9) {
            0 => [-1, -1],
            1 => [-1, draw.below(shape.width + 1) as i32],
            2 => [[i32::MAX, i32::MIN], [i32::MIN, i32::MAX], [0, i32::MAX]][draw.below(3)],
            _ => [shape.height, shape.width].map(|edge| draw.below(edge + 6) as i32 - 3),
        })
        .collect();
    Memory::of(&positions, shift)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(500)))]

    #[test]
    fn drawings(
        samples in 0usize..5, specks in 0usize..7, each: bool, channels in 0usize..5,
        screen in [0usize..40, 0..40], size in 0usize..30, shifts in [SHIFTS; 4], seed: u64,
    ) {
        let backgrounds = if each { samples } else { 1 };
        let [height, width] = screen;
        let shape = RenderShape { samples, specks, backgrounds, channels, height, width, size };
        let positions = positions(&shape, shifts[3], seed);
        let colours = Memory::special(samples * specks * channels, shifts[0], seed);
        let background = Memory::special(backgrounds * channels, shifts[1], !seed);
        let image = samples * channels * height * width;
        same(&RENDER, image, shifts[2], |run, out: &mut [f32]| {
            let (positions, colours) = (positions.slice(), colours.slice());
            // SAFETY: the slices have the lengths of the shape; the variant is
            // supported.
            unsafe { run(&shape, positions, colours, background.slice(), out) }
        })?;
        let image = Memory::random(image, shifts[2], seed);
        let terms = 2.0 * (height * width) as f32;
        agree(&UNRENDER, colours.len(), shifts[0], terms, |run, out| {
            // SAFETY: as above.
            unsafe { run(&shape, positions.slice(), image.slice(), out) }
        })?;
        same(&SPECK_TARGETS, samples * (height + width), shifts[0], |run, out: &mut [f32]| {
            // SAFETY: as above.
            unsafe { run(&shape, positions.slice(), out) }
        })?;
    }
}
