//! Integers to floats and back, counters, and ramps: small work at the edges of a step.

pub mod gpu;
mod scalar;

use crate::isa::Isa;
use crate::real::Real;
use crate::variant::{Kernel, KernelStatus, Signature, Variant};

/// From integers to floats, element by element.
pub struct FromInteger;
impl Signature for FromInteger {
    type Run<T: Real> = fn(x: &[i32], out: &mut [T]);
}

/// From floats to integers, element by element.
pub struct ToInteger;
impl Signature for ToInteger {
    type Run<T: Real> = fn(x: &[T], out: &mut [i32]);
}

/// From integers to integers, element by element.
pub struct Integer;
impl Signature for Integer {
    type Run<T: Real> = fn(x: &[i32], out: &mut [i32]);
}

/// Fills a slice.
pub struct Fill;
impl Signature for Fill {
    type Run<T: Real> = fn(out: &mut [T]);
}

/// out = x as a float, rounded to nearest where it does not fit.
pub static FROM_INTEGER: Kernel<FromInteger> = Kernel {
    name: "from_integer",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::from_integer }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::from_integer }],
};

/// out = x without its fraction; beyond the integers the nearest of them, and
/// -1 for NaN, which as an index lies outside of everything.
pub static TO_INDEX: Kernel<ToInteger> = Kernel {
    name: "to_index",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::to_index }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::to_index }],
};

/// out = x + 1, wrapping.
pub static INCREMENT: Kernel<Integer> = Kernel {
    name: "increment",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::increment }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::increment }],
};

/// out[i] = i.
pub static IOTA: Kernel<Fill> = Kernel {
    name: "iota",
    f32: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::iota }],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::iota }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![FROM_INTEGER.status(), TO_INDEX.status(), INCREMENT.status(), IOTA.status()]
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn values() {
        let mut floats = [0.0f32; 3];
        scalar::from_integer(&[-1, 0, 16_777_217], &mut floats);
        assert_eq!(floats, [-1.0, 0.0, 16_777_216.0]);
        let mut indices = [7; 6];
        let floats = [2.9, -2.9, f64::NAN, 1e10, f64::NEG_INFINITY, -0.0];
        scalar::to_index(&floats, &mut indices);
        assert_eq!(indices, [2, -2, -1, i32::MAX, i32::MIN, 0]);
        let mut integers = [0; 2];
        scalar::increment(&[4, i32::MAX], &mut integers);
        assert_eq!(integers, [5, i32::MIN]);
        let mut ramp = [f64::NAN; 4];
        scalar::iota(&mut ramp);
        assert_eq!(ramp, [0.0, 1.0, 2.0, 3.0]);
    }
}
