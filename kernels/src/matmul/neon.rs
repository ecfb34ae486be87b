//! NEON: a register tile of up to 8 rows of three vectors of 4 lanes.
//!
//! A tile has 24 sums; three vectors of columns and two of rows make 29 of the
//! 32 registers. A multiplication takes its factor from a lane of a vector, so
//! that 8 rows need two loads a step, not 8 broadcasts: 5 loads for 24
//! multiplications. The driver, and the reasons, are those of the AVX-512
//! variant. `tests/aarch64.sh` runs its tests in an emulator; it has not been timed.

use super::packed::{self, PackJob, Tile, TileJob};
use super::{MatmulShape, Routine, Taker};
use std::arch::aarch64::*;
use std::array::from_fn;

/// The routine.
pub(super) const ROUTINE: Routine<f32> = Routine {
    run,
    scratch: packed::scratch::<Neon>,
    report: Some(report),
    passes: packed::passes::<Neon>,
};

/// # Safety
/// None beyond the signature's: every aarch64 processor has NEON.
unsafe fn run(shape: &MatmulShape, a: &[f32], b: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    // SAFETY: NEON is there.
    unsafe { packed::run::<Neon>(shape, a, b, out, scratch) }
}

/// # Safety
/// None beyond the signature's: every aarch64 processor has NEON.
unsafe fn report(
    shape: &MatmulShape,
    a: &[f32],
    b: &[f32],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    // SAFETY: the caller's promise.
    unsafe { packed::report::<Neon>(shape, a, b, out, scratch, taker) }
}

struct Neon;

impl Tile for Neon {
    type Value = f32;
    const LANES: usize = 4;
    const ROWS: usize = 8;
    const WIDTH: usize = 12;

    unsafe fn multiply(job: &TileJob) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe {
            match job.rows {
                1 => tiles::<1>(job),
                2 => tiles::<2>(job),
                3 => tiles::<3>(job),
                4 => tiles::<4>(job),
                5 => tiles::<5>(job),
                6 => tiles::<6>(job),
                7 => tiles::<7>(job),
                _ => tiles::<8>(job),
            }
        }
    }

    unsafe fn pack(job: &PackJob) {
        let width = job.width;
        for first in (0..job.lanes).step_by(width) {
            let lanes = width.min(job.lanes - first);
            // SAFETY: the panel is writable for its whole width at every step,
            // and the source readable at the lanes that there are.
            unsafe {
                let source = job.source.add(first * job.lane_step);
                let panel = job.panels.add(first * job.depth);
                if job.lane_step == 1 {
                    for d in 0..job.depth {
                        let (from, to) = (source.add(d * job.depth_step), panel.add(d * width));
                        std::ptr::copy_nonoverlapping(from, to, lanes);
                    }
                } else {
                    pack_along_depth(job, source, panel, lanes);
                }
            }
        }
    }
}

/// The tile for `R` rows.
///
/// # Safety
/// As for [`Tile::multiply`].
unsafe fn tiles<const R: usize>(job: &TileJob) {
    // SAFETY: the caller's promise.
    unsafe {
        match job.columns {
            ..=4 => tile::<R, 1>(job),
            5..=8 => tile::<R, 2>(job),
            _ => tile::<R, 3>(job),
        }
    }
}

