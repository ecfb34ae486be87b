//! The loops over registers, for any [`Lanes`].

// See `Lanes` for the one condition; lengths are checked before.
#![allow(unsafe_op_in_unsafe_fn)]

use super::Taps;
use crate::elementwise::lanes::Lanes;
use crate::parallel::{GRAIN, Shared, for_parts};
use std::ops::Range;

/// The routines of an instruction set, out of the loops here.
macro_rules! compiled {
    ($vector:ty, $features:literal) => {
        use super::{Taps, lanes};
        use std::ops::Range;

        #[target_feature(enable = $features)]
        unsafe fn at(taps: &Taps, places: Range<usize>, x: &[f32], k: &[f32], out: *mut f32) {
            // SAFETY: the caller's promise; this function has the instruction set.
            unsafe { lanes::at::<$vector>(taps, places, x, k, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn to(taps: &Taps, places: Range<usize>, x: &[f32], k: &[f32], out: *mut f32) {
            // SAFETY: as above.
            unsafe { lanes::to::<$vector>(taps, places, x, k, out) }
        }

        /// The contract of [`super::AT_LARGEST`].
        pub fn at_largest(taps: &Taps, x: &[f32], k: &[f32], out: &mut [f32]) {
            taps.check(x.len(), out.len());
            assert_eq!(k.len(), x.len(), "length of the values");
            lanes::for_places(taps, x, k, out, at);
        }

        /// The contract of [`super::TO_LARGEST`].
        pub fn to_largest(taps: &Taps, x: &[f32], k: &[f32], out: &mut [f32]) {
            taps.check(x.len(), k.len());
            assert_eq!(out.len(), x.len(), "length of the values");
            lanes::for_places(taps, x, k, out, to);
        }
    };
}
pub(super) use compiled;

pub fn for_places(
    taps: &Taps,
    x: &[f32],
    k: &[f32],
    out: &mut [f32],
    run: unsafe fn(&Taps, Range<usize>, &[f32], &[f32], *mut f32),
) {
    let shared = Shared::new(out);
    let each = (GRAIN / (taps.taps * taps.channels).max(1)).max(1);
    for_parts(taps.places, each, |places| {
        // SAFETY: the processor has the instruction set, or the variant would not
        // have been chosen; lengths are checked, and parts write their places.
        unsafe { run(taps, places, x, k, shared.get()) };
    });
}

#[inline(always)]
unsafe fn load<V: Lanes>(from: *const f32, part: usize) -> V {
    if part == 0 { V::load(from) } else { V::load_part(from, part, V::splat(0.0)) }
}

#[inline(always)]
unsafe fn store<V: Lanes>(value: V, to: *mut f32, part: usize) {
    if part == 0 { value.store(to) } else { value.store_part(to, part) }
}

/// Calls `take` with each tap, and whether it is larger than all before it in
/// form of a function that picks by lane.
#[inline(always)]
unsafe fn walk<V: Lanes>(
    taps: &Taps,
    x: *const f32,
    part: usize,
    mut take: impl FnMut(usize, V::Mask),
) {
    let mut best = V::splat(f32::NEG_INFINITY);
    for tap in 0..taps.taps {
        let value = load::<V>(x.add(tap * taps.channels), part);
        // NaN is not ≤ anything: with `best` no NaN, "not best ≥ value" is "value
        // is larger, or NaN". Once `best` is NaN it stays.
        let smaller = best.greater_equal(value);
        let one = V::select(smaller, V::splat(0.0), V::splat(1.0));
        let one = V::select(best.is_nan(), V::splat(0.0), one);
        let larger = one.greater(V::splat(0.0));
        best = V::select(larger, value, best);
        take(tap, larger);
    }
}

#[inline(always)]
pub unsafe fn at<V: Lanes>(taps: &Taps, places: Range<usize>, x: &[f32], k: &[f32], out: *mut f32) {
    let channels = taps.channels;
    for place in places {
        let mut channel = 0;
        while channel < channels {
            let part = (channels - channel).min(V::WIDTH) % V::WIDTH;
            let first = place * taps.taps * channels + channel;
            let k = k.as_ptr().add(first);
            // The first tap stands unless a later one is larger.
            let mut found = if taps.taps > 0 { load::<V>(k, part) } else { V::splat(0.0) };
            walk::<V>(taps, x.as_ptr().add(first), part, |tap, larger| {
                found = V::select(larger, load(k.add(tap * channels), part), found);
            });
            store(found, out.add(place * channels + channel), part);
            channel += V::WIDTH;
        }
    }
}

#[inline(always)]
pub unsafe fn to<V: Lanes>(taps: &Taps, places: Range<usize>, x: &[f32], k: &[f32], out: *mut f32) {
    let channels = taps.channels;
    for place in places {
        let mut channel = 0;
        while channel < channels {
            let part = (channels - channel).min(V::WIDTH) % V::WIDTH;
            let first = place * taps.taps * channels + channel;
            // Numbers of taps are small, hence exact.
            let mut found = V::splat(0.0);
            walk::<V>(taps, x.as_ptr().add(first), part, |tap, larger| {
                found = V::select(larger, V::splat(tap as f32), found);
            });
            let value = load::<V>(k.as_ptr().add(place * channels + channel), part);
            for tap in 0..taps.taps {
                let own = found.equal(V::splat(tap as f32));
                let value = V::select(own, value, V::splat(0.0));
                store(value, out.add(first + tap * channels), part);
            }
            channel += V::WIDTH;
        }
    }
}
