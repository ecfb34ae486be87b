//! The loops compiled for AVX2.

super::lanes::compiled!(crate::elementwise::avx2::F32x8, "avx2,fma");
