//! The two forms of `winograd`: their matrices, applied to vectors of 16 tiles.

use std::arch::x86_64::*;

/// The most points along an axis.
pub(super) const MOST: usize = 6;

/// One of the two forms.
pub(super) trait Form {
    /// Results of a tile along an axis.
    const M: usize;
    /// Points along an axis.
    const POINTS: usize = Self::M + 2;
    /// Transforms three weights.
    const WEIGHT: [[f32; 3]; MOST];
    /// `Bᵀ` times the first `POINTS` values.
    fn input(x: [__m512; MOST]) -> [__m512; MOST];
    /// `Aᵀ` times the first `POINTS` values: `M` results.
    fn output(x: [__m512; MOST]) -> [__m512; 4];
    /// Of `M` vectors in a row the elements `0, M, 2M, …`, those after them, and
    /// so on.
    fn deal(x: [__m512; 4]) -> [__m512; 4];
    /// Stores the `M` vectors, an element of each in turn.
    ///
    /// # Safety
    /// The processor has AVX-512 F, and `to` is writable for `M` vectors.
    unsafe fn interleave(x: [__m512; 4], to: *mut f32);
}

/// F(2×2, 3×3).
pub(super) struct Two;

impl Form for Two {
    const M: usize = 2;
    const WEIGHT: [[f32; 3]; MOST] =
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0], [0.0; 3], [0.0; 3]];
    #[inline(always)]
    fn input([a, b, c, d, ..]: [__m512; MOST]) -> [__m512; MOST] {
        // SAFETY: inlined into functions that have AVX-512.
        unsafe {
            let zero = _mm512_setzero_ps();
            let (first, last) = (_mm512_sub_ps(a, c), _mm512_sub_ps(b, d));
            [first, _mm512_add_ps(b, c), _mm512_sub_ps(c, b), last, zero, zero]
        }
    }
    #[inline(always)]
    fn output([a, b, c, d, ..]: [__m512; MOST]) -> [__m512; 4] {
        // SAFETY: inlined into functions that have AVX-512.
        unsafe {
            let zero = _mm512_setzero_ps();
            let first = _mm512_add_ps(a, _mm512_add_ps(b, c));
            [first, _mm512_sub_ps(_mm512_sub_ps(b, c), d), zero, zero]
        }
    }
    #[inline(always)]
    fn deal([a, b, ..]: [__m512; 4]) -> [__m512; 4] {
        // SAFETY: inlined into functions that have AVX-512.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            let [even, odd] = [even, odd].map(|which| _mm512_permutex2var_ps(a, which, b));
            [even, odd, _mm512_setzero_ps(), _mm512_setzero_ps()]
        }
    }
    #[inline(always)]
    unsafe fn interleave([a, b, ..]: [__m512; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            _mm512_storeu_ps(to, _mm512_permutex2var_ps(a, low, b));
            _mm512_storeu_ps(to.add(16), _mm512_permutex2var_ps(a, high, b));
        }
    }
}

/// F(4×4, 3×3).
pub(super) struct Four;

impl Form for Four {
    const M: usize = 4;
    const WEIGHT: [[f32; 3]; MOST] = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    /// Rows `4 0 −5 0 1 0`, `0 −4 −4 1 1 0`, `0 4 −4 −1 1 0`, `0 −2 −1 2 1 0`,
    /// `0 2 −1 −2 1 0`, `0 4 0 −5 0 1`.
    #[inline(always)]
    fn input([a, b, c, d, e, f]: [__m512; MOST]) -> [__m512; MOST] {
        // SAFETY: inlined into functions that have AVX-512.
        unsafe {
            let [two, four, five] = [2.0, 4.0, 5.0].map(|x| _mm512_set1_ps(x));
            let even = _mm512_fnmadd_ps(four, c, e);
            let odd = _mm512_fnmadd_ps(four, b, d);
            let (near, far) = (_mm512_sub_ps(e, c), _mm512_sub_ps(d, b));
            [
                _mm512_fmadd_ps(four, a, _mm512_fnmadd_ps(five, c, e)),
                _mm512_add_ps(even, odd),
                _mm512_sub_ps(even, odd),
                _mm512_fmadd_ps(two, far, near),
                _mm512_fnmadd_ps(two, far, near),
                _mm512_fmadd_ps(four, b, _mm512_fnmadd_ps(five, d, f)),
            ]
        }
    }
    /// Rows `1 1 1 1 1 0`, `0 1 −1 2 −2 0`, `0 1 1 4 4 0`, `0 1 −1 8 −8 1`.
    #[inline(always)]
    fn output([a, b, c, d, e, f]: [__m512; MOST]) -> [__m512; 4] {
        // SAFETY: inlined into functions that have AVX-512.
        unsafe {
            let [two, four, eight] = [2.0, 4.0, 8.0].map(|x| _mm512_set1_ps(x));
            let (ones, one) = (_mm512_add_ps(b, c), _mm512_sub_ps(b, c));
            let (twos, two_apart) = (_mm512_add_ps(d, e), _mm512_sub_ps(d, e));
            [
                _mm512_add_ps(a, _mm512_add_ps(ones, twos)),
                _mm512_fmadd_ps(two, two_apart, one),
                _mm512_fmadd_ps(four, twos, ones),
                _mm512_add_ps(f, _mm512_fmadd_ps(eight, two_apart, one)),
            ]
        }
    }
    #[inline(always)]
    fn deal([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        let ([ab, ab_odd, ..], [cd, cd_odd, ..]) =
            (Two::deal([a, b, a, b]), Two::deal([c, d, c, d]));
        let ([first, third, ..], [second, fourth, ..]) =
            (Two::deal([ab, cd, ab, cd]), Two::deal([ab_odd, cd_odd, ab_odd, cd_odd]));
        [first, second, third, fourth]
    }
    #[inline(always)]
    unsafe fn interleave([a, b, c, d]: [__m512; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let pairs = |a, b| {
                let cast = _mm512_castps_pd;
                [cast(_mm512_unpacklo_ps(a, b)), cast(_mm512_unpackhi_ps(a, b))]
            };
            let ([ab, ab_high], [cd, cd_high]) = (pairs(a, b), pairs(c, d));
            // fours[s]: in each 128-bit lane l, element 4l + s of all four.
            let fours = [
                _mm512_unpacklo_pd(ab, cd),
                _mm512_unpackhi_pd(ab, cd),
                _mm512_unpacklo_pd(ab_high, cd_high),
                _mm512_unpackhi_pd(ab_high, cd_high),
            ]
            .map(|x| _mm512_castpd_ps(x));
            // A transposition of 128-bit lanes.
            let even = [0, 2].map(|s| _mm512_shuffle_f32x4::<0x88>(fours[s], fours[s + 1]));
            let odd = [0, 2].map(|s| _mm512_shuffle_f32x4::<0xdd>(fours[s], fours[s + 1]));
            _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
            _mm512_storeu_ps(to.add(16), _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]));
            _mm512_storeu_ps(to.add(32), _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]));
            _mm512_storeu_ps(to.add(48), _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]));
        }
    }
}
