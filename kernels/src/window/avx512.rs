//! The moves compiled for AVX-512.

super::moves::compiled!("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma");
