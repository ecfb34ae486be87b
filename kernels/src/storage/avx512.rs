//! AVX-512: sixteen values a step, and the rest under a mask.
//!
//! f16 has instructions of its own, in both directions (`VCVTPH2PS`, `VCVTPS2PH`):
//! they know subnormal numbers and NaN. bf16 is the upper half of an f32: to widen
//! is to shift; to round is to add just less than half a unit, and one more where
//! the last bit that stays is 1, and to take the upper half.
//!
//! `VCVTNE2PS2BF16` rounds 32 values at once, but takes subnormal numbers for 0.
//! `store_bf16_pairs` asks whether there is one among the 32 (`VFPCLASSPS`), and
//! goes the long way for these alone. On a two-core AVX-512 server (Zen 5), one
//! thread, 262 144 values from and to a second-level cache: 14.3 µs, 17.4 without
//! that instruction, 23.8 with AVX2, 71 the specification; f16 14.1, 19.1 with AVX2,
//! 321 the specification. Widening takes 14 to 17 µs with either instruction set; the
//! specification 19 for bf16, 125 for f16.

// The one condition of every function here is the instruction set, and that the
// pointers are valid; see `Widen` and `Store`.
#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

/// The mask of the first `count < 16` lanes.
#[inline]
fn first(count: usize) -> __mmask16 {
    (1 << count) - 1
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL; see [`super::Widen`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn widen_f16(from: *const u16, to: *mut f32, n: usize) {
    let whole = n / 16 * 16;
    for i in (0..whole).step_by(16) {
        let bits = _mm256_loadu_si256(from.add(i).cast());
        _mm512_storeu_ps(to.add(i), _mm512_cvtph_ps(bits));
    }
    let mask = first(n - whole);
    let bits = _mm256_maskz_loadu_epi16(mask, from.wrapping_add(whole).cast());
    _mm512_mask_storeu_ps(to.wrapping_add(whole), mask, _mm512_cvtph_ps(bits));
}

/// # Safety
/// As for [`widen_f16`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn widen_bf16(from: *const u16, to: *mut f32, n: usize) {
    let widened = |bits| _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits));
    let whole = n / 16 * 16;
    for i in (0..whole).step_by(16) {
        let bits = _mm256_loadu_si256(from.add(i).cast());
        _mm512_storeu_si512(to.add(i).cast(), widened(bits));
    }
    let mask = first(n - whole);
    let bits = _mm256_maskz_loadu_epi16(mask, from.wrapping_add(whole).cast());
    _mm512_mask_storeu_epi32(to.wrapping_add(whole).cast(), mask, widened(bits));
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL; see [`super::Store`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn store_f16(from: *const f32, to: *mut u16, n: usize) {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let whole = n / 16 * 16;
    for i in (0..whole).step_by(16) {
        let bits = _mm512_cvtps_ph::<NEAREST>(_mm512_loadu_ps(from.add(i)));
        _mm256_storeu_si256(to.add(i).cast(), bits);
    }
    let mask = first(n - whole);
    let values = _mm512_maskz_loadu_ps(mask, from.wrapping_add(whole));
    let bits = _mm512_cvtps_ph::<NEAREST>(values);
    _mm256_mask_storeu_epi16(to.wrapping_add(whole).cast(), mask, bits);
}

/// Sixteen values in bf16.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
fn rounded(values: __m512) -> __m256i {
    let bits = _mm512_castps_si512(values);
    let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), last);
    // The payload of a NaN could carry over; it is cut off and made quiet.
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    let sum = _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x40_0000));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(sum))
}

/// # Safety
/// As for [`store_f16`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn store_bf16(from: *const f32, to: *mut u16, n: usize) {
    let whole = n / 16 * 16;
    for i in (0..whole).step_by(16) {
        _mm256_storeu_si256(to.add(i).cast(), rounded(_mm512_loadu_ps(from.add(i))));
    }
    let mask = first(n - whole);
    let values = _mm512_maskz_loadu_ps(mask, from.wrapping_add(whole));
    _mm256_mask_storeu_epi16(to.wrapping_add(whole).cast(), mask, rounded(values));
}

/// # Safety
/// As for [`store_f16`], with AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn store_bf16_pairs(from: *const f32, to: *mut u16, n: usize) {
    const SUBNORMAL: i32 = 0x20;
    let whole = n / 32 * 32;
    for i in (0..whole).step_by(32) {
        let [low, high] = [_mm512_loadu_ps(from.add(i)), _mm512_loadu_ps(from.add(i + 16))];
        let subnormal =
            _mm512_fpclass_ps_mask::<SUBNORMAL>(low) | _mm512_fpclass_ps_mask::<SUBNORMAL>(high);
        if subnormal != 0 {
            store_bf16(from.add(i), to.add(i), 32);
            continue;
        }
        let pairs = _mm512_cvtne2ps_pbh(high, low);
        _mm512_storeu_si512(to.add(i).cast(), std::mem::transmute::<__m512bh, __m512i>(pairs));
    }
    store_bf16(from.wrapping_add(whole), to.wrapping_add(whole), n - whole);
}
