//! The two forms of `winograd`: their matrices, applied to vectors.

use crate::convolution::vector::Vector;

/// The most points along an axis.
pub(super) const MOST: usize = 6;

/// One of the two forms.
pub(in crate::convolution) trait Form {
    /// Results of a tile along an axis.
    const M: usize;
    /// Points along an axis.
    const POINTS: usize = Self::M + 2;
    /// `G`, which transforms three weights.
    const WEIGHT: [[f32; 3]; MOST];
    /// `Bᵀ` times the first `POINTS` values.
    fn input<V: Vector>(x: [V; MOST]) -> [V; MOST];
    /// `Aᵀ` times the first `POINTS` values: `M` results.
    fn output<V: Vector>(x: [V; MOST]) -> [V; 4];
    /// `A` times the first `M` values: `POINTS` of the result's cotangent.
    fn cotangent<V: Vector>(x: [V; 4]) -> [V; MOST];
    /// Stores the first `M` vectors, an element of each in turn.
    ///
    /// # Safety
    /// `to` is writable for `M` vectors.
    unsafe fn interleave<V: Vector>(x: [V; 4], to: *mut f32);
}

/// F(2×2, 3×3).
pub(in crate::convolution) struct Two;

impl Form for Two {
    const M: usize = 2;
    const WEIGHT: [[f32; 3]; MOST] =
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0], [0.0; 3], [0.0; 3]];
    /// Rows `1 0 −1 0`, `0 1 1 0`, `0 −1 1 0`, `0 1 0 −1`.
    #[inline(always)]
    fn input<V: Vector>([a, b, c, d, e, f]: [V; MOST]) -> [V; MOST] {
        [a.minus(c), b.plus(c), c.minus(b), b.minus(d), e, f]
    }
    /// Rows `1 1 1 0`, `0 1 −1 −1`.
    #[inline(always)]
    fn output<V: Vector>([a, b, c, d, e, f]: [V; MOST]) -> [V; 4] {
        [a.plus(b.plus(c)), b.minus(c).minus(d), e, f]
    }
    #[inline(always)]
    fn cotangent<V: Vector>([a, b, c, d]: [V; 4]) -> [V; MOST] {
        // SAFETY: there is a vector.
        let zero = unsafe { V::splat(0.0) };
        [a, a.plus(b), a.minus(b), zero.minus(b), c, d]
    }
    #[inline(always)]
    unsafe fn interleave<V: Vector>([a, b, ..]: [V; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { V::interleave_two([a, b], to) }
    }
}

/// F(4×4, 3×3).
pub(in crate::convolution) struct Four;

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
    fn input<V: Vector>([a, b, c, d, e, f]: [V; MOST]) -> [V; MOST] {
        // SAFETY: there is a vector.
        let (two, four, five) = unsafe { (V::splat(2.0), V::splat(4.0), V::splat(5.0)) };
        let even = four.times_from(c, e);
        let odd = four.times_from(b, d);
        let (near, far) = (e.minus(c), d.minus(b));
        [
            four.times_plus(a, five.times_from(c, e)),
            even.plus(odd),
            even.minus(odd),
            two.times_plus(far, near),
            two.times_from(far, near),
            four.times_plus(b, five.times_from(d, f)),
        ]
    }
    /// Rows `1 1 1 1 1 0`, `0 1 −1 2 −2 0`, `0 1 1 4 4 0`, `0 1 −1 8 −8 1`.
    #[inline(always)]
    fn output<V: Vector>([a, b, c, d, e, f]: [V; MOST]) -> [V; 4] {
        // SAFETY: there is a vector.
        let (two, four, eight) = unsafe { (V::splat(2.0), V::splat(4.0), V::splat(8.0)) };
        let (ones, one) = (b.plus(c), b.minus(c));
        let (twos, two_apart) = (d.plus(e), d.minus(e));
        [
            a.plus(ones.plus(twos)),
            two.times_plus(two_apart, one),
            four.times_plus(twos, ones),
            f.plus(eight.times_plus(two_apart, one)),
        ]
    }
    #[inline(always)]
    fn cotangent<V: Vector>([a, b, c, d]: [V; 4]) -> [V; MOST] {
        // SAFETY: there is a vector.
        let (two, four) = unsafe { (V::splat(2.0), V::splat(4.0)) };
        let (even, odd) = (a.plus(c), b.plus(d));
        // a + 4c, and 2b + 8d.
        let (twos_even, twos_odd) = (four.times_plus(c, a), four.times_plus(d, b));
        [
            a,
            even.plus(odd),
            even.minus(odd),
            two.times_plus(twos_odd, twos_even),
            two.times_from(twos_odd, twos_even),
            d,
        ]
    }
    #[inline(always)]
    unsafe fn interleave<V: Vector>(x: [V; 4], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { V::interleave_four(x, to) }
    }
}
