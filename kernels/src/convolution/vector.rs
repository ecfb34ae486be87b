//! Vectors of floats as the convolutions need them whose inner loops are
//! written once for two instruction sets.
//!
//! Whoever has a vector runs on a processor that has the instruction set, so
//! arithmetic on vectors is safe; only what makes the first one is not. All
//! functions are inlined into functions that have the instruction set enabled,
//! which is what makes them fast. So there are no closures around vectors, as in
//! `from_fn` or `map`: a closure is a function of its own, without the
//! instruction set, and each intrinsic in it a call. With a few closures in
//! `transpose` the gradient of the weight took twice as long.

use std::arch::x86_64::*;

/// A vector of floats.
pub(super) trait Vector: Copy {
    /// Floats in a vector.
    const LANES: usize;

    /// All lanes the same.
    ///
    /// # Safety
    /// The processor has the instruction set.
    unsafe fn splat(value: f32) -> Self;
    /// From memory.
    ///
    /// # Safety
    /// The processor has the instruction set; a vector is readable.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` lanes from memory, zero in the others.
    ///
    /// # Safety
    /// The processor has the instruction set; so many floats are readable.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// The first `count` lanes from floats that lie `step` apart, zero in the
    /// others.
    ///
    /// # Safety
    /// The processor has the instruction set; all of them are readable, and
    /// their distances are below 2³¹.
    unsafe fn gather(from: *const f32, step: usize, count: usize) -> Self;
    /// To memory.
    ///
    /// # Safety
    /// A vector is writable.
    unsafe fn store(self, to: *mut f32);
    /// The first `count` lanes to memory.
    ///
    /// # Safety
    /// So many floats are writable.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The difference.
    fn minus(self, other: Self) -> Self;
    /// `self · factor + other`, rounded once.
    fn times_plus(self, factor: Self, other: Self) -> Self;
    /// `other − self · factor`, rounded once.
    fn times_from(self, factor: Self, other: Self) -> Self;

    /// Stores two vectors, an element of each in turn.
    ///
    /// # Safety
    /// Two vectors are writable.
    unsafe fn interleave_two(x: [Self; 2], to: *mut f32);
    /// Stores four vectors, an element of each in turn.
    ///
    /// # Safety
    /// Four vectors are writable.
    unsafe fn interleave_four(x: [Self; 4], to: *mut f32);
    /// Reads a vector at `from` and after each of `rows − 1` steps, and stores
    /// their first elements as a vector at the first of `to`, their second ones
    /// at the second, and so on. Lanes from `rows` on are zero.
    ///
    /// # Safety
    /// The processor has the instruction set; `rows` is at most `LANES`, and of
    /// each row a vector, or as many floats as there are in `to`, are readable; a
    /// vector is writable at each of `to`, of which there are at most `LANES`.
    unsafe fn transpose(from: *const f32, step: usize, rows: usize, to: &[*mut f32]);
}

/// Rows of a block to be transposed.
///
/// # Safety
/// As for [`Vector::transpose`].
#[inline(always)]
unsafe fn rows_of<V: Vector, const N: usize>(
    from: *const f32,
    step: usize,
    rows: usize,
    count: usize,
) -> [V; N] {
    // SAFETY: the caller's promise, for each row.
    unsafe {
        let mut x = [V::splat(0.0); N];
        if rows == N && count >= N {
            for row in 0..N {
                x[row] = V::load(from.add(row * step));
            }
        } else {
            for row in 0..rows {
                x[row] = V::load_first(from.add(row * step), count.min(N));
            }
        }
        x
    }
}

