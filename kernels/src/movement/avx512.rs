//! Gathering sixteen elements at a time.
//!
//! Max pooling gathers from planes of a few KiB. The loop of `tiled.rs` does an index, a
//! comparison with the bound and a load for each element, about a nanosecond; here one
//! comparison serves sixteen indices.
//!
//! It was `vgatherdps` that loaded them, which on a two-core AVX-512 server (Zen 5) is
//! slower than sixteen loads: where planes come from memory it took 1.2 to 2.3 times as
//! long as `tiled`. Now it loads only where an index is outside. And all of a plane is
//! asked for before its elements are picked, for the lines are wanted in no order that
//! the processor could see. In a training step of a network of three convolutions, each
//! pooled 2 × 2, at batch 256, on two threads: from 11.1, 5.7 and 2.5 ms to 5.7, 2.8 and
//! 0.8, of 160 in all.

use super::{Gathering, tiled};
use crate::parallel::{GRAIN, Shared, for_parts};
use std::arch::x86_64::*;

/// The contract of [`GATHER`](super::GATHER).
pub(super) unsafe fn gather(shape: &Gathering, x: &[f32], index: &[i32], out: &mut [f32]) {
    shape.check(x.len(), index.len(), out.len());
    let Gathering { outer, source, picks, inner } = *shape;
    // Where elements are more than one wide, or an index can be negative as
    // seen from here, the loops of `tiled.rs` are as good.
    if inner != 1 || i32::try_from(source).is_err() || picks == 0 {
        return tiled::gather(shape, x, index, out);
    }
    let target = Shared::new(out);
    // Several short rows in a part, or parts of a long one.
    let row = GRAIN.clamp(1, picks);
    let rows = picks.div_ceil(row);
    for_parts(outer * rows, GRAIN / row, |range| {
        for unit in range {
            let (o, first) = (unit / rows, unit % rows * row);
            let from = &x[o * source..][..source];
            let (start, end) = (o * picks + first, o * picks + (first + row).min(picks));
            tiled::ask_all(from, end - start);
            // SAFETY: rows of different units do not overlap and lie in the
            // output; the variant is only chosen where it is supported.
            unsafe { gather_row(from, &index[start..end], target.part(start..end)) };
        }
    });
}

#[target_feature(enable = "avx512f")]
fn gather_row(from: &[f32], index: &[i32], to: &mut [f32]) {
    let bound = _mm512_set1_epi32(from.len() as i32);
    let nan = _mm512_set1_ps(f32::NAN);
    let mut at = 0;
    while at < to.len() {
        let count = (to.len() - at).min(16);
        let lanes = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: masked lanes are not read or written; the others lie in the
        // slices, and indices that are used are below the source's length.
        unsafe {
            let picks = _mm512_maskz_loadu_epi32(lanes, index.as_ptr().add(at));
            let inside = _mm512_mask_cmplt_epu32_mask(lanes, picks, bound);
            if inside == 0xffff {
                for i in at..at + 16 {
                    *to.get_unchecked_mut(i) =
                        *from.get_unchecked(*index.get_unchecked(i) as usize);
                }
            } else {
                let values = _mm512_mask_i32gather_ps::<4>(nan, inside, picks, from.as_ptr());
                _mm512_mask_storeu_ps(to.as_mut_ptr().add(at), lanes, values);
            }
        }
        at += count;
    }
}
