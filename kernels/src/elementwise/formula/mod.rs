//! The functions in terms of [`Lanes`]: each formula once, for every register
//! width, with its derivation.
//!
//! Arithmetic that IEEE 754 rounds correctly gives the bits of `scalar.rs`.
//! The transcendental functions are approximated; the error stated at each is
//! the largest distance, in units in the last place (ULP), from the correctly
//! rounded value over all 2³² inputs, and the tests hold the formulas to it: the
//! ordinary ones on some millions, `every_f32`, which has to be asked for, on all of
//! them. There (AVX-512 and AVX2, half an hour on two cores) each function reached the
//! bound that is stated and none went beyond.
//!
//! The polynomials are minimax fits (Remez exchange in 40 digits, coefficients
//! then rounded to `f32`). Each is fitted to what remains after the leading
//! terms that are exact in `f32`, such as `1 + r` of e^r, so that rounding the
//! coefficients costs next to nothing. The plans follow Cephes (Moshier).

// See `Lanes` for the one condition.
#![allow(unsafe_op_in_unsafe_fn)]

mod binary;

use super::lanes::Lanes;
use super::scalar::{self, *};
use std::f32::consts::{FRAC_2_PI, LOG2_E};

/// A [`UnaryRule`] on a register.
pub trait UnaryFormula: UnaryRule {
    /// The function of each lane.
    ///
    /// # Safety
    /// As for the methods of [`Lanes`].
    unsafe fn lanes<V: Lanes>(x: V) -> V;
}

/// A [`BinaryRule`] on registers.
pub trait BinaryFormula: BinaryRule {
    /// The function of each pair of lanes.
    ///
    /// # Safety
    /// As for the methods of [`Lanes`].
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V;
}

impl UnaryFormula for Neg {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.flip_sign(V::splat(-0.0))
    }
}

impl UnaryFormula for Abs {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.abs()
    }
}

impl UnaryFormula for Sign {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let zero = V::splat(0.0);
        let below = V::select(zero.greater(x), V::splat(-1.0), x);
        V::select(x.greater(zero), V::splat(1.0), below)
    }
}

impl UnaryFormula for Floor {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.floor()
    }
}

impl UnaryFormula for Round {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.round()
    }
}

impl UnaryFormula for Sqrt {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.sqrt()
    }
}

/// The processors' fast estimate is not used: its bits differ between makers.
impl UnaryFormula for Rsqrt {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        V::splat(1.0).div(x.sqrt())
    }
}

impl UnaryFormula for Reciprocal {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        V::splat(1.0).div(x)
    }
}

impl UnaryFormula for Square {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        x.mul(x)
    }
}

impl UnaryFormula for Relu {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let zero = V::splat(0.0);
        V::select(zero.greater_equal(x), zero, x)
    }
}

/// e^x is 0 below ln 2^-150 = -103.97 and ∞ above ln 2^128 = 88.72. Clamped to
/// a little more than that, n stays in the range of [`Lanes::scale`], which
/// then gives the 0, the denormals and the ∞. The clamps have x as their second
/// operand, which lets NaN through.
///
/// Error: 1 ULP.
impl UnaryFormula for Exp {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        exp_within(V::splat(-104.0).max(V::splat(89.0).min(x)))
    }
}

/// e^x for -104 ≤ x ≤ 89.
///
/// With n the integer nearest to x/ln 2, e^x = 2^n · e^r where r = x - n·ln 2
/// and |r| ≤ ½ ln 2. ln 2 is held in two parts: n times the first is
/// subtracted exactly (both it and x are multiples of 2^-24 and the difference
/// is below 1), the second corrects the rest. Then e^r = 1 + r + r²·P(r), where
/// P has degree 4 and a relative error of 2^-28.
#[inline(always)]
unsafe fn exp_within<V: Lanes>(x: V) -> V {
    let (n, q) = exp_reduced(x);
    q.add(V::splat(1.0)).scale(n)
}

/// n and e^r - 1 of [`exp_within`].
#[inline(always)]
unsafe fn exp_reduced<V: Lanes>(x: V) -> (V, V) {
    let n = x.mul(V::splat(LOG2_E)).round();
    let r = n.neg_mul_add(V::splat(std::f32::consts::LN_2), x);
    let r = n.neg_mul_add(V::splat(-1.904_654_2e-9), r);
    (n, exp_fraction(r))
}

/// e^r - 1 for |r| ≤ ½ ln 2.
#[inline(always)]
unsafe fn exp_fraction<V: Lanes>(r: V) -> V {
    let p =
        r.polynomial([4.999_999_4e-1, 1.666_652_1e-1, 4.166_839e-2, 8.368_745e-3, 1.381_454_2e-3]);
    r.mul(r).mul_add(p, r)
}

