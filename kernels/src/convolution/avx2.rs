//! AVX2 with FMA: the register tiles of `correlate` and `reduce`.

use super::correlate::{self, Direction};
use super::{ConvShape, Routine, reduce};
use std::arch::x86_64::*;
use std::array::from_fn;

/// The convolution.
pub(super) const FORWARD: Routine<f32> = Routine {
    run: forward,
    scratch: |shape| correlate::scratch::<Avx2>(shape, Direction::Forward),
};
/// The gradient of the input.
pub(super) const INPUT_GRADIENT: Routine<f32> = Routine {
    run: input_gradient,
    scratch: |shape| correlate::scratch::<Avx2>(shape, Direction::InputGradient),
};
/// The gradient of the weight.
pub(super) const WEIGHT_GRADIENT: Routine<f32> =
    Routine { run: weight_gradient, scratch: reduce::scratch::<Avx2> };

/// # Safety
/// The processor has AVX2 and FMA.
unsafe fn forward(s: &ConvShape, input: &[f32], weight: &[f32], out: &mut [f32], x: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { correlate::run::<Avx2>(s, Direction::Forward, input, weight, out, x) }
}

/// # Safety
/// The processor has AVX2 and FMA.
unsafe fn input_gradient(
    shape: &ConvShape,
    cotangent: &[f32],
    weight: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    let direction = Direction::InputGradient;
    // SAFETY: the caller's promise.
    unsafe { correlate::run::<Avx2>(shape, direction, cotangent, weight, gradient, scratch) }
}

/// # Safety
/// The processor has AVX2 and FMA.
unsafe fn weight_gradient(
    shape: &ConvShape,
    input: &[f32],
    cotangent: &[f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { reduce::run::<Avx2>(shape, input, cotangent, gradient, scratch) }
}

pub(super) struct Avx2;

impl correlate::Tile for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 6;

    /// Up to 12 sums, which with the vectors of a step and a broadcast weight
    /// fill the 16 registers.
    fn vectors(rows: usize) -> usize {
        match rows {
            1 => 6,
            2 => 4,
            3 => 3,
            _ => 2,
        }
    }

    unsafe fn correlate(job: &correlate::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 4 5 or 6] => correlate_rows::<ROWS>(job)) }
    }
}

impl reduce::Tile for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 4;
    const OFFSETS: usize = 2;

    unsafe fn reduce(job: &reduce::TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe { for_count!(ROWS = job.rows, [1 2 3 or 4] => reduce_rows::<ROWS>(job)) }
    }
}

/// The tile of `correlate` for `R` rows.
///
/// # Safety
/// As for [`correlate::Tile::correlate`].
#[target_feature(enable = "avx2,fma")]
unsafe fn correlate_rows<const R: usize>(job: &correlate::TileJob) {
    // SAFETY: the caller's promise, for each number of vectors.
    unsafe {
        for_count!(COUNT = job.vectors.len(), [1 2 3 4 5 or 6] => correlate_tile::<R, COUNT>(job))
    }
}

/// `R` rows of `V` vectors, held in `R · V` registers over the whole depth.
///
/// # Safety
/// As for [`correlate::Tile::correlate`], with `R` the job's rows and `V` its
/// vectors.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn correlate_tile<const R: usize, const V: usize>(job: &correlate::TileJob) {
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    let starts: [*const f32; V] =
        from_fn(|v| job.source.wrapping_add(job.vectors[v].position as usize));
    let mut weights = job.weights;
    for &offset in job.offsets {
        // SAFETY: the source is readable at every position plus offset, for
        // the whole vector, and each step has `R` weights; the pointer to the
        // last step's successor is formed by wrapping arithmetic.
        unsafe {
            let values: [__m256; V] = from_fn(|v| _mm256_loadu_ps(starts[v].add(offset as usize)));
            for row in 0..R {
                let weight = _mm256_set1_ps(*weights.add(row));
                for v in 0..V {
                    sums[row][v] = _mm256_fmadd_ps(weight, values[v], sums[row][v]);
                }
            }
        }
        weights = weights.wrapping_add(job.weight_step);
    }
    for v in 0..V {
        let correlate::Lanes { stored, results, .. } = job.vectors[v];
        for row in 0..R {
            // SAFETY: a row is writable from `stored` on for as many elements
            // as there are results.
            unsafe {
                let mut out = job.out.add(row * job.out_step + stored as usize);
                if results == 0xff {
                    _mm256_storeu_ps(out, sums[row][v]);
                } else {
                    let mut lanes = [0.0f32; 8];
                    _mm256_storeu_ps(lanes.as_mut_ptr(), sums[row][v]);
                    for lane in (0..8).filter(|lane| results >> lane & 1 == 1) {
                        *out = lanes[lane];
                        out = out.wrapping_add(1);
                    }
                }
            }
        }
    }
}

/// The tile of `reduce` for `R` rows.
///
/// # Safety
/// As for [`reduce::Tile::reduce`].
#[target_feature(enable = "avx2,fma")]
unsafe fn reduce_rows<const R: usize>(job: &reduce::TileJob) {
    // SAFETY: the caller's promise, for each number of offsets.
    unsafe { for_count!(COUNT = job.offsets.len(), [1 or 2] => reduce_tile::<R, COUNT>(job)) }
}

/// `R` rows by `K` offsets, a vector of partial sums each.
///
/// # Safety
/// As for [`reduce::Tile::reduce`], with `R` the job's rows and `K` its
/// offsets.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn reduce_tile<const R: usize, const K: usize>(job: &reduce::TileJob) {
    let mut sums = [[_mm256_setzero_ps(); K]; R];
    let offsets: [usize; K] = from_fn(|k| job.offsets[k] as usize);
    for image in 0..job.images {
        let mut cotangent = job.cotangent.wrapping_add(image * job.cotangent_steps.image);
        let mut source = job.source.wrapping_add(image * job.source_steps.image);
        for _ in 0..job.lines {
            for position in (0..job.vectors).map(|vector| 8 * vector) {
                // SAFETY: both operands are readable there, for a whole vector.
                unsafe {
                    let factors: [__m256; R] = from_fn(|row| {
                        _mm256_loadu_ps(cotangent.add(row * job.row_step + position))
                    });
                    for k in 0..K {
                        let value = _mm256_loadu_ps(source.add(offsets[k] + position));
                        for row in 0..R {
                            sums[row][k] = _mm256_fmadd_ps(factors[row], value, sums[row][k]);
                        }
                    }
                }
            }
            cotangent = cotangent.wrapping_add(job.cotangent_steps.line);
            source = source.wrapping_add(job.source_steps.line);
        }
    }
    for row in 0..R {
        for k in 0..K {
            let mut lanes = [0.0f32; 8];
            // SAFETY: eight lanes; the sums are writable at every row and
            // offset.
            unsafe {
                _mm256_storeu_ps(lanes.as_mut_ptr(), sums[row][k]);
                *job.sums.add(row * job.sums_step + k) += lanes.iter().sum::<f32>();
            }
        }
    }
}
