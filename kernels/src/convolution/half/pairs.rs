//! AVX-512 with products of pairs of bf16.
//!
//! `vdpbf16ps` multiplies 16 pairs and adds both products to the sums. A pair is 32
//! bits, as an f32 is: so the drivers `correlate` and `reduce` with their plans,
//! copies and borders serve as they are, on operands in which two neighbours along
//! the sum are one element. Those are two channels of the source (of an image, or
//! of the output's cotangent for the gradient of the input) and of the weight; and
//! for the gradient of the weight two images of the batch, since there the sum is
//! over images and positions, and positions are read at any offset. An odd last
//! one is paired with zeros. Only the register tiles are written anew, with the
//! other multiplication.
//!
//! Putting pairs together reads 16 bits and writes 32 once, and copies what follows
//! of half as many elements. The instruction takes numbers below 2⁻¹²⁶ for 0, in
//! operands and sums.
//!
//! GFLOP/s on a two-core AVX-512 server (Zen 5), one thread, medians of interleaved
//! rounds, the result / input's gradient / weight's gradient, 3 × 3 but where said;
//! f32 of the same machine a minute later, direct and `winograd2`, for which products
//! are counted as if all were made:
//!
//! | channels, size | pairs | widened | f32 direct | f32 `winograd2` |
//! |---|---|---|---|---|
//! | 3 → 8, 64 × 64 | 214, 218, 247 | 151, 112, 127 | 156, 147, 171 | 151, 141, 165 |
//! | 32 → 32, 32 × 32 | 438, 444, 439 | 231, 228, 219 | 233, 238, 236 | 226, 264, 367 |
//! | 64 → 64, 32 × 32 | 445, 454, 414 | 233, 233, 218 | 244, 249, 241 | 350, 346, 375 |
//! | 128 → 128, 16 × 16 | 442, 485, 445 | 233, 249, 216 | 246, 246, 232 | 341, 331, 425 |
//! | 64 → 64, 32 × 32, 1 × 1 | 288, 263, 281 | 179, 181, 130 | 210, 204, 150 | |
//! | 32 → 64, 32 × 32, stride 2 | 349, 259, 318 | 187, 164, 173 | 153, 171, 179 | |
//!
//! So pairs are up to 1.9 times as fast as the f32 tiles, and faster than Winograd's
//! fewer multiplications. f16 has no such instruction: what is widened first is at
//! best as fast as f32.

use super::super::avx512::{add_lanes, store_results};
use super::super::correlate::{self, Direction};
use super::super::{ConvShape, reduce};
use super::{Avx512, FORWARD, INPUT_GRADIENT, LINE, Routine, Storage, run_widened};
use super::{operands, scratch_widened};
use crate::storage::{pair_planes, pairs_of};
use std::arch::x86_64::*;
use std::array::from_fn;

pub(super) const fn routine<const PASS: usize>() -> Routine<f32> {
    Routine { run: run::<PASS>, scratch: scratch::<PASS> }
}

/// Stacks, planes and their lengths, of which planes are paired, for both operands;
/// and the shape in pairs.
fn paired<const PASS: usize>(s: &ConvShape) -> ([[usize; 3]; 2], ConvShape) {
    let (images, taps) = (s.batch * s.groups, s.taps());
    match PASS {
        FORWARD => (
            [[images, s.group_in(), s.input_pixels()], [s.out_channels, s.group_in(), taps]],
            ConvShape { in_channels: s.groups * s.group_in().div_ceil(2), ..*s },
        ),
        INPUT_GRADIENT => (
            [
                [images, s.group_out(), s.output_pixels()],
                [s.groups, s.group_out(), s.group_in() * taps],
            ],
            ConvShape { out_channels: s.groups * s.group_out().div_ceil(2), ..*s },
        ),
        _ => (
            [
                [1, s.batch, s.in_channels * s.input_pixels()],
                [1, s.batch, s.out_channels * s.output_pixels()],
            ],
            ConvShape { batch: s.batch.div_ceil(2), ..*s },
        ),
    }
}

fn scratch<const PASS: usize>(shape: &ConvShape) -> usize {
    let (planes, pairs) = paired::<PASS>(shape);
    let copies: usize = planes.map(|planes| pairs_of(planes).next_multiple_of(LINE)).iter().sum();
    let inner = match PASS {
        FORWARD => correlate::scratch::<Pairs>(&pairs, Direction::Forward),
        INPUT_GRADIENT => correlate::scratch::<Pairs>(&pairs, Direction::InputGradient),
        _ => reduce::scratch::<Pairs>(&pairs),
    };
    (copies + inner).max(scratch_widened::<Avx512, f32, PASS>(shape))
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW, VL and BF16.
unsafe fn run<const PASS: usize>(
    shape: &ConvShape,
    storage: Storage,
    first: &[u16],
    second: &[u16],
    result: &mut [f32],
    scratch: &mut [f32],
) {
    if storage == Storage::F16 {
        // SAFETY: the caller's promise.
        return unsafe {
            run_widened::<Avx512, f32, PASS>(shape, storage, first, second, result, scratch)
        };
    }
    assert_eq!([first.len(), second.len()], operands(shape, PASS), "lengths of the operands");
    let (planes, pairs) = paired::<PASS>(shape);
    let lengths = planes.map(pairs_of);
    let (copy_first, scratch) = scratch.split_at_mut(lengths[0].next_multiple_of(LINE));
    let (copy_second, scratch) = scratch.split_at_mut(lengths[1].next_multiple_of(LINE));
    let (a, b) = (&mut copy_first[..lengths[0]], &mut copy_second[..lengths[1]]);
    pair_planes(first, planes[0], a);
    pair_planes(second, planes[1], b);
    // SAFETY: the caller's promise.
    unsafe {
        match PASS {
            FORWARD => {
                correlate::run::<Pairs>(&pairs, Direction::Forward, a, b, result, scratch);
            }
            INPUT_GRADIENT => {
                correlate::run::<Pairs>(&pairs, Direction::InputGradient, a, b, result, scratch);
            }
            _ => reduce::run::<Pairs>(&pairs, a, b, result, scratch),
        }
    }
}

/// The tiles of `avx512`, with pairs in place of values.
struct Pairs;

impl correlate::Tile for Pairs {
    const LANES: usize = 16;
    const ROWS: usize = 8;

    fn vectors(rows: usize) -> usize {
        <super::super::avx512::Avx512 as correlate::Tile>::vectors(rows)
    }

    unsafe fn correlate(job: &correlate::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 4 5 6 7 or 8] => correlate_rows::<ROWS>(job)) }
    }
}

