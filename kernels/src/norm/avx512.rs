//! Norms compiled for AVX-512.

use crate::elementwise::avx512::F32x16;

super::compiled::compiled!(F32x16, "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma");