/// Stores vectors at as many places as there are.
///
/// # Safety
/// A vector is writable at each.
#[inline(always)]
unsafe fn store_each<V: Vector, const N: usize>(x: [V; N], to: &[*mut f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        if to.len() == N {
            for i in 0..N {
                x[i].store(to[i]);
            }
        } else {
            for i in 0..N.min(to.len()) {
                x[i].store(to[i]);
            }
        }
    }
}

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize, count: usize) -> Self {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step as i32));
            _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), first(count), at, from)
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe { _mm512_mask_storeu_ps(to, first(count), self) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm512_add_ps(self, other) }
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm512_sub_ps(self, other) }
    }
    #[inline(always)]
    fn times_plus(self, factor: Self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm512_fmadd_ps(self, factor, other) }
    }
    #[inline(always)]
    fn times_from(self, factor: Self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm512_fnmadd_ps(self, factor, other) }
    }

    #[inline(always)]
    unsafe fn interleave_two([a, b]: [Self; 2], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            _mm512_storeu_ps(to, _mm512_permutex2var_ps(a, low, b));
            _mm512_storeu_ps(to.add(16), _mm512_permutex2var_ps(a, high, b));
        }
    }
    #[inline(always)]
    unsafe fn interleave_four(x: [Self; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let fours = fours_512(x);
            let [a, b, c, d] = lanes_512(fours);
            _mm512_storeu_ps(to, a);
            _mm512_storeu_ps(to.add(16), b);
            _mm512_storeu_ps(to.add(32), c);
            _mm512_storeu_ps(to.add(48), d);
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, step: usize, rows: usize, to: &[*mut f32]) {
        // SAFETY: the caller's promise.
        unsafe {
            let x: [Self; 16] = rows_of(from, step, rows, to.len());
            let fours = [
                fours_512([x[0], x[1], x[2], x[3]]),
                fours_512([x[4], x[5], x[6], x[7]]),
                fours_512([x[8], x[9], x[10], x[11]]),
                fours_512([x[12], x[13], x[14], x[15]]),
            ];
            let mut y = x;
            for s in 0..4 {
                let [a, b, c, d] = lanes_512([fours[0][s], fours[1][s], fours[2][s], fours[3][s]]);
                (y[s], y[4 + s], y[8 + s], y[12 + s]) = (a, b, c, d);
            }
            store_each(y, to);
        }
    }
}

/// A transposition of 128-bit lanes.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn lanes_512([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (ab, cd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
        let (ab_odd, cd_odd) =
            (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
        [
            _mm512_shuffle_f32x4::<0x88>(ab, cd),
            _mm512_shuffle_f32x4::<0x88>(ab_odd, cd_odd),
            _mm512_shuffle_f32x4::<0xdd>(ab, cd),
            _mm512_shuffle_f32x4::<0xdd>(ab_odd, cd_odd),
        ]
    }
}

/// A mask of the first lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count.min(16)) - 1) as __mmask16
}

/// `[s]`: in each 128-bit lane l, element `4l + s` of all four.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn fours_512([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
        let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
        let cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        [
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)),
        ]
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe { _mm256_maskload_ps(from, first_256(count)) }
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize, count: usize) -> Self {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let at = _mm256_mullo_epi32(lanes, _mm256_set1_epi32(step as i32));
            let mask = _mm256_castsi256_ps(first_256(count));
            _mm256_mask_i32gather_ps::<4>(_mm256_setzero_ps(), from, at, mask)
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the caller's promise; the mask leaves out the others.
        unsafe { _mm256_maskstore_ps(to, first_256(count), self) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm256_add_ps(self, other) }
    }
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm256_sub_ps(self, other) }
    }
    #[inline(always)]
    fn times_plus(self, factor: Self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm256_fmadd_ps(self, factor, other) }
    }
    #[inline(always)]
    fn times_from(self, factor: Self, other: Self) -> Self {
        // SAFETY: there is a vector.
        unsafe { _mm256_fnmadd_ps(self, factor, other) }
    }

    #[inline(always)]
    unsafe fn interleave_two([a, b]: [Self; 2], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(low, high));
            _mm256_storeu_ps(to.add(8), _mm256_permute2f128_ps::<0x31>(low, high));
        }
    }
    #[inline(always)]
    unsafe fn interleave_four(x: [Self; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let [a, b, c, d] = fours_256(x);
            _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(a, b));
            _mm256_storeu_ps(to.add(8), _mm256_permute2f128_ps::<0x20>(c, d));
            _mm256_storeu_ps(to.add(16), _mm256_permute2f128_ps::<0x31>(a, b));
            _mm256_storeu_ps(to.add(24), _mm256_permute2f128_ps::<0x31>(c, d));
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, step: usize, rows: usize, to: &[*mut f32]) {
        // SAFETY: the caller's promise.
        unsafe {
            let x: [Self; 8] = rows_of(from, step, rows, to.len());
            let low = fours_256([x[0], x[1], x[2], x[3]]);
            let high = fours_256([x[4], x[5], x[6], x[7]]);
            let mut y = x;
            for s in 0..4 {
                y[s] = _mm256_permute2f128_ps::<0x20>(low[s], high[s]);
                y[4 + s] = _mm256_permute2f128_ps::<0x31>(low[s], high[s]);
            }
            store_each(y, to);
        }
    }
}

/// A mask of the first lanes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn first_256(count: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes)
    }
}

/// `[s]`: in each 128-bit lane l, element `4l + s` of all four.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn fours_256([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
        let ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
        let cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
        let cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
        [
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high)),
        ]
    }
}
