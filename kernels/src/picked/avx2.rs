//! Picked convolutions compiled for AVX2: tiles of 6 rows of two vectors.

use crate::elementwise::avx2::F32x8;
use crate::matmul::Avx2;

super::compiled::compiled!(F32x8, 6, Avx2, "avx2,fma");
