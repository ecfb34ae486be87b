//! 2×2 max pooling, eight windows at a time; see the AVX-512 file for the
//! idea. What is left at the end of a row takes the portable loop.
//!
//! Two things are dearer than there. A shuffle of two registers works within halves of
//! 128 bits, so that each pair of loads takes a second shuffle for the even and for the
//! odd columns; and registers are half as wide. On the shape and machine of the AVX-512
//! file, in the same runs: 60 to 70 times as fast as `scalar`, over 3 times as fast as
//! `quads`; it takes 1.2 times as long as `avx512`.

use super::{PoolShape, quads};
use std::arch::x86_64::*;

/// Windows at a time.
const LANES: usize = 8;

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn max_indices(shape: &PoolShape, x: &[f32], out: &mut [i32]) {
    quads::max_indices_by(shape, x, out, |x, out| {
        quads::for_rows(shape, x, out, |rows, first, out| max_row(rows, first, out));
    });
}

/// The even and the odd ones of sixteen columns.
#[target_feature(enable = "avx2")]
fn columns(row: &[f32; 2 * LANES]) -> (__m256, __m256) {
    // SAFETY: the array holds both vectors.
    let (a, b) = unsafe { (_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row[8..].as_ptr())) };
    // A shuffle works within halves of 128 bits and leaves a0 a2 b0 b2 | a4 a6
    // b4 b6; swapping the middle pairs puts them in order.
    let in_order =
        |mixed| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(mixed)));
    let even = _mm256_shuffle_ps::<0b10_00_10_00>(a, b);
    let odd = _mm256_shuffle_ps::<0b11_01_11_01>(a, b);
    (in_order(even), in_order(odd))
}

#[target_feature(enable = "avx2")]
fn max_row([top, bottom]: [&[f32]; 2], first: usize, out: &mut [i32]) {
    let width = top.len();
    let lanes = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    let (top_blocks, _) = top.as_chunks();
    let (bottom_blocks, _) = bottom.as_chunks();
    let (out_blocks, out_rest) = out.as_chunks_mut::<LANES>();
    let done = 2 * LANES * out_blocks.len();
    let blocks = out_blocks.iter_mut().zip(top_blocks).zip(bottom_blocks);
    for (block, ((out, top), bottom)) in blocks.enumerate() {
        let (even, odd) = columns(top);
        let (below, below_odd) = columns(bottom);
        let corner = first + 2 * LANES * block;
        let index = |at: usize| _mm256_add_epi32(_mm256_set1_epi32(at as i32), lanes);
        let mut best = even;
        let mut winner = index(corner);
        for (value, at) in
            [(odd, corner + 1), (below, corner + width), (below_odd, corner + width + 1)]
        {
            let wins = _mm256_or_ps(
                _mm256_cmp_ps::<_CMP_GT_OQ>(value, best),
                _mm256_cmp_ps::<_CMP_UNORD_Q>(value, value),
            );
            best = _mm256_blendv_ps(best, value, wins);
            winner = _mm256_blendv_epi8(winner, index(at), _mm256_castps_si256(wins));
        }
        // SAFETY: the block is as long as the vector.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), winner) };
    }
    for (i, out) in out_rest.iter_mut().enumerate() {
        let at = done + 2 * i;
        let quad = [top[at], top[at + 1], bottom[at], bottom[at + 1]];
        *out = quads::max_of_quad(quad, first + at, width);
    }
}
