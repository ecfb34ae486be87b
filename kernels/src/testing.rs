//! What the tests of all kernel families share: inputs, poison, comparisons.
//!
//! An output is poisoned before a kernel runs, so that an element which was
//! never written cannot pass for one that was written as zero. Comparisons fail
//! unless `error <= tolerance` holds, so that NaN fails.

use crate::Real;

/// Lengths that straddle every vector width and unrolling in this crate, with
/// 0 and 1.
pub const RAGGED: [usize; 16] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 1000];

/// Cases of a random test: as many as usual, or `SPECK_FUZZ_CASES` of them (fewer
/// under a checker that slows them down, more for a long hunt).
pub fn cases(usual: u32) -> u32 {
    let given = std::env::var("SPECK_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(usual)
}

/// `n` values, uniform in `low..high`; the same for the same seed on every
/// machine.
pub fn random<T: Real>(seed: u64, n: usize, low: f64, high: f64) -> Vec<T> {
    let value = |i: usize| {
        let bits = hash(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64));
        let unit = (bits >> 11) as f64 / (1u64 << 53) as f64;
        T::of(low + (high - low) * unit)
    };
    (0..n).map(value).collect()
}

/// A bijective mixer of 64 bits (the finaliser of SplitMix64).
pub fn hash(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `n` NaNs: an output before a kernel has written it.
pub fn poisoned<T: Real>(n: usize) -> Vec<T> {
    vec![T::nan(); n]
}

/// Panics, naming the first bad index, unless every
/// `|got - want| <= absolute + relative * |want|`. Equal infinities pass, a NaN
/// on either side fails, and so do different lengths.
#[track_caller]
pub fn assert_close<T: Real>(got: &[T], want: &[T], relative: f64, absolute: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (got.wide(), want.wide());
        let error = if got == want { 0.0 } else { (got - want).abs() };
        let tolerance = if want.is_finite() { absolute + relative * want.abs() } else { 0.0 };
        // `assert!` fails unless the comparison holds, so NaN fails.
        assert!(
            error <= tolerance,
            "{what}: element {i} is {got:e}, should be {want:e} within {tolerance:e}"
        );
    }
}

/// Panics, naming the first bad index, unless both slices hold the same bits,
/// where all NaNs count as the same.
#[track_caller]
pub fn assert_same<T: Real>(got: &[T], want: &[T], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let zero_signs = got.is_sign_negative() == want.is_sign_negative();
        let same = (got == want && zero_signs) || (got.is_nan() && want.is_nan());
        assert!(same, "{what}: element {i} is {got:?}, should be exactly {want:?}");
    }
}

/// How many `f32` values lie between `a` and `b`: 0 if they are equal (`-0` and
/// `+0` are), 1 if they are neighbours. Two NaNs are at distance 0, a NaN and
/// a number at `u64::MAX`.
pub fn ulps(a: f32, b: f32) -> u64 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() { 0 } else { u64::MAX };
    }
    let ordered = |value: f32| {
        let magnitude = i64::from(value.to_bits() & 0x7fff_ffff);
        if value.is_sign_negative() { -magnitude } else { magnitude }
    };
    ordered(a).abs_diff(ordered(b))
}

#[test]
fn nan_and_poison_fail_every_comparison() {
    let close = |got: f32, want: f32| {
        std::panic::catch_unwind(|| assert_close(&[got], &[want], 1e-3, 1e-3, "self-test")).is_ok()
    };
    assert!(close(1.0, 1.0005) && close(f32::INFINITY, f32::INFINITY));
    assert!(!close(1.0, 1.01) && !close(f32::NAN, 1.0) && !close(1.0, f32::NAN));
    assert!(!close(f32::INFINITY, 1.0) && !close(1.0, f32::INFINITY));
    assert_eq!(ulps(-0.0, 0.0), 0);
    assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), 1);
    assert_eq!(ulps(f32::NAN, 1.0), u64::MAX);
}
