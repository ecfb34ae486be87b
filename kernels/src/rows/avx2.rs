//! The routines compiled for AVX2.

use crate::elementwise::avx2::F32x8;

// Tiles two registers across: with six rows 12 sums, two weights, one factor.
super::compiled::compiled!(F32x8, 2, "avx2,fma");