/// `R` rows of `V` vectors, held in `R · V` registers from the first to the
/// last step.
///
/// # Safety
/// As for [`Tile::multiply`], with `R` the job's rows and `V` vectors enough
/// for its columns.
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize, const V: usize>(job: &TileJob) {
    let mut sums = [[vdupq_n_f32(0.0); V]; R];
    let (mut left, mut right) = (job.left, job.right);
    for _ in 0..job.depth {
        // SAFETY: a step of `right` holds `V` vectors and one of `left` `R`
        // values; the pointers advance to the next step, `depth` times in all,
        // and wrapping arithmetic forms the last one.
        unsafe {
            let columns: [float32x4_t; V] = from_fn(|v| vld1q_f32(right.add(4 * v)));
            let mut row = 0;
            // Whole vectors of rows, then one row after another.
            while row + 4 <= R {
                let factors = vld1q_f32(left.add(row));
                for v in 0..V {
                    sums[row][v] = vfmaq_laneq_f32::<0>(sums[row][v], columns[v], factors);
                    sums[row + 1][v] = vfmaq_laneq_f32::<1>(sums[row + 1][v], columns[v], factors);
                    sums[row + 2][v] = vfmaq_laneq_f32::<2>(sums[row + 2][v], columns[v], factors);
                    sums[row + 3][v] = vfmaq_laneq_f32::<3>(sums[row + 3][v], columns[v], factors);
                }
                row += 4;
            }
            while row < R {
                let factor = vld1q_dup_f32(left.add(row));
                for v in 0..V {
                    sums[row][v] = vfmaq_f32(sums[row][v], columns[v], factor);
                }
                row += 1;
            }
        }
        left = left.wrapping_add(job.left_step);
        right = right.wrapping_add(job.right_step);
    }
    for row in 0..R {
        for v in 0..V {
            let columns = (job.columns - 4 * v).min(4);
            let mut lanes = [0.0f32; 4];
            // SAFETY: the tile's rows are writable up to its columns.
            unsafe {
                let out = job.out.add(row * job.out_step + 4 * v);
                if columns == 4 {
                    let sum = match job.accumulate {
                        true => vaddq_f32(vld1q_f32(out), sums[row][v]),
                        false => sums[row][v],
                    };
                    vst1q_f32(out, sum);
                } else {
                    vst1q_f32(lanes.as_mut_ptr(), sums[row][v]);
                    for (column, sum) in lanes.iter().enumerate().take(columns) {
                        let out = &mut *out.add(column);
                        *out = if job.accumulate { *out + sum } else { *sum };
                    }
                }
            }
        }
    }
}

/// Packing of a panel where depth steps lie side by side: squares of 4 lanes by
/// 4 steps are transposed in registers.
///
/// # Safety
/// `source` is readable for `lanes` lanes and all steps of the job, and `panel`
/// writable for its whole width at every step.
#[target_feature(enable = "neon")]
unsafe fn pack_along_depth(job: &PackJob, source: *const f32, panel: *mut f32, lanes: usize) {
    let (step, width) = (job.lane_step, job.width);
    let (whole_lanes, whole_depth) = (lanes - lanes % 4, job.depth - job.depth % 4);
    for lane in (0..whole_lanes).step_by(4) {
        for d in (0..whole_depth).step_by(4) {
            // SAFETY: four lanes and four steps of both.
            unsafe {
                let rows: [float32x4_t; 4] =
                    from_fn(|i| vld1q_f32(source.add((lane + i) * step + d)));
                // Pairs of rows, and then pairs of these.
                let [even, odd] = [0, 2].map(|i| {
                    let low = vtrn1q_f32(rows[i], rows[i + 1]);
                    let high = vtrn2q_f32(rows[i], rows[i + 1]);
                    [low, high].map(|x| vreinterpretq_f64_f32(x))
                });
                let columns = [
                    vtrn1q_f64(even[0], odd[0]),
                    vtrn1q_f64(even[1], odd[1]),
                    vtrn2q_f64(even[0], odd[0]),
                    vtrn2q_f64(even[1], odd[1]),
                ];
                for (i, column) in columns.into_iter().enumerate() {
                    let to = panel.add((d + i) * width + lane);
                    vst1q_f32(to, vreinterpretq_f32_f64(column));
                }
            }
        }
    }
    for lane in 0..lanes {
        let first = if lane < whole_lanes { whole_depth } else { 0 };
        for d in first..job.depth {
            // SAFETY: a lane and step of both.
            unsafe { *panel.add(d * width + lane) = *source.add(lane * step + d) };
        }
    }
}