/// e^x - 1 = 2^n·q + (2^n - 1) with n and q = e^r - 1 as for e^x. It is built
/// at half its size, because 2^128 is no `f32` though the result may be one:
/// h = 2^(n-1), and h - ½ is exact as long as it matters. Below -18 the result
/// has reached -1.
///
/// Error: 1 ULP.
impl UnaryFormula for Expm1 {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (n, q) = exp_reduced(V::splat(-18.0).max(V::splat(89.0).min(x)));
        let one = V::splat(1.0);
        let half = one.scale(n.sub(one));
        let y = half.mul_add(q, half.sub(V::splat(0.5)));
        // -0 stays -0.
        V::select(x.equal(V::splat(0.0)), x, y.add(y))
    }
}

/// Denormals are multiplied by 2^23 first, and 23 taken off the exponent.
///
/// Error: 1 ULP.
impl UnaryFormula for Log {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let zero = V::splat(0.0);
        let denormal = V::splat(f32::MIN_POSITIVE).greater(x);
        let normal = V::select(denormal, x.mul(V::splat(8_388_608.0)), x);
        let y = log_normal(normal, V::select(denormal, V::splat(-23.0), zero));
        let y = V::select(x.equal(zero), V::splat(f32::NEG_INFINITY), y);
        let y = V::select(x.equal(V::splat(f32::INFINITY)), x, y);
        // Not ≥ 0: negative or NaN.
        V::select(x.greater_equal(zero), y, V::splat(f32::NAN))
    }
}

/// ln(x · 2^more) for a positive normal x.
///
/// x = m·2^e with √½ ≤ m < √2, so that e = 0 around x = 1 and nothing cancels
/// there. With f = m - 1 (exact), ln m = f - f²/2 + f³·P(f), where P has
/// degree 8 and leaves a relative error of 2^-30. e·ln 2 is added in two parts,
/// the first of which has so few bits that its product with e is exact.
#[inline(always)]
unsafe fn log_normal<V: Lanes>(x: V, more: V) -> V {
    let (m, e) = x.split();
    let e = e.add(more);
    let f = m.sub(V::splat(1.0));
    let p = f.polynomial([
        3.333_331_3e-1,
        -2.500_001e-1,
        2.000_211_9e-1,
        -1.666_799_6e-1,
        1.421_955_2e-1,
        -1.240_558_9e-1,
        1.188_816_2e-1,
        -1.167_565e-1,
        6.746_639e-2,
    ]);
    let square = f.mul(f);
    let small = e.mul_add(V::splat(-2.121_944_4e-4), square.mul(f).mul(p));
    let small = square.neg_mul_add(V::splat(0.5), small);
    e.mul_add(V::splat(0.693_359_4), f.add(small))
}

/// ln(1 + u) for finite u > -1.
///
/// y = 1 + u is rounded; what was lost, c = u - (y - 1), is known exactly (for
/// u above 2^24 it is nothing or one), and ln(1 + u) = ln y + ln(1 + c/y) ≈
/// ln y + c/y with an error below 2^-48.
#[inline(always)]
unsafe fn log_1_plus<V: Lanes>(u: V) -> V {
    let one = V::splat(1.0);
    let y = u.add(one);
    let lost = u.sub(y.sub(one));
    log_normal(y, V::splat(0.0)).add(lost.div(y))
}

/// Error: 1 ULP.
impl UnaryFormula for Log1p {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (zero, edge) = (V::splat(0.0), V::splat(-1.0));
        let y = log_1_plus(x);
        // -0 stays -0.
        let y = V::select(x.equal(zero), x, y);
        let y = V::select(x.equal(edge), V::splat(f32::NEG_INFINITY), y);
        let y = V::select(x.equal(V::splat(f32::INFINITY)), x, y);
        // Not ≥ -1: below it or NaN.
        V::select(x.greater_equal(edge), y, V::splat(f32::NAN))
    }
}

/// Error: 2 ULP.
impl UnaryFormula for Softplus {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let e = Exp::lanes(x.abs().flip_sign(V::splat(-0.0)));
        // NaN: relu keeps it, whatever the logarithm makes of it.
        Relu::lanes(x).add(log_1_plus(e))
    }
}

