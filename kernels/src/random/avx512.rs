//! The lanes of `lanes.rs`, compiled for AVX-512.

use super::lanes;
use super::philox::Stream;

/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn uniform(stream: &Stream, out: &mut [f32]) {
    lanes::fill(stream, out, |key, first| lanes::uniform_chunk(stream, key, first));
}

/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn normal(stream: &Stream, out: &mut [f32]) {
    lanes::fill(stream, out, |key, first| lanes::normal_chunk(stream, key, first));
}
