//! 16 lanes.

use super::starts;
use std::arch::x86_64::{
    _mm512_add_ps, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

/// The loop of `scalar.rs` on 16 lanes a chain.
///
/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx512f")]
pub unsafe fn multiply_add(rounds: usize) -> f32 {
    let (half, one) = (_mm512_set1_ps(0.5), _mm512_set1_ps(1.0));
    let mut chains = starts().map(|x| _mm512_set1_ps(x));
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_fmadd_ps(*x, half, one);
        }
    }
    let sum = chains.into_iter().fold(_mm512_setzero_ps(), |sum, x| _mm512_add_ps(sum, x));
    let mut lanes = [0.0; 16];
    // SAFETY: the array has room for 16 values.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
    lanes.iter().sum()
}
