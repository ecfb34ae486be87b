//! AVX2 with FMA: eight lanes.

// The one condition of every function here is the instruction set, and that
// the pointers are valid; see `Lanes`.
#![allow(unsafe_op_in_unsafe_fn)]

use super::formula::{BinaryFormula, UnaryFormula};
use super::lanes::{self, Lanes};
use std::arch::x86_64::*;

/// Eight lanes of `f32`.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);

/// `WINDOW[8 - count..]` begins with `count` lanes of ones: the mask under
/// which `maskload` and `maskstore` touch `count` elements.
static WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn window(count: usize) -> __m256i {
    _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast())
}

impl Lanes for F32x8 {
    type Mask = __m256;
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        F32x8(_mm256_loadu_ps(from))
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, fill: Self) -> Self {
        let window = window(count);
        let loaded = _mm256_maskload_ps(from, window);
        F32x8(_mm256_blendv_ps(fill.0, loaded, _mm256_castsi256_ps(window)))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self.0);
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        _mm256_stream_ps(to, self.0);
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        _mm256_maskstore_ps(to, window(count), self.0);
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        F32x8(_mm256_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        _mm256_cvtss_f32(self.0)
    }
    #[inline(always)]
    unsafe fn exchange(self, distance: usize) -> Self {
        F32x8(match distance {
            4 => _mm256_permute2f128_ps::<1>(self.0, self.0),
            2 => _mm256_permute_ps::<0b01_00_11_10>(self.0),
            _ => _mm256_permute_ps::<0b10_11_00_01>(self.0),
        })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        F32x8(_mm256_add_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        F32x8(_mm256_sub_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        F32x8(_mm256_mul_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        F32x8(_mm256_div_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        F32x8(_mm256_fmadd_ps(self.0, factor.0, term.0))
    }
    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        F32x8(_mm256_fnmadd_ps(self.0, factor.0, term.0))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        F32x8(_mm256_max_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        F32x8(_mm256_min_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        F32x8(_mm256_sqrt_ps(self.0))
    }
    #[inline(always)]
    unsafe fn floor(self) -> Self {
        F32x8(_mm256_floor_ps(self.0))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        F32x8(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0))
    }
    #[inline(always)]
    unsafe fn flip_sign(self, sign: Self) -> Self {
        F32x8(_mm256_xor_ps(self.0, _mm256_and_ps(sign.0, _mm256_set1_ps(-0.0))))
    }
    /// 2^n can lie outside the normal range while the product does not, so it
    /// is applied as two powers of half the size. The first product is exact,
    /// the second rounds once, also into the denormals.
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        let n = _mm256_cvtps_epi32(n.0);
        let half = _mm256_srai_epi32::<1>(n);
        let bias = _mm256_set1_epi32(127);
        let near = _mm256_slli_epi32::<23>(_mm256_add_epi32(half, bias));
        let far = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias));
        let product = _mm256_mul_ps(self.0, _mm256_castsi256_ps(near));
        F32x8(_mm256_mul_ps(product, _mm256_castsi256_ps(far)))
    }
    /// Subtracting the bits of √½ makes the exponent field turn over at √½
    /// instead of 1; that exponent, taken off, leaves the mantissa.
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        let bits = _mm256_castps_si256(self.0);
        let root_half = _mm256_castps_si256(_mm256_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
        let exponent = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, root_half));
        let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
        (F32x8(_mm256_castsi256_ps(mantissa)), F32x8(_mm256_cvtepi32_ps(exponent)))
    }

    #[inline(always)]
    unsafe fn greater(self, other: Self) -> __m256 {
        _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn greater_equal(self, other: Self) -> __m256 {
        _mm256_cmp_ps::<_CMP_GE_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn equal(self, other: Self) -> __m256 {
        _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn is_nan(self) -> __m256 {
        _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0)
    }
    #[inline(always)]
    unsafe fn select(mask: __m256, yes: Self, no: Self) -> Self {
        F32x8(_mm256_blendv_ps(no.0, yes.0, mask))
    }
    #[inline(always)]
    unsafe fn any(mask: __m256) -> bool {
        _mm256_movemask_ps(mask) != 0
    }
}

/// Runs a formula; the contract of [`Unary`](super::Unary).
#[target_feature(enable = "avx2,fma")]
pub unsafe fn unary<F: UnaryFormula>(x: *const f32, out: *mut f32, n: usize) {
    lanes::unary::<F32x8, F>(x, out, n);
}

/// Runs a formula; the contract of [`Binary`](super::Binary).
#[target_feature(enable = "avx2,fma")]
pub unsafe fn binary<F: BinaryFormula>(
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    out: *mut f32,
    n: usize,
) {
    lanes::binary::<F32x8, F>(a, a_step, b, b_step, out, n);
}

/// Selects; the contract of [`Select`](super::Select).
#[target_feature(enable = "avx2,fma")]
pub unsafe fn select(
    condition: *const f32,
    condition_step: usize,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    out: *mut f32,
    n: usize,
) {
    lanes::select::<F32x8>(condition, condition_step, a, a_step, b, b_step, out, n);
}
