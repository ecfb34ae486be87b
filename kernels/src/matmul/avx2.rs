//! AVX2 with FMA: a register tile of up to 6 rows of two vectors, 12 of the 16
//! registers; two more hold the columns and one the broadcast value. The
//! driver, and the reasons, are those of the AVX-512 variant.
//!
//! Limit: two multipliers of 8 lanes, 32 operations a cycle, half of AVX-512's. A step
//! is 12 multiplications, 6 cycles, and 8 loads, 4 cycles; 12 sums are enough to hide a
//! latency of 4 cycles, and down to 4 rows there are the 8 that it takes. The table in
//! `avx512` has a column for this variant: 1024 × 1024 × 1024 at 120 GFLOP/s, where
//! `scalar` reaches 7 and AVX-512 235; half of AVX-512, give or take a tenth, wherever
//! memory is not the limit and the result is not small. The blocks are the same but for
//! the tile's sizes, and so is the story of what was lost around it, in `plan`.

use super::packed::{self, PackJob, Tile, TileJob};
use super::{MatmulShape, Routine, Taker};
use std::arch::x86_64::*;
use std::array::from_fn;

/// The routine.
pub(super) const ROUTINE: Routine<f32> = Routine {
    run,
    scratch: packed::scratch::<Avx2>,
    report: Some(report),
    passes: packed::passes::<Avx2>,
};

/// # Safety
/// The processor has AVX2 and FMA.
unsafe fn run(shape: &MatmulShape, a: &[f32], b: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { packed::run::<Avx2>(shape, a, b, out, scratch) }
}

/// # Safety
/// The processor has AVX2 and FMA.
unsafe fn report(
    shape: &MatmulShape,
    a: &[f32],
    b: &[f32],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    // SAFETY: the caller's promise.
    unsafe { packed::report::<Avx2>(shape, a, b, out, scratch, taker) }
}

pub(crate) struct Avx2;

/// Steps of depth that are packed side by side.
const STEPS: usize = 8;

impl Tile for Avx2 {
    type Value = f32;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    unsafe fn multiply(job: &TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe {
            match job.rows {
                1 => tiles::<1>(job),
                2 => tiles::<2>(job),
                3 => tiles::<3>(job),
                4 => tiles::<4>(job),
                5 => tiles::<5>(job),
                _ => tiles::<6>(job),
            }
        }
    }

    unsafe fn pack(job: &PackJob) {
        // SAFETY: the caller's promise.
        unsafe {
            if job.lane_step == 1 {
                pack_along_lanes(job);
            } else {
                pack_along_depth(job);
            }
        }
    }
}

/// The tile for `R` rows.
///
/// # Safety
/// As for [`Tile::multiply`].
#[target_feature(enable = "avx2,fma")]
unsafe fn tiles<const R: usize>(job: &TileJob) {
    // SAFETY: the caller's promise.
    unsafe { if job.columns > 8 { tile::<R, 2>(job) } else { tile::<R, 1>(job) } }
}

/// `R` rows of `V` vectors, held in `R · V` registers from the first to the
/// last step.
///
/// # Safety
/// As for [`Tile::multiply`], with `R` the job's rows and `V` vectors enough
/// for its columns.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn tile<const R: usize, const V: usize>(job: &TileJob) {
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    let (mut left, mut right) = (job.left, job.right);
    for _ in 0..job.depth {
        // SAFETY: a step of `right` holds `V` vectors and one of `left` `R`
        // values; the pointers advance to the next step, `depth` times in all,
        // and wrapping arithmetic forms the last one.
        unsafe {
            let columns: [__m256; V] = from_fn(|v| _mm256_loadu_ps(right.add(8 * v)));
            for row in 0..R {
                let factor = _mm256_set1_ps(*left.add(row));
                for v in 0..V {
                    sums[row][v] = _mm256_fmadd_ps(factor, columns[v], sums[row][v]);
                }
            }
        }
        left = left.wrapping_add(job.left_step);
        right = right.wrapping_add(job.right_step);
    }
    let last = first_lanes(job.columns - 8 * (V - 1));
    for row in 0..R {
        for v in 0..V {
            let mask = if v + 1 == V { last } else { first_lanes(8) };
            // SAFETY: the tile's rows are writable up to its columns, and the
            // mask leaves out what lies beyond.
            unsafe {
                let out = job.out.add(row * job.out_step + 8 * v);
                let mut sum = sums[row][v];
                if job.accumulate {
                    sum = _mm256_add_ps(_mm256_maskload_ps(out, mask), sum);
                }
                _mm256_maskstore_ps(out, mask, sum);
            }
        }
    }
}

