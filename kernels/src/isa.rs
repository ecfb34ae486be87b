//! Instruction sets and whether this machine has them.

use std::fmt;

/// What a variant needs from the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Nothing beyond the target's baseline.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// The same, and conversions of f16 (all processors so far that have AVX2).
    Avx2F16c,
    /// x86-64 with AVX-512 F, DQ, BW and VL (Skylake-X, Zen 4 and later).
    Avx512,
    /// The same, and products of pairs of bf16 (Cooper Lake, Zen 4 and later).
    Avx512Bf16,
    /// aarch64 with Advanced SIMD.
    Neon,
}

impl Isa {
    /// Whether this machine can run it; the error says what is missing.
    pub fn supported(self) -> Result<(), &'static str> {
        match self {
            Isa::Portable => Ok(()),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    Ok(())
                } else {
                    Err("this processor has no AVX2 with FMA")
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2F16c => {
                Isa::Avx2.supported()?;
                match is_x86_feature_detected!("f16c") {
                    true => Ok(()),
                    false => Err("this processor has no F16C"),
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                {
                    Ok(())
                } else {
                    Err("this processor has no AVX-512 F/DQ/BW/VL")
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => {
                Isa::Avx512.supported()?;
                match is_x86_feature_detected!("avx512bf16") {
                    true => Ok(()),
                    false => Err("this processor has no AVX-512 BF16"),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx2F16c | Isa::Avx512 | Isa::Avx512Bf16 => {
                Err("this is not an x86-64 processor")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Ok(()),
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon => Err("this is not an aarch64 processor"),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2+fma",
            Isa::Avx2F16c => "avx2+fma+f16c",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512+bf16",
            Isa::Neon => "neon",
        })
    }
}