/// As in `scalar.rs`: e = e^-|x| is at most 1, and the numerator of
/// `… / (1 + e)` is 1 on the right and e on the left.
///
/// Error: 2 ULP.
impl UnaryFormula for Sigmoid {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let one = V::splat(1.0);
        let e = Exp::lanes(x.abs().flip_sign(V::splat(-0.0)));
        let numerator = V::select(x.greater_equal(V::splat(0.0)), one, e);
        numerator.div(one.add(e))
    }
}

/// For t = |x| below 0.55, t + t³·P(t²) with P of degree 4 (relative error
/// 2^-30); above, 1 - 2/(e^2t + 1), which by then has lost at most one bit to
/// the subtraction. The sign is put back at the end, so -0 stays -0.
///
/// Error: 1 ULP.
impl UnaryFormula for Tanh {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (one, two) = (V::splat(1.0), V::splat(2.0));
        let t = x.abs();
        let square = t.mul(t);
        let p = square.polynomial([
            -3.333_332e-1,
            1.333_260_2e-1,
            -5.385_386e-2,
            2.107_776e-2,
            -6.282_474e-3,
        ]);
        let small = square.mul(t).mul_add(p, t);
        let large = one.sub(two.div(Exp::lanes(t.add(t)).add(one)));
        V::select(t.greater(V::splat(0.55)), large, small).flip_sign(x)
    }
}

/// For t = |x| up to 0.9, t + t·P(t²) with P of degree 5 (relative error
/// 2^-26). Above, 1 - e^-q with q = t + t·Q(t) fitted to -ln(1 - erf t) by a Q
/// of degree 6 (relative error of the result 2^-30). At t = 4 the result has
/// reached 1, so larger t are cut there. The sign is put back at the end.
///
/// Error: 1 ULP.
impl UnaryFormula for Erf {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let t = V::splat(4.0).min(x.abs());
        let p = t.mul(t).polynomial([
            1.283_791_5e-1,
            -3.761_253_4e-1,
            1.128_223e-1,
            -2.678_195_8e-2,
            5.016_229e-3,
            -6.111_297e-4,
        ]);
        let small = t.mul_add(p, t);
        let q = t.polynomial([
            1.286_370_8e-1,
            6.351_980_6e-1,
            1.061_590_6e-1,
            -2.369_458e-2,
            3.610_350_7e-3,
            -3.148_607_2e-4,
            1.043_342_9e-5,
        ]);
        let minus_q = t.mul_add(q, t).flip_sign(V::splat(-0.0));
        let large = V::splat(1.0).sub(exp_within(minus_q));
        V::select(t.greater(V::splat(0.9)), large, small).flip_sign(x)
    }
}

/// `(Φ(-t), φ(t))` for t = |x|: the normal distribution function and density.
///
/// Φ(-t) = e^(-t²/2) · Q(t), where Q falls from ½ like 1/(t √2π). With
/// u = 1/(t + 3.5) and s = (t - 3.5) u = 1 - 7u, which maps all t to (-1, 1),
/// Q = u · P(s) with P of degree 9: a relative error of 2^-27 up to t = 13.6,
/// where e^(-t²/2) is about to leave the denormals. (The place of the pole is the
/// best of 1.5, 2, … 4.)
///
/// In a vision transformer's step (2 million values, two threads of a two-core
/// AVX-512 server, Zen 5), with the bias added before and summed after: forwards 0.80
/// to 0.45 ms against a chain of products with the error function, backwards 1.07 to
/// 0.70, where the chain computed both the error function and an exponential.
///
/// t² rounded would cost e^(-t²/2) up to t²/2 ULP. So the exponent is reduced as in
/// [`exp_within`], but with -t²/2 as the product of h = -t/2, which is exact, and t
/// inside the fused multiply-add that subtracts n·ln 2: the first part of ln 2, 355/512,
/// has so few bits that n times it is exact, and what is left is rounded once. Before,
/// t² was rounded and its lack put right by a factor: 4 operations more of 46, and 4.8
/// instead of 4.4 ns a register (AVX-512, in the first-level cache). Tried without gain:
/// an estimate of the reciprocal and a Newton step in place of the division (5.1 ns:
/// it runs beside the multiply-adds, which are what limits the loop), the polynomials
/// split into even and odd powers (4.5 ns: latency does not limit it).
#[inline(always)]
unsafe fn normal<V: Lanes>(x: V) -> (V, V) {
    let one = V::splat(1.0);
    // NaN is let through, being the second operand.
    let t = V::splat(14.5).min(x.abs());
    let u = one.div(t.add(V::splat(3.5)));
    let s = u.neg_mul_add(V::splat(7.0), one);
    let p = s.polynomial([
        7.444_160_6e-1,
        -5.655_618e-1,
        3.154_249_8e-1,
        -1.160_527_7e-1,
        1.740_731_3e-2,
        6.491_772e-3,
        -3.179_778e-3,
        -4.942_656e-4,
        4.288_095_8e-4,
        1.144_100_4e-4,
    ]);
    let h = t.mul(V::splat(-0.5));
    let n = h.mul(t).mul(V::splat(LOG2_E)).round();
    let r = h.mul_add(t, n.mul(V::splat(-0.693_359_4)));
    let r = n.neg_mul_add(V::splat(-2.121_944_4e-4), r);
    let e = exp_fraction(r).add(one).scale(n);
    (p.mul(u).mul(e), e.mul(V::splat(3.989_423e-1)))
}

