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
            31 => 255 << 23 | fraction << 13,
            // From a bias of 15 to one of 127.
            _ => (exponent + 112) << 23 | fraction << 13,
        };
        f32::from_bits(sign | magnitude)
    }

    /// The nearest value that can be stored, ties to even; infinity beyond the
    /// largest one, a quiet NaN for NaN.
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
            0x7e00
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
}
