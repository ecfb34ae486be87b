//! The lanes of `lanes.rs`, compiled for AVX2.

use super::lanes;
use super::philox::Stream;

/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn uniform(stream: &Stream, out: &mut [f32]) {
    lanes::fill(stream, out, |key, first| lanes::uniform_chunk(stream, key, first));
}

/// # Safety
/// The processor has the features named below.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn normal(stream: &Stream, out: &mut [f32]) {
    lanes::fill(stream, out, |key, first| lanes::normal_chunk(stream, key, first));
}
