//! The specification.

use crate::real::Real;

/// out = x as a float.
pub fn from_integer<T: Real>(x: &[i32], out: &mut [T]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = T::of(f64::from(*x));
    }
}

/// out = x truncated, saturating; -1 for NaN.
pub fn to_index<T: Real>(x: &[T], out: &mut [i32]) {
    for (out, x) in out.iter_mut().zip(x) {
        // The conversion of floats to integers saturates.
        *out = if x.is_nan() { -1 } else { x.wide() as i32 };
    }
}

/// out = x + 1, wrapping.
pub fn increment(x: &[i32], out: &mut [i32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = x.wrapping_add(1);
    }
}

/// out[i] = i.
pub fn iota<T: Real>(out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = T::of(i as f64);
    }
}
