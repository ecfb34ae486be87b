//! The functions of two operands.

// See `Lanes` for the one condition.
#![allow(unsafe_op_in_unsafe_fn)]

use super::super::lanes::Lanes;
use super::super::scalar::*;
use super::{BinaryFormula, exp_fraction};

impl BinaryFormula for Add {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.add(b)
    }
}

impl BinaryFormula for Sub {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.sub(b)
    }
}

impl BinaryFormula for Mul {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.mul(b)
    }
}

impl BinaryFormula for Div {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.div(b)
    }
}

/// [`Lanes::max`] gives `b` where either is NaN, which is wrong only where `a`
/// alone is.
impl BinaryFormula for Maximum {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        V::select(a.is_nan(), a, a.max(b))
    }
}

/// As [`Maximum`].
impl BinaryFormula for Minimum {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        V::select(a.is_nan(), a, a.min(b))
    }
}

/// With t the smaller of |x| and |y| over the larger, 0 ≤ t ≤ 1, the angle to
/// the nearer axis is atan t = t + t³·P(t²) with P of degree 8 (relative error
/// 2^-27). Reflections give the other octants: π/2 - angle where |y| > |x|,
/// π - angle where x is negative, -0 included, then the sign of y. π/2 and π
/// are held in two parts. Where both are 0 or both infinite t would be NaN; it
/// is 0 and 1, as for C.
///
/// Error: 2 ULP, of 6·10^7 random pairs at most 1.
impl BinaryFormula for Atan2 {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(y: V, x: V) -> V {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let (height, width) = (y.abs(), x.abs());
        let steep = height.greater(width);
        let t = height.min(width).div(height.max(width));
        let t = V::select(height.equal(width), one, t);
        let t = V::select(height.max(width).equal(zero), zero, t);
        let square = t.mul(t);
        let p = square.polynomial([
            -3.333_33e-1,
            1.999_854_9e-1,
            -1.426_424_4e-1,
            1.095_219_25e-1,
            -8.403_467_4e-2,
            5.795_785_4e-2,
            -3.117_808_1e-2,
            1.091_472_1e-2,
            -1.793_645_4e-3,
        ]);
        let angle = square.mul(t).mul_add(p, t);
        let reflected = angle_from(std::f32::consts::FRAC_PI_2, -4.371_139e-8, angle);
        let angle = V::select(steep, reflected, angle);
        let left = zero.greater(one.flip_sign(x));
        let reflected = angle_from(std::f32::consts::PI, -8.742_278e-8, angle);
        let angle = V::select(left, reflected, angle);
        let angle = angle.flip_sign(y);
        V::select(x.is_nan(), x, V::select(y.is_nan(), y, angle))
    }
}

