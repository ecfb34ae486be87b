//! AVX-512: sixteen lanes, with predicate registers for masks.

// The one condition of every function here is the instruction set, and that
// the pointers are valid; see `Lanes`.
#![allow(unsafe_op_in_unsafe_fn)]

use super::formula::{BinaryFormula, UnaryFormula};
use super::lanes::{self, Lanes};
use std::arch::x86_64::*;

/// Sixteen lanes of `f32`.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);

/// The predicate whose first `count < 16` lanes are true.
#[inline(always)]
fn window(count: usize) -> __mmask16 {
    (1 << count) - 1
}

impl Lanes for F32x16 {
    type Mask = __mmask16;
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        F32x16(_mm512_loadu_ps(from))
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize, fill: Self) -> Self {
        F32x16(_mm512_mask_loadu_ps(fill.0, window(count), from))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self.0);
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        _mm512_stream_ps(to, self.0);
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        _mm512_mask_storeu_ps(to, window(count), self.0);
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        F32x16(_mm512_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn first(self) -> f32 {
        _mm512_cvtss_f32(self.0)
    }
    #[inline(always)]
    unsafe fn exchange(self, distance: usize) -> Self {
        F32x16(match distance {
            8 => _mm512_shuffle_f32x4::<0b01_00_11_10>(self.0, self.0),
            4 => _mm512_shuffle_f32x4::<0b10_11_00_01>(self.0, self.0),
            2 => _mm512_permute_ps::<0b01_00_11_10>(self.0),
            _ => _mm512_permute_ps::<0b10_11_00_01>(self.0),
        })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        F32x16(_mm512_add_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        F32x16(_mm512_sub_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        F32x16(_mm512_mul_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        F32x16(_mm512_div_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        F32x16(_mm512_fmadd_ps(self.0, factor.0, term.0))
    }
    #[inline(always)]
    unsafe fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        F32x16(_mm512_fnmadd_ps(self.0, factor.0, term.0))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        F32x16(_mm512_max_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        F32x16(_mm512_min_ps(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn sqrt(self) -> Self {
        F32x16(_mm512_sqrt_ps(self.0))
    }
    #[inline(always)]
    unsafe fn floor(self) -> Self {
        F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        F32x16(_mm512_abs_ps(self.0))
    }
    #[inline(always)]
    unsafe fn flip_sign(self, sign: Self) -> Self {
        F32x16(_mm512_xor_ps(self.0, _mm512_and_ps(sign.0, _mm512_set1_ps(-0.0))))
    }
    /// One instruction, which also rounds into the denormals only once.
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        F32x16(_mm512_scalef_ps(self.0, n.0))
    }
    /// Subtracting the bits of √½ makes the exponent field turn over at √½
    /// instead of 1; that exponent, taken off, leaves the mantissa.
    #[inline(always)]
    unsafe fn split(self) -> (Self, Self) {
        let bits = _mm512_castps_si512(self.0);
        let root_half = _mm512_castps_si512(_mm512_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
        let exponent = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, root_half));
        let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
        (F32x16(_mm512_castsi512_ps(mantissa)), F32x16(_mm512_cvtepi32_ps(exponent)))
    }

    #[inline(always)]
    unsafe fn greater(self, other: Self) -> __mmask16 {
        _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn greater_equal(self, other: Self) -> __mmask16 {
        _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn equal(self, other: Self) -> __mmask16 {
        _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0)
    }
    #[inline(always)]
    unsafe fn is_nan(self) -> __mmask16 {
        _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0)
    }
    #[inline(always)]
    unsafe fn select(mask: __mmask16, yes: Self, no: Self) -> Self {
        F32x16(_mm512_mask_blend_ps(mask, no.0, yes.0))
    }
    #[inline(always)]
    unsafe fn any(mask: __mmask16) -> bool {
        mask != 0
    }
}

/// Runs a formula; the contract of [`Unary`](super::Unary).
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
pub unsafe fn unary<F: UnaryFormula>(x: *const f32, out: *mut f32, n: usize) {
    lanes::unary::<F32x16, F>(x, out, n);
}

/// Runs a formula; the contract of [`Binary`](super::Binary).
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
pub unsafe fn binary<F: BinaryFormula>(
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    out: *mut f32,
    n: usize,
) {
    lanes::binary::<F32x16, F>(a, a_step, b, b_step, out, n);
}

/// Selects; the contract of [`Select`](super::Select).
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
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
    lanes::select::<F32x16>(condition, condition_step, a, a_step, b, b_step, out, n);
}
