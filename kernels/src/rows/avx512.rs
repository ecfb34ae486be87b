//! The routines compiled for AVX-512.

use crate::elementwise::avx512::F32x16;

// Tiles four registers across: with six rows 24 sums, four weights, one factor.
super::compiled::compiled!(F32x16, 4, "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma");
