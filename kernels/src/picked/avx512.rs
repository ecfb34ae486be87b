//! Picked convolutions compiled for AVX-512: tiles of 14 rows of two vectors.

use crate::elementwise::avx512::F32x16;
use crate::matmul::Avx512;

super::compiled::compiled!(F32x16, 14, Avx512, "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma");