impl reduce::Tile for Pairs {
    const LANES: usize = 16;
    const ROWS: usize = 4;
    const OFFSETS: usize = 6;

    unsafe fn reduce(job: &reduce::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 or 4] => reduce_rows::<ROWS>(job)) }
    }
}

/// A vector of pairs.
///
/// # Safety
/// Readable for 16 pairs.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn load(from: *const f32) -> __m512bh {
    // SAFETY: the caller's promise; both types are 512 bits.
    unsafe { std::mem::transmute::<__m512, __m512bh>(_mm512_loadu_ps(from)) }
}

/// # Safety
/// As for [`correlate::Tile::correlate`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
unsafe fn correlate_rows<const R: usize>(job: &correlate::TileJob) {
    // SAFETY: the caller's promise, for each number of vectors.
    unsafe {
        for_count!(COUNT = job.vectors.len(), [1 2 3 4 5 6 7 or 8] => correlate_tile::<R, COUNT>(job))
    }
}

/// # Safety
/// As for [`correlate::Tile::correlate`], with `R` the job's rows and `V` its
/// vectors.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn correlate_tile<const R: usize, const V: usize>(job: &correlate::TileJob) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let starts: [*const f32; V] =
        from_fn(|v| job.source.wrapping_add(job.vectors[v].position as usize));
    let mut weights = job.weights.cast::<i32>();
    for &offset in job.offsets {
        // SAFETY: as in `avx512`.
        unsafe {
            let values: [__m512bh; V] = from_fn(|v| load(starts[v].add(offset as usize)));
            for row in 0..R {
                let weight = _mm512_set1_epi32(*weights.add(row));
                let weight = std::mem::transmute::<__m512i, __m512bh>(weight);
                for v in 0..V {
                    sums[row][v] = _mm512_dpbf16_ps(sums[row][v], weight, values[v]);
                }
            }
        }
        weights = weights.wrapping_add(job.weight_step);
    }
    for v in 0..V {
        for row in 0..R {
            // SAFETY: a row is writable from where the vector is stored for as many
            // elements as there are results.
            unsafe {
                store_results(job.out.add(row * job.out_step), &job.vectors[v], sums[row][v]);
            }
        }
    }
}

/// # Safety
/// As for [`reduce::Tile::reduce`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
unsafe fn reduce_rows<const R: usize>(job: &reduce::TileJob) {
    // SAFETY: the caller's promise, for each number of offsets.
    unsafe {
        for_count!(COUNT = job.offsets.len(), [1 2 3 4 5 or 6] => reduce_tile::<R, COUNT>(job))
    }
}

/// # Safety
/// As for [`reduce::Tile::reduce`], with `R` the job's rows and `K` its offsets.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn reduce_tile<const R: usize, const K: usize>(job: &reduce::TileJob) {
    let mut sums = [[_mm512_setzero_ps(); K]; R];
    let offsets: [usize; K] = from_fn(|k| job.offsets[k] as usize);
    for image in 0..job.images {
        let mut cotangent = job.cotangent.wrapping_add(image * job.cotangent_steps.image);
        let mut source = job.source.wrapping_add(image * job.source_steps.image);
        for _ in 0..job.lines {
            for position in (0..job.vectors).map(|vector| 16 * vector) {
                // SAFETY: both operands are readable there, for a whole vector.
                unsafe {
                    let factors: [__m512bh; R] =
                        from_fn(|row| load(cotangent.add(row * job.row_step + position)));
                    for k in 0..K {
                        let value = load(source.add(offsets[k] + position));
                        for row in 0..R {
                            sums[row][k] = _mm512_dpbf16_ps(sums[row][k], factors[row], value);
                        }
                    }
                }
            }
            cotangent = cotangent.wrapping_add(job.cotangent_steps.line);
            source = source.wrapping_add(job.source_steps.line);
        }
    }
    let offsets = ((1u32 << K) - 1) as __mmask8;
    for row in 0..R {
        let total = add_lanes(from_fn(|k| if k < K { sums[row][k] } else { _mm512_setzero_ps() }));
        // SAFETY: as in `avx512`.
        unsafe {
            let sums = job.sums.add(row * job.sums_step);
            let total = _mm256_add_ps(_mm256_maskz_loadu_ps(offsets, sums), total);
            _mm256_mask_storeu_ps(sums, offsets, total);
        }
    }
}
