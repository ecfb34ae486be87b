//! The plain loops.

use super::Taps;
use crate::Real;

/// The tap of the largest value.
fn largest<T: Real>(taps: &Taps, x: &[T], place: usize, channel: usize) -> usize {
    let first = place * taps.taps * taps.channels + channel;
    let (mut best, mut best_value) = (0, T::neg_infinity());
    for tap in 0..taps.taps {
        let value = x[first + tap * taps.channels];
        if value > best_value || (value.is_nan() && !best_value.is_nan()) {
            (best, best_value) = (tap, value);
        }
    }
    best
}

pub(super) fn at_largest<T: Real>(taps: &Taps, x: &[T], k: &[T], out: &mut [T]) {
    taps.check(x.len(), out.len());
    assert_eq!(k.len(), x.len(), "length of the values");
    for place in 0..taps.places {
        for channel in 0..taps.channels {
            let tap = largest(taps, x, place, channel);
            out[place * taps.channels + channel] =
                k[(place * taps.taps + tap) * taps.channels + channel];
        }
    }
}

pub(super) fn to_largest<T: Real>(taps: &Taps, x: &[T], k: &[T], out: &mut [T]) {
    taps.check(x.len(), k.len());
    assert_eq!(out.len(), x.len(), "length of the values");
    out.fill(T::zero());
    for place in 0..taps.places {
        for channel in 0..taps.channels {
            let tap = largest(taps, x, place, channel);
            out[(place * taps.taps + tap) * taps.channels + channel] =
                k[place * taps.channels + channel];
        }
    }
}
