//! Norms compiled for AVX2 with FMA.

use crate::elementwise::avx2::F32x8;

super::compiled::compiled!(F32x8, "avx2,fma");
