//! Moving elements: strided copies, gathering and scattering.

use crate::cases;
use crate::compare::same;
use crate::memory::{Draw, Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::movement::half::{
    GATHER_HALF, INDEX_SELECT_HALF, READ_STRIDED_HALF, WRITE_STRIDED_HALF,
};
use speck_kernels::movement::{self, Gather, Gathering, Strided};
use speck_kernels::storage::Storage;

/// Any bits at all, many of them signalling NaNs, which only arithmetic would change.
fn any_bits(length: usize, shift: usize, seed: u64) -> Memory<u32> {
    let mut draw = Draw::new(seed);
    Memory::input(length, shift, |_| {
        let bits = draw.next();
        (bits >> 20) as u32 | if bits.is_multiple_of(3) { 0x7f80_0001 } else { 0 }
    })
}

/// What is done to rows of the source with those that are sent there.
const FOLDS: [&Kernel<Gather>; 2] = [&movement::INDEX_ADD, &movement::SEGMENT_MAX];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn indexing(
        outer in 0usize..5, source in 1usize..20, picks in 0usize..20,
        inner in prop_oneof![Just(1), 0usize..40], shifts in [SHIFTS; 3], seed: u64,
    ) {
        let shape = Gathering { outer, source, picks, inner };
        let index = Memory::indices(outer * picks * inner, shifts[2], source, seed);
        let x = Memory::special(outer * source * inner, shifts[0], seed);
        same(&movement::GATHER, index.len(), shifts[1], |run, out: &mut [f32]| {
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { run(&shape, x.slice(), index.slice(), out) }
        })?;
        let picked = Memory::special(index.len(), shifts[1], seed);
        same(&movement::SCATTER_ADD, x.len(), shifts[0], |run, out: &mut [f32]| {
            // SAFETY: as above.
            unsafe { run(&shape, picked.slice(), index.slice(), out) }
        })?;
    }

    #[test]
    fn indexing_of_rows(
        outer in 0usize..5, source in 1usize..20, picks in 0usize..60,
        inner in prop_oneof![Just(1), 0usize..90], shifts in [SHIFTS; 3], seed: u64,
    ) {
        let shape = Gathering { outer, source, picks, inner };
        let index = Memory::indices(picks, shifts[2], source, seed);
        let x = Memory::special(outer * source * inner, shifts[0], seed);
        let picked = Memory::special(outer * picks * inner, shifts[1], seed);
        for outside in [f32::NAN, 0.0] {
            let select = &movement::INDEX_SELECT;
            same(select, picked.len(), shifts[1], |run, out: &mut [f32]| {
                // SAFETY: as above.
                unsafe { run(&shape, x.slice(), index.slice(), outside, out) }
            })?;
        }
        for kernel in FOLDS {
            same(kernel, x.len(), shifts[0], |run, out: &mut [f32]| {
                // SAFETY: as above.
                unsafe { run(&shape, picked.slice(), index.slice(), out) }
            })?;
        }
    }

    /// Permutations of three axes, some of them backwards, with gaps behind the lines
    /// of each.
    #[test]
    fn permutations(
        sizes in [0usize..40, 1usize..40, 1usize..5], gap in 0usize..3, order in 0usize..6,
        backwards in [any::<bool>(), any::<bool>(), any::<bool>()], shifts in [SHIFTS; 2],
        seed: u64,
    ) {
        let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]][order];
        let lines = [sizes[0], sizes[1], sizes[2] + gap];
        let own = [lines[1] * lines[2], lines[2], 1];
        let offset = (0..3).filter(|axis| backwards[*axis]);
        let offset = offset.map(|axis| sizes[axis].saturating_sub(1) * own[axis]).sum();
        let signed = |axis: usize| own[axis] as isize * if backwards[axis] { -1 } else { 1 };
        let (sizes, strides) = (order.map(|axis| sizes[axis]), order.map(signed));
        let layout = Strided { sizes: &sizes, strides: &strides, offset };
        let (gapped, dense) = (lines.iter().product(), layout.elements());
        let offset = if dense == 0 { 0 } else { offset };
        let layout = Strided { offset, ..layout };
        let x = any_bits(gapped, shifts[0], seed);
        same(&movement::READ_STRIDED, dense, shifts[1], |run, out: &mut [u32]| {
            let (x, out) = (bytemuck::cast_slice(x.slice()), bytemuck::cast_slice_mut(out));
            // SAFETY: the layout lies in its slice, the other is as long as it has
            // elements; the variant is supported.
            unsafe { run(&layout, x, out) }
        })?;
        let x = any_bits(dense, shifts[1], seed);
        same(&movement::WRITE_STRIDED, gapped, shifts[0], |run, out: &mut [u32]| {
            let (x, out) = (bytemuck::cast_slice(x.slice()), bytemuck::cast_slice_mut(out));
            // SAFETY: as above.
            unsafe { run(&layout, x, out) }
        })?;
    }

    #[test]
    fn moves_of_16_bits(
        outer in 0usize..5, source in 1usize..20, picks in 0usize..20, inner in 1usize..40,
        shifts in [SHIFTS; 3], seed: u64,
    ) {
        let shape = Gathering { outer, source, picks, inner };
        let index = Memory::indices(outer * picks * inner, shifts[2], source, seed);
        let x = Memory::stored(Storage::F16, outer * source * inner, shifts[0], seed);
        same(&GATHER_HALF, index.len(), shifts[1], |run, out: &mut [u16]| {
            // SAFETY: the slices are as long as the shape says; the variant is
            // supported.
            unsafe { run(&shape, x.slice(), index.slice(), 0x7e00, out) }
        })?;
        let rows = Memory::indices(picks, shifts[2], source, !seed);
        same(&INDEX_SELECT_HALF, index.len(), shifts[1], |run, out: &mut [u16]| {
            // SAFETY: as above.
            unsafe { run(&shape, x.slice(), rows.slice(), 0x7e00, out) }
        })?;
        // The planes [source, inner] turned, and put back.
        let sizes = [outer, inner, source];
        let strides = [source * inner, 1, inner].map(|stride| stride as isize);
        let layout = Strided { sizes: &sizes, strides: &strides, offset: 0 };
        for kernel in [&READ_STRIDED_HALF, &WRITE_STRIDED_HALF] {
            same(kernel, x.len(), shifts[1], |run, out: &mut [u16]| {
                // SAFETY: as above.
                unsafe { run(&layout, x.slice(), out) }
            })?;
        }
    }
}
