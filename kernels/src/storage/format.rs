//! The two formats of 16 bits.

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// IEEE 754 binary16: 5 bits of exponent, 10 of significand.
    F16,
    /// The upper half of an `f32`: 8 bits of exponent, 7 of significand.
    Bf16,
}

impl Storage {
    /// The value stored, exactly.
    pub fn load(self, bits: u16) -> f32 {
        let bits = u32::from(bits);
        if self == Storage::Bf16 {
            return f32::from_bits(bits << 16);
        }
        let (sign, exponent, fraction) = (bits >> 15 << 31, bits >> 10 & 31, bits & 0x3ff);
        let magnitude = match exponent {
            // Subnormal: a multiple of 2⁻²⁴, which f32 has as a normal number.
            0 => (fraction as f32 * f32::from_bits(103 << 23)).to_bits(),
            31 if fraction == 0 => 255 << 23,
            // What was not a number stays none, quiet: as processors do it.
            31 => 255 << 23 | 1 << 22 | fraction << 13,
            // From a bias of 15 to one of 127.
            _ => (exponent + 112) << 23 | fraction << 13,
        };
        f32::from_bits(sign | magnitude)
    }

    /// The nearest value that can be stored, ties to even; infinity beyond the
    /// largest one, a quiet NaN with what fits of its payload for NaN.
    pub fn store(self, value: f32) -> u16 {
        let bits = value.to_bits();
        if self == Storage::Bf16 {
            if value.is_nan() {
                return (bits >> 16) as u16 | 0x40;
            }
            return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        }
        let (sign, magnitude) = ((bits >> 31 << 15) as u16, value.abs());
        // What rounds to 65536.
        const BEYOND: f32 = 65520.0;
        // The smallest normal number.
        const NORMAL: f32 = 6.103_515_6e-5;
        sign | if value.is_nan() {
            0x7e00 | (bits >> 13 & 0x1ff) as u16
        } else if magnitude >= BEYOND {
            0x7c00
        } else if magnitude < NORMAL {
            // In units of 2⁻²⁴; 1024 of them are the smallest normal number.
            (magnitude * 16_777_216.0).round_ties_even() as u16
        } else {
            let bits = magnitude.to_bits();
            ((bits + 0xfff + (bits >> 13 & 1) - (112 << 23)) >> 13) as u16
        }
    }

    /// [`Storage::store`] of an `f64`, rounded once. By way of an `f32` that is
    /// rounded to odd: where it is not exact, its last bit is 1, so that it is
    /// never taken for the middle between two values that can be stored (Boldo and
    /// Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
    pub fn store_wide(self, value: f64) -> u16 {
        let near = value as f32;
        if value.is_nan() || f64::from(near) == value {
            return self.store(near);
        }
        // Towards zero, then the last bit.
        let above = f64::from(near).abs() > value.abs();
        let bits = near.to_bits() - u32::from(above);
        self.store(f32::from_bits(bits | 1))
    }

    /// The name of the format: `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Storage::F16 => "f16",
            Storage::Bf16 => "bf16",
        }
    }
}

/// An element of an array in f16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct F16(pub u16);

/// An element of an array in bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

// SAFETY: one integer, for which zero is a value.
unsafe impl bytemuck::Zeroable for F16 {}
// SAFETY: one integer: no padding, and any bits are a value of it.
unsafe impl bytemuck::Pod for F16 {}
// SAFETY: as for `F16`.
unsafe impl bytemuck::Zeroable for Bf16 {}
// SAFETY: as for `F16`.
unsafe impl bytemuck::Pod for Bf16 {}

impl F16 {
    /// The nearest value, as [`Storage::store_wide`].
    pub fn of(value: f64) -> Self {
        F16(Storage::F16.store_wide(value))
    }

    /// The value, exactly.
    pub fn wide(self) -> f64 {
        f64::from(Storage::F16.load(self.0))
    }
}

impl Bf16 {
    /// The nearest value, as [`Storage::store_wide`].
    pub fn of(value: f64) -> Self {
        Bf16(Storage::Bf16.store_wide(value))
    }

    /// The value, exactly.
    pub fn wide(self) -> f64 {
        f64::from(Storage::Bf16.load(self.0))
    }
}
