//! The moves compiled for AVX2.

super::moves::compiled!("avx2,fma");