/// 2^(b · log₂ a) for a positive normal a; everything else, with its rules, is the
/// scalar function's.
///
/// What b · log₂ a is off by, the result is off by as a factor, so for a result of
/// 2^128 the logarithm needs seven more bits than an `f32` has. It is held in two:
/// with a = m · 2^e and f = m - 1 as for the logarithm, s = f / (2 + f) and what
/// its rounding lost,
///
///   log₂ m = 2/ln 2 · (s + s³/3 + s⁵/5 + …),
///
/// where the first two terms are products of numbers in two parts and the rest, less
/// than a 5000th of them, is plain (with the second term plain, powers around 10^±37
/// were off by up to 5 ULP). e is added exactly (two-sum of unequals); the
/// product with b is split by a fused multiply-add, its nearest integer taken off
/// the larger part, and 2^r = e^(r ln 2) is that of the exponential.
///
/// Error: 2 ULP, of 6·10^7 random pairs at most 1.
impl BinaryFormula for Pow {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let (m, e) = a.split();
        let f = m.sub(one);
        let below = f.add(V::splat(2.0));
        let below_lost = f.sub(below.sub(V::splat(2.0)));
        let s = f.div(below);
        let s_lost = s.neg_mul_add(below_lost, s.neg_mul_add(below, f)).div(below);
        // 2/ln 2 in two parts, and 2/(3 ln 2), 2/(5 ln 2), ….
        let (c, c_rest) = (V::splat(2.885_39), V::splat(3.851_926e-8));
        let square = s.mul(s);
        let square_lost = s.mul_add(s, zero.sub(square));
        let cube = square.mul(s);
        let cube_lost = square_lost.mul_add(s, square.mul_add(s, zero.sub(cube)));
        let cube_lost = square.mul(V::splat(3.0)).mul_add(s_lost, cube_lost);
        let (third, third_rest) = (V::splat(9.617_967e-1), V::splat(-7.0284614e-9));
        let rest =
            square.polynomial([5.770_780_2e-1, 4.121_985_8e-1, 3.205_989e-1, 2.623_081_8e-1]);
        let first = c.mul(s);
        let low = c.mul_add(s, zero.sub(first));
        let low = s.mul_add(c_rest, c.mul_add(s_lost, low));
        let second = third.mul(cube);
        let low = low.add(third.mul_add(cube, zero.sub(second)));
        let low = cube.mul_add(third_rest, third.mul_add(cube_lost, low));
        let low = square.mul(cube).mul_add(rest, low);
        let high = first.add(second);
        let low = low.add(second.sub(high.sub(first)));
        let log = e.add(high);
        let low = low.add(high.sub(log.sub(e)));
        let sum = log.add(low);
        let low = low.sub(sum.sub(log));

        let power = b.mul(sum);
        let lost = b.mul_add(low, b.mul_add(sum, zero.sub(power)));
        // Beyond, the result is 0 or ∞ whatever was lost.
        let near = V::splat(160.0).greater(power.abs());
        let lost = V::select(near, lost, zero);
        let power = V::splat(-159.0).max(V::splat(129.9).min(power));
        let n = power.round();
        let r = power.sub(n).add(lost).mul(V::splat(std::f32::consts::LN_2));
        let y = exp_fraction(r).add(one).scale(n);

        let normal = V::truth(a.greater_equal(V::splat(f32::MIN_POSITIVE)));
        let finite = V::truth(V::splat(f32::INFINITY).greater(a));
        let moderate = V::truth(V::splat(1e30).greater(b.abs()));
        let plain = normal.mul(finite).mul(moderate);
        let odd = V::splat(0.5).greater(plain);
        if V::any(odd) { patch_pairs(y, odd, a, b, Pow::value::<f32>) } else { y }
    }
}

/// `function` of the pairs for which `mask` is true, `values` elsewhere.
#[inline(always)]
unsafe fn patch_pairs<V: Lanes>(
    values: V,
    mask: V::Mask,
    a: V,
    b: V,
    function: fn(f32, f32) -> f32,
) -> V {
    // Large enough for the widest register.
    let (mut left, mut right, mut chosen, mut out) = ([0.0; 16], [0.0; 16], [0.0; 16], [0.0; 16]);
    a.store(left.as_mut_ptr());
    b.store(right.as_mut_ptr());
    V::truth(mask).store(chosen.as_mut_ptr());
    values.store(out.as_mut_ptr());
    for i in 0..V::WIDTH {
        if chosen[i] != 0.0 {
            out[i] = function(left[i], right[i]);
        }
    }
    V::load(out.as_ptr())
}

/// `whole + rest - angle`, where `rest` is what `whole` lacks of its number.
#[inline(always)]
unsafe fn angle_from<V: Lanes>(whole: f32, rest: f32, angle: V) -> V {
    V::splat(whole).sub(angle.sub(V::splat(rest)))
}

impl BinaryFormula for Greater {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        V::truth(a.greater(b))
    }
}

impl BinaryFormula for GreaterEqual {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        V::truth(a.greater_equal(b))
    }
}

impl BinaryFormula for Equal {
    #[inline(always)]
    unsafe fn lanes<V: Lanes>(a: V, b: V) -> V {
        V::truth(a.equal(b))
    }
}