/// x (1 - Φ(-x)) above 0, x Φ(x) below: nothing cancels.
///
/// Error: 11 ULP, at x = -13.1, where the result is next to the denormals.
impl UnaryFormula for Gelu {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (tail, _) = normal(x);
        let share = V::select(V::splat(0.0).greater(x), tail, V::splat(1.0).sub(tail));
        x.mul(share)
    }
}

/// Error: 4·10⁻⁷ of the cotangent; the slope has a zero at x = -0.75, next to
/// which no relative error can be stated.
impl BinaryFormula for GeluGradient {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V, c: V) -> V {
        let (tail, density) = normal(x);
        let share = V::select(V::splat(0.0).greater(x), tail, V::splat(1.0).sub(tail));
        // The density is 0 long before 14.5; an infinite x would make it NaN.
        let near = V::splat(14.5).min(V::splat(-14.5).max(x));
        near.mul_add(density, share).mul(c)
    }
}

/// Error: 2 ULP, and for |x| above 65536 that of the scalar function.
impl UnaryFormula for Sin {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (value, far) = sine(x, 0.0);
        let value = value.flip_sign(x);
        if V::any(far) { value.patch(far, x, scalar::Sin::value::<f32>) } else { value }
    }
}

/// Error: 2 ULP, and for |x| above 65536 that of the scalar function.
impl UnaryFormula for Cos {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(x: V) -> V {
        let (value, far) = sine(x, 0.25);
        if V::any(far) { value.patch(far, x, scalar::Cos::value::<f32>) } else { value }
    }
}

/// sin(|x| + turns·2π), where `turns` is 0 for the sine and ¼ for the cosine,
/// and the lanes that are too far from zero to be right.
///
/// With n the integer nearest to |x|/(π/2), r = |x| - n·π/2 lies within ±π/4,
/// and the value is ±sin r or ±cos r depending on n mod 4. π/2 is held in three
/// `f32` parts (Cody and Waite). With a fused multiply-add the first difference
/// is exact, since both sides are multiples of 2^-24 and it is below 1; each
/// further part is rounded only relative to what is left, so r keeps its
/// relative precision also where x is close to a multiple of π/2. Up to 65536,
/// n has 16 bits and what lies beyond the third part stays below 2^-59.
///
/// n mod 4 is read off the fraction of n/4, which is exact: .0 sin, .25 cos,
/// .5 -sin, .75 -cos.
#[inline(always)]
unsafe fn sine<V: Lanes>(x: V, turns: f32) -> (V, V::Mask) {
    let x = x.abs();
    let n = x.mul(V::splat(FRAC_2_PI)).round();
    let r = n.neg_mul_add(V::splat(std::f32::consts::FRAC_PI_2), x);
    let r = n.neg_mul_add(V::splat(-4.371_139e-8), r);
    let r = n.neg_mul_add(V::splat(-1.715_124_5e-15), r);

    let turned = n.mul_add(V::splat(0.25), V::splat(turns));
    let fraction = turned.sub(turned.floor());
    let half = V::splat(0.5);
    let takes_cos = fraction.sub(half).abs().equal(V::splat(0.25));
    let negative = fraction.greater_equal(half);

    // sin r = r + r³·P(r²), error 2^-28; cos r = 1 - r²/2 + r⁴·Q(r²), 2^-33.
    let square = r.mul(r);
    let p = square.polynomial([-1.666_665_5e-1, 8.332_151e-3, -1.951_352_2e-4]);
    let sin = square.mul(r).mul_add(p, r);
    let q = square.polynomial([4.166_664_6e-2, -1.388_733_2e-3, 2.443_421_4e-5]);
    let cos = square.mul(square).mul_add(q, square.neg_mul_add(half, V::splat(1.0)));

    let sign = V::select(negative, V::splat(-1.0), V::splat(1.0));
    let value = V::select(takes_cos, cos, sin).flip_sign(sign);
    (value, x.greater(V::splat(65536.0)))
}
