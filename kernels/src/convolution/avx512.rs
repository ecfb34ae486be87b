//! AVX-512: the register tiles of `correlate` and `reduce`.

use super::correlate::{self, Direction};
use super::{ConvShape, Routine, reduce};
use std::arch::x86_64::*;
use std::array::from_fn;

/// The convolution.
pub(super) const FORWARD: Routine<f32> = Routine {
    run: forward,
    scratch: |shape| correlate::scratch::<Avx512>(shape, Direction::Forward),
};
/// The gradient of the input.
pub(super) const INPUT_GRADIENT: Routine<f32> = Routine {
    run: input_gradient,
    scratch: |shape| correlate::scratch::<Avx512>(shape, Direction::InputGradient),
};
/// The gradient of the weight.
pub(super) const WEIGHT_GRADIENT: Routine<f32> =
    Routine { run: weight_gradient, scratch: reduce::scratch::<Avx512> };

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn forward(s: &ConvShape, input: &[f32], weight: &[f32], out: &mut [f32], x: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::run::<Avx512>(s, Direction::Forward, input, weight, out, x) }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn input_gradient(
    shape: &ConvShape,
    cotangent: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    let direction = Direction::InputGradient;
    // SAFETY: the caller's promise.
    unsafe { correlate::run::<Avx512>(shape, direction, cotangent, weight, gradient, scratch) }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn weight_gradient(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { reduce::run::<Avx512>(shape, input, cotangent, gradient, scratch) }
}

pub(super) struct Avx512;

impl correlate::Tile for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 8;

    /// About 24 sums, which with the vectors of a step and a broadcast weight
    /// fill the 32 registers.
    fn vectors(rows: usize) -> usize {
        match rows {
            ..=2 => 8,
            3 => 7,
            4 => 6,
            5 => 5,
            6 => 4,
            _ => 3,
        }
    }

    unsafe fn correlate(job: &correlate::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 4 5 6 7 or 8] => correlate_rows::<ROWS>(job)) }
    }
}

impl reduce::Tile for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 4;
    const OFFSETS: usize = 6;

    unsafe fn reduce(job: &reduce::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 or 4] => reduce_rows::<ROWS>(job)) }
    }
}

/// The tile of `correlate` for `R` rows.
///
/// # Safety
/// As for [`correlate::Tile::correlate`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn correlate_rows<const R: usize>(job: &correlate::TileJob) {
    // SAFETY: the caller's promise, for each number of vectors.
    unsafe {
        for_count!(COUNT = job.vectors.len(), [1 2 3 4 5 6 7 or 8] => correlate_tile::<R, COUNT>(job))
    }
}

/// `R` rows of `V` vectors, held in `R · V` registers over the whole depth.
///
/// # Safety
/// As for [`correlate::Tile::correlate`], with `R` the job's rows and `V` its
/// vectors.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
unsafe fn correlate_tile<const R: usize, const V: usize>(job: &correlate::TileJob) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let starts: [*const f32; V] =
        from_fn(|v| job.source.wrapping_add(job.vectors[v].position as usize));
    let mut weights = job.weights;
    for &offset in job.offsets {
        // SAFETY: the source is readable at every position plus offset, for
        // the whole vector, and each step has `R` weights; the pointer to the
        // last step's successor is formed by wrapping arithmetic.
        unsafe {
            let values: [__m512; V] = from_fn(|v| _mm512_loadu_ps(starts[v].add(offset as usize)));
            for row in 0..R {
                let weight = _mm512_set1_ps(*weights.add(row));
                for v in 0..V {
                    sums[row][v] = _mm512_fmadd_ps(weight, values[v], sums[row][v]);
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

/// Stores the lanes of a vector that are results.
///
/// # Safety
/// `row` is writable from where they are stored for as many elements.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
pub(super) unsafe fn store_results(row: *mut f32, lanes: &correlate::Lanes, sums: __m512) {
    let correlate::Lanes { stored, results, .. } = *lanes;
    // SAFETY: the caller's promise; the mask leaves out what is no result.
    unsafe {
        let out = row.add(stored as usize);
        if results == 0xffff {
            _mm512_storeu_ps(out, sums);
        } else {
            let packed = _mm512_maskz_compress_ps(results as __mmask16, sums);
            let first = ((1u32 << results.count_ones()) - 1) as __mmask16;
            _mm512_mask_storeu_ps(out, first, packed);
        }
    }
}

/// The tile of `reduce` for `R` rows.
///
/// # Safety
/// As for [`reduce::Tile::reduce`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn reduce_rows<const R: usize>(job: &reduce::TileJob) {
    // SAFETY: the caller's promise, for each number of offsets.
    unsafe {
        for_count!(COUNT = job.offsets.len(), [1 2 3 4 5 or 6] => reduce_tile::<R, COUNT>(job))
    }
}

/// `R` rows by `K` offsets, a vector of partial sums each.
///
/// # Safety
/// As for [`reduce::Tile::reduce`], with `R` the job's rows and `K` its
/// offsets.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
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
                    let factors: [__m512; R] = from_fn(|row| {
                        _mm512_loadu_ps(cotangent.add(row * job.row_step + position))
                    });
                    for k in 0..K {
                        let value = _mm512_loadu_ps(source.add(offsets[k] + position));
                        for row in 0..R {
                            sums[row][k] = _mm512_fmadd_ps(factors[row], value, sums[row][k]);
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
        // SAFETY: writable at every row and offset; the mask leaves out what
        // is none.
        unsafe {
            let sums = job.sums.add(row * job.sums_step);
            let total = _mm256_add_ps(_mm256_maskz_loadu_ps(offsets, sums), total);
            _mm256_mask_storeu_ps(sums, offsets, total);
        }
    }
}

/// The sum of the lanes of each of eight vectors: they are halved together, in
/// 23 instructions, where each by itself would take 8 and a scalar addition.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
pub(super) fn add_lanes([a, b, c, d, e, f, g, h]: [__m512; 8]) -> __m256 {
    // In each 128-bit lane: a a b b → a b a b.
    let two = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    // a b a b, c d c d → a b c d.
    let four = |ab, cd| {
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
        _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
    };
    let (abcd, efgh) = (four(two(a, b), two(c, d)), four(two(e, f), two(g, h)));
    let (low, high) =
        (_mm512_shuffle_f32x4::<0x44>(abcd, efgh), _mm512_shuffle_f32x4::<0xee>(abcd, efgh));
    let halves = _mm512_add_ps(low, high);
    let (low, high) = (
        _mm512_shuffle_f32x4::<0x88>(halves, halves),
        _mm512_shuffle_f32x4::<0xdd>(halves, halves),
    );
    _mm512_castps512_ps256(_mm512_add_ps(low, high))
}
