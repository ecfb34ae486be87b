//! Gathering sixteen elements at a time.
//!
//! Max pooling gathers from planes of a few KiB that lie in the first-level
//! cache. The loop of `tiled.rs` does an index, a comparison with the bound and
//! a load for each element, about a nanosecond; here one comparison serves
//! sixteen indices, and those outside are not loaded but NaN.

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
            let values = _mm512_mask_i32gather_ps::<4>(nan, inside, picks, from.as_ptr());
            _mm512_mask_storeu_ps(to.as_mut_ptr().add(at), lanes, values);
        }
        at += count;
    }
}
