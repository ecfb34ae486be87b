//! 4 lanes.

use super::starts;
use std::arch::aarch64::{vaddq_f32, vaddvq_f32, vdupq_n_f32, vfmaq_f32};

/// The loop of `scalar.rs` on 4 lanes a chain.
///
/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "neon")]
pub unsafe fn multiply_add(rounds: usize) -> f32 {
    let (half, one) = (vdupq_n_f32(0.5), vdupq_n_f32(1.0));
    let mut chains = starts().map(|x| vdupq_n_f32(x));
    for _ in 0..rounds {
        for x in &mut chains {
            *x = vfmaq_f32(one, *x, half);
        }
    }
    vaddvq_f32(chains.into_iter().fold(vdupq_n_f32(0.0), |sum, x| vaddq_f32(sum, x)))
}
