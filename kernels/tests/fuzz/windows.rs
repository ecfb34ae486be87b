//! Windows, and tiles read around them.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Draw, Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::window::{
    EMPTY, Tile, WINDOW_MASK, WINDOW_TILE, WINDOW_TILE_BASE, WINDOW_TILE_PATCH, Windows,
    base_scratch,
};

/// Where `count` windows on a map begin: over the border on all sides, overlapping,
/// some nowhere.
pub fn origins(count: usize, map: [usize; 2], shift: usize, seed: u64) -> Memory<i32> {
    let mut draw = Draw::new(seed);
    let origins: Vec<_> = (0..count)
        .flat_map(|_| match draw.below(8) {
            0 => [EMPTY; 2],
            _ => map.map(|size| draw.below(size + 6) as i32 - 4),
        })
        .collect();
    Memory::of(&origins, shift)
}

fn any_tile() -> impl Strategy<Value = Tile> {
    let windows = (0usize..6, 0usize..4, prop_oneof![0usize..20, 0usize..150], [0usize..5, 0..5]);
    let maps = ([1usize..9, 1..9], [1usize..4, 1..4], 1usize..4, [0usize..7, 0..7]);
    (windows, maps, any::<bool>(), any::<bool>(), any::<u64>()).prop_map(
        |((samples, slots, channels, window), (map, base, tiles, size), each, negative, seed)| {
            let mut draw = Draw::new(seed);
            let classes =
                [0, 1].map(|axis| (0..map[axis]).map(|_| draw.below(base[axis]) as u32).collect());
            let windows = Windows { samples, slots, channels, size: window, map };
            let backgrounds = if each { samples.max(1) } else { 1 };
            Tile { windows, tiles, size, backgrounds, base, classes, negative }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(500)))]

    #[test]
    fn tiles(tile in any_tile(), shifts in [SHIFTS; 5], seed: u64) {
        let Windows { samples, slots, channels, map, .. } = tile.windows;
        let at = origins(samples * slots, map, shifts[3], seed);
        let starts = origins(samples * tile.tiles, map, shifts[4], !seed);
        let base = Memory::special(tile.base_elements(), shifts[0], seed);
        let patch = Memory::special(tile.windows.elements(), shifts[1], !seed);
        same(&WINDOW_TILE, tile.elements(), shifts[2], |run, out: &mut [f32]| {
            run(&tile, base.slice(), patch.slice(), at.slice(), starts.slice(), out);
        })?;
        let x = Memory::random(tile.elements(), shifts[2], seed);
        // A tile reads each place of a map once.
        let readers = 2.0 * tile.tiles as f32;
        agree(&WINDOW_TILE_PATCH, patch.len(), shifts[1], readers, |run, out| {
            run(&tile, x.slice(), at.slice(), starts.slice(), out);
        })?;
        let places = x.len() / channels.max(1);
        agree(&WINDOW_TILE_BASE, base.len(), shifts[0], 2.0 * places as f32, |run, out| {
            let mut scratch = Memory::poisoned(base_scratch(&tile), shifts[1]);
            run(&tile, x.slice(), at.slice(), starts.slice(), out, scratch.slice_mut());
        })?;
        let places = tile.windows.elements() / channels.max(1);
        for owned in [false, true] {
            // Where there are no channels its length is not asked for.
            same(&WINDOW_MASK, places, shifts[2], |run, out: &mut [f32]| {
                if channels > 0 {
                    run(&tile.windows, owned, at.slice(), out);
                }
            })?;
        }
    }
}
