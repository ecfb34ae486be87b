//! AVX2: eight values a step; the rest one by one, as `scalar` does it. f16 by the
//! instructions of F16C, bf16 as in `avx512`.

// The one condition of every function here is the instruction set, and that the
// pointers are valid; see `Widen` and `Store`.
#![allow(unsafe_op_in_unsafe_fn)]

use super::scalar;
use std::arch::x86_64::*;

/// # Safety
/// The processor has AVX2 and F16C; see [`super::Widen`].
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn widen_f16(from: *const u16, to: *mut f32, n: usize) {
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        let bits = _mm_loadu_si128(from.add(i).cast());
        _mm256_storeu_ps(to.add(i), _mm256_cvtph_ps(bits));
    }
    scalar::widen::<false, f32>(from.wrapping_add(whole), to.wrapping_add(whole), n - whole);
}

/// # Safety
/// The processor has AVX2; see [`super::Widen`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen_bf16(from: *const u16, to: *mut f32, n: usize) {
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(i).cast()));
        _mm256_storeu_si256(to.add(i).cast(), _mm256_slli_epi32::<16>(bits));
    }
    scalar::widen::<true, f32>(from.wrapping_add(whole), to.wrapping_add(whole), n - whole);
}

/// # Safety
/// The processor has AVX2 and F16C; see [`super::Store`].
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn store_f16(from: *const f32, to: *mut u16, n: usize) {
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        let bits = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.add(i)));
        _mm_storeu_si128(to.add(i).cast(), bits);
    }
    scalar::store::<false, f32>(from.wrapping_add(whole), to.wrapping_add(whole), n - whole);
}

/// # Safety
/// The processor has AVX2; see [`super::Store`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_bf16(from: *const f32, to: *mut u16, n: usize) {
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        let values = _mm256_loadu_ps(from.add(i));
        let bits = _mm256_castps_si256(values);
        let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last);
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
        let upper = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(sum, quiet, nan));
        // Packing works within halves of 128 bits: the two that count are 0 and 2.
        let packed = _mm256_packus_epi32(upper, upper);
        let packed = _mm256_permute4x64_epi64::<0b1000>(packed);
        _mm_storeu_si128(to.add(i).cast(), _mm256_castsi256_si128(packed));
    }
    scalar::store::<true, f32>(from.wrapping_add(whole), to.wrapping_add(whole), n - whole);
}