/// The mask of the first `lanes` of 8 lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn first_lanes(lanes: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes.min(8) as i32), lane)
}

/// Packing where lanes lie side by side: whole rows are read, [`STEPS`] of them
/// next to each other, and dealt out to the panels.
///
/// # Safety
/// As for [`Tile::pack`], with a lane step of 1.
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_along_lanes(job: &PackJob) {
    let width = job.width;
    let written = first_lanes(width);
    for first in (0..job.depth).step_by(STEPS) {
        let steps = STEPS.min(job.depth - first);
        for start in (0..job.lanes).step_by(width) {
            let lanes = width.min(job.lanes - start);
            let read = [first_lanes(lanes), first_lanes(lanes.saturating_sub(8))];
            for d in first..first + steps {
                // SAFETY: the masks keep reads to the lanes that there are;
                // panels are writable for their whole width.
                unsafe {
                    let source = job.source.add(d * job.depth_step + start);
                    let panel = job.panels.add(start * job.depth + d * width);
                    if lanes == 16 {
                        _mm256_storeu_ps(panel, _mm256_loadu_ps(source));
                        _mm256_storeu_ps(panel.add(8), _mm256_loadu_ps(source.add(8)));
                        continue;
                    }
                    _mm256_maskstore_ps(panel, written, _mm256_maskload_ps(source, read[0]));
                    if width > 8 {
                        let values = _mm256_maskload_ps(source.wrapping_add(8), read[1]);
                        _mm256_storeu_ps(panel.add(8), values);
                    }
                }
            }
        }
    }
}

/// Packing where depth steps lie side by side: squares of 8 lanes by 8 steps
/// are transposed in registers; the first is cut short so that the others begin
/// at half a line of memory.
///
/// # Safety
/// As for [`Tile::pack`], with a depth step of 1.
#[target_feature(enable = "avx2,fma")]
unsafe fn pack_along_depth(job: &PackJob) {
    let width = job.width;
    for panel in (0..job.lanes).step_by(width) {
        for half in (0..width).step_by(8) {
            let lanes = (width - half).min(job.lanes.saturating_sub(panel + half)).min(8);
            if lanes == 0 {
                break;
            }
            let written = first_lanes(width - half);
            let misaligned = job.source.addr() / size_of::<f32>() % 8;
            let mut d = 0;
            while d < job.depth {
                let most = if d == 0 { 8 - misaligned } else { 8 };
                let steps = (job.depth - d).min(most);
                let some = first_lanes(steps);
                // SAFETY: loads are masked to the steps and done for the lanes
                // that there are; the panel is writable for its whole width at
                // each of the `steps` stored.
                unsafe {
                    let source = job.source.wrapping_add((panel + half) * job.lane_step + d);
                    let square = from_fn(|lane| {
                        let row = source.wrapping_add(lane * job.lane_step);
                        match lane < lanes {
                            true => _mm256_maskload_ps(row, some),
                            false => _mm256_setzero_ps(),
                        }
                    });
                    let square = transpose(square);
                    let target = job.panels.add(panel * job.depth + d * width + half);
                    for (step, row) in square.into_iter().enumerate() {
                        if step < steps {
                            _mm256_maskstore_ps(target.add(step * width), written, row);
                        }
                    }
                }
                d += steps;
            }
        }
    }
}

/// Transposes a square of 8 rows of 8, in three rounds that interleave rows 1,
/// 2 and 4 apart.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let pairs: [__m256; 8] = from_fn(|i| {
        let (a, b) = (rows[i & !1], rows[i | 1]);
        if i & 1 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
    });
    // fours[4q + s]: in its 128-bit half h, column 4h + s of rows 4q..4q + 4.
    let fours: [__m256; 8] = from_fn(|i| {
        let (q, s) = (i / 4, i % 4);
        let a = _mm256_castps_pd(pairs[4 * q + s / 2]);
        let b = _mm256_castps_pd(pairs[4 * q + 2 + s / 2]);
        let pairs = if s & 1 == 0 { _mm256_unpacklo_pd(a, b) } else { _mm256_unpackhi_pd(a, b) };
        _mm256_castpd_ps(pairs)
    });
    from_fn(|column| {
        let (a, b) = (fours[column % 4], fours[4 + column % 4]);
        match column / 4 {
            0 => _mm256_permute2f128_ps::<0x20>(a, b),
            _ => _mm256_permute2f128_ps::<0x31>(a, b),
        }
    })
}
