//! Integers to floats, counters, and ramps: small work at the edges of a step.

mod scalar;

use crate::isa::Isa;
use crate::real::Real;
use crate::variant::{Kernel, KernelStatus, Signature, Variant};

/// From integers to floats, element by element.
pub struct FromInteger;
impl Signature for FromInteger {
    type Run<T: Real> = fn(x: &[i32], out: &mut [T]);
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
    vec![FROM_INTEGER.status(), INCREMENT.status(), IOTA.status()]
}

#[cfg(test)]
mod tests {
    use super::scalar;

    #[test]
    fn values() {
        let mut floats = [0.0f32; 3];
        scalar::from_integer(&[-1, 0, 16_777_217], &mut floats);
        assert_eq!(floats, [-1.0, 0.0, 16_777_216.0]);
        let mut integers = [0; 2];
        scalar::increment(&[4, i32::MAX], &mut integers);
        assert_eq!(integers, [5, i32::MIN]);
        let mut ramp = [f64::NAN; 4];
        scalar::iota(&mut ramp);
        assert_eq!(ramp, [0.0, 1.0, 2.0, 3.0]);
    }
}
