//! 8 lanes.

use super::starts;
use std::arch::x86_64::{
    _mm256_add_ps, _mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

/// The loop of `scalar.rs` on 8 lanes a chain.
///
/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn multiply_add(rounds: usize) -> f32 {
    let (half, one) = (_mm256_set1_ps(0.5), _mm256_set1_ps(1.0));
    let mut chains = starts().map(|x| _mm256_set1_ps(x));
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm256_fmadd_ps(*x, half, one);
        }
    }
    let sum = chains.into_iter().fold(_mm256_setzero_ps(), |sum, x| _mm256_add_ps(sum, x));
    let mut lanes = [0.0; 8];
    // SAFETY: the array has room for 8 values.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
    lanes.iter().sum()
}
