//! AVX-512: a register tile of up to 14 rows of two vectors.
//!
//! Reference: `scalar`, about 7 GFLOP/s. Limit: two multipliers of 16 lanes
//! take 64 operations a cycle, 265 to 273 GFLOP/s on a core of the two-core
//! AVX-512 server (Zen 5) where everything here was measured, one thread, best
//! of repeated calls, against the peak measured in the same process.
//!
//! A tile of 14 × 2 vectors has 28 sums, which with two vectors of `right` and
//! a broadcast value fill 31 of the 32 registers. A step is 28 multiplications,
//! 14 cycles, and 16 loads, 8 cycles, so the multipliers are the bottleneck
//! down to tiles of 3 rows; with fewer, too few sums are under way to hide the
//! latency of 4 cycles. On packed panels the tile reaches 97 to 98 % of the
//! peak; 8 × 3, 6 × 4 and 12 × 2 vectors are the same, 28 × 1 is a tenth slower.
//! Blocking, packing and splitting are `plan`'s and `packed`'s, and so is the
//! story of what was lost around the tile.
//!
//! Packing: rows dealt out to panels of 32 one at a time take 0.21 ns a float,
//! eight at a time 0.07, to panels of 14 0.43 and 0.08. Squares transposed in
//! registers: 0.10, without a mask on whole squares 0.07. What lies beyond the
//! lanes is not loaded, not even under an empty mask: 16 × 16 × 65536 took 900
//! to 4800 µs with such loads, depending on what lay there, and 320 without.
//!
//! | rows × columns × depth | this | `avx2` | `matrixmultiply` |
//! |---|---|---|---|
//! | 1024 × 1024 × 1024 | 235 | 120 | 203 |
//! | 2048 × 2048 × 2048 | 239 | 117 | 198 |
//! | 256 × 512 × 12288 | 219 | 112 | 186 |
//! | the same, B transposed | 225 | 114 | 168 |
//! | 256 × 12288 × 512 | 212 | 114 | 182 |
//! | 512 × 12288 × 256, A transposed | 212 | 116 | 198 |
//! | 12288 × 512 × 256, A transposed | 226 | 120 | 216 |
//! | 256 × 512 × 256 | 244 | 126 | 213 |
//! | 64 × 512 × 512 | 244 | 115 | 178 |
//! | the same, B transposed | 217 | 115 | 146 |
//! | 16 × 16 × 65536 | 120 | 77 | 51 |
//! | 16 × 16 × 65536, A transposed | 177 | 117 | 127 |
//! | 8 × 4096 × 4096 | 59 | 27 | 30 |
//! | 1 × 4096 × 4096 | 9.6 | 7.1 | 4.0 |
//! | 256 times 64 × 64 × 16, B transposed | 149 | 89 | 90 |
//!
//! in GFLOP/s, while other work ran on the other core. 8 × 4096 × 4096 and 1 × 4096 × 4096
//! are bound by memory.

use super::packed::{self, Ask, PackJob, Tile, TileJob};
use super::plan::LINE;
use super::{MatmulShape, Routine, Taker};
use std::arch::x86_64::*;
use std::array::from_fn;

/// The routine.
pub(crate) const ROUTINE: Routine<f32> = Routine {
    run,
    scratch: packed::scratch::<Avx512>,
    report: Some(report),
    passes: packed::passes::<Avx512>,
};

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run(shape: &MatmulShape, a: &[f32], b: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { packed::run::<Avx512>(shape, a, b, out, scratch) }
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn report(
    shape: &MatmulShape,
    a: &[f32],
    b: &[f32],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    // SAFETY: the caller's promise.
    unsafe { packed::report::<Avx512>(shape, a, b, out, scratch, taker) }
}

pub(crate) struct Avx512;

/// Steps of depth in which a tile asks for one line ahead.
const AHEAD: usize = 4;

/// Steps of depth that are packed side by side: as many lines that lie 4 KiB
/// apart as the first-level cache can hold together.
const STEPS: usize = 8;

impl Tile for Avx512 {
    type Value = f32;
    const LANES: usize = 16;
    const ROWS: usize = 14;

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
                8 => tiles::<8>(job),
                9 => tiles::<9>(job),
                10 => tiles::<10>(job),
                11 => tiles::<11>(job),
                12 => tiles::<12>(job),
                13 => tiles::<13>(job),
                _ => tiles::<14>(job),
            }
        }
    }

    unsafe fn multiply_and_ask(job: &TileJob, ask: &mut Ask) {
        // SAFETY: the caller's promise, for each number of rows.
        unsafe {
            match job.rows {
                1 => asking::<1>(job, ask),
                2 => asking::<2>(job, ask),
                3 => asking::<3>(job, ask),
                4 => asking::<4>(job, ask),
                5 => asking::<5>(job, ask),
                6 => asking::<6>(job, ask),
                7 => asking::<7>(job, ask),
                8 => asking::<8>(job, ask),
                9 => asking::<9>(job, ask),
                10 => asking::<10>(job, ask),
                11 => asking::<11>(job, ask),
                12 => asking::<12>(job, ask),
                13 => asking::<13>(job, ask),
                _ => asking::<14>(job, ask),
            }
        }
    }

    unsafe fn pack(job: &PackJob) {
        // SAFETY: the caller's promise.
        unsafe { pack::<Floats>(job) }
    }
}

/// How operands are stored: what becomes of sixteen values when they are packed.
pub(super) trait Stored {
    /// A stored value.
    type Value: Copy;
    /// Sixteen values.
    ///
    /// # Safety
    /// The processor has AVX-512 F, DQ, BW and VL; all values are readable.
    unsafe fn all(from: *const Self::Value) -> __m512;
    /// The values of a mask.
    ///
    /// # Safety
    /// As for [`Stored::all`], of the values of the mask.
    unsafe fn some(mask: __mmask16, from: *const Self::Value) -> __m512;
}

struct Floats;

impl Stored for Floats {
    type Value = f32;
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    #[inline]
    unsafe fn all(from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    #[inline]
    unsafe fn some(mask: __mmask16, from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }
}

/// Packs values, which are floats in the panels whatever they are stored as.
///
/// # Safety
/// As for [`Tile::pack`].
pub(super) unsafe fn pack<S: Stored>(job: &PackJob<S::Value>) {
    // SAFETY: the caller's promise.
    unsafe {
        if job.lane_step == 1 {
            pack_along_lanes::<S>(job);
        } else {
            pack_along_depth::<S>(job);
        }
    }
}

/// The tile for `R` rows.
///
/// # Safety
/// As for [`Tile::multiply`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn tiles<const R: usize>(job: &TileJob) {
    // SAFETY: the caller's promise.
    unsafe {
        match job.columns {
            1..=16 => tile::<R, 1, NOTHING>(job, &mut Ask::Nothing),
            _ => tile::<R, 2, NOTHING>(job, &mut Ask::Nothing),
        }
    }
}

/// The same, asking for lines of memory.
///
/// # Safety
/// As for [`Tile::multiply_and_ask`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn asking<const R: usize>(job: &TileJob, ask: &mut Ask) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.columns, &ask) {
            (1..=16, _) => tile::<R, 1, NOTHING>(job, ask),
            (_, Ask::Nothing) => tile::<R, 2, NOTHING>(job, ask),
            (_, Ask::Next(_)) => tile::<R, 2, NEXT>(job, ask),
            (_, Ask::Others(_)) => tile::<R, 2, OTHERS>(job, ask),
        }
    }
}

/// What a tile asks for: the kinds of [`Ask`].
const NOTHING: usize = 0;
const NEXT: usize = 1;
const OTHERS: usize = 2;

/// `R` rows of `V` vectors, held in `R · V` registers from the first to the
/// last step; asks for lines of kind `ASK`. A function of its own, so that the
/// registers are its own as well.
///
/// # Safety
/// As for [`Tile::multiply_and_ask`], with `R` the job's rows and `V` vectors enough
/// for its columns.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline(never)]
unsafe fn tile<const R: usize, const V: usize, const ASK: usize>(job: &TileJob, ask: &mut Ask) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let (mut left, mut right) = (job.left, job.right);
    let mut next = match ask {
        Ask::Next(next) if ASK == NEXT => *next,
        _ => job.right,
    };
    // Steps between two lines of the others, and until the first.
    let every = match ask {
        Ask::Others(others) if ASK == OTHERS => (job.depth / others.lines.max(1)).max(1),
        _ => 1,
    };
    let mut wait = 1;
    for step in 0..job.depth {
        if ASK == NEXT && step % AHEAD == 0 {
            _mm_prefetch::<_MM_HINT_T1>(next.cast());
            next = next.wrapping_add(LINE);
        }
        if ASK == OTHERS {
            wait -= 1;
            if wait == 0 {
                wait = every;
                if let Ask::Others(others) = ask {
                    others.ask(|line| _mm_prefetch::<_MM_HINT_T1>(line.cast()));
                }
            }
        }
        // SAFETY: a step of `right` holds `V` vectors and one of `left` `R`
        // values; the pointers advance to the next step, `depth` times in all,
        // and wrapping arithmetic forms the last one.
        unsafe {
            let columns: [__m512; V] = from_fn(|v| _mm512_loadu_ps(right.add(16 * v)));
            for row in 0..R {
                let factor = _mm512_set1_ps(*left.add(row));
                for v in 0..V {
                    sums[row][v] = _mm512_fmadd_ps(factor, columns[v], sums[row][v]);
                }
            }
        }
        left = left.wrapping_add(job.left_step);
        right = right.wrapping_add(job.right_step);
    }
    let mask = last_mask(job.columns - 16 * (V - 1));
    for row in 0..R {
        for v in 0..V {
            let mask = if v + 1 == V { mask } else { !0 };
            // SAFETY: the tile's rows are writable up to its columns, and the
            // mask leaves out what lies beyond.
            unsafe {
                let out = job.out.add(row * job.out_step + 16 * v);
                let mut sum = sums[row][v];
                if job.accumulate {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
                }
                _mm512_mask_storeu_ps(out, mask, sum);
            }
        }
    }
}

/// The first `lanes` of 16 lanes.
pub(super) fn last_mask(lanes: usize) -> __mmask16 {
    (0xffff_u32 >> (16 - lanes.min(16))) as __mmask16
}

/// Packing where lanes lie side by side: whole rows are read, [`STEPS`] of them
/// next to each other, and dealt out to the panels. One row at a time the
/// stores to the panels, which lie powers of two apart, drive each other out of
/// the first-level cache: 0.21 ns a float, against 0.07.
///
/// # Safety
/// As for [`Tile::pack`], with a lane step of 1.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn pack_along_lanes<S: Stored>(job: &PackJob<S::Value>) {
    let width = job.width;
    let written = [last_mask(width), last_mask(width.saturating_sub(16))];
    for first in (0..job.depth).step_by(STEPS) {
        let steps = STEPS.min(job.depth - first);
        for start in (0..job.lanes).step_by(width) {
            let lanes = width.min(job.lanes - start);
            let read = [last_mask(lanes), last_mask(lanes.saturating_sub(16))];
            for d in first..first + steps {
                // SAFETY: the masks keep reads to the lanes that there are;
                // panels are writable for their whole width.
                unsafe {
                    let source = job.source.add(d * job.depth_step + start);
                    let panel = job.panels.add(start * job.depth + d * width);
                    if lanes == 32 {
                        _mm512_storeu_ps(panel, S::all(source));
                        _mm512_storeu_ps(panel.add(16), S::all(source.add(16)));
                        continue;
                    }
                    let values = S::some(read[0], source);
                    _mm512_mask_storeu_ps(panel, written[0], values);
                    if width > 16 {
                        let values = S::some(read[1], source.wrapping_add(16));
                        _mm512_mask_storeu_ps(panel.wrapping_add(16), written[1], values);
                    }
                }
            }
        }
    }
}

/// Packing where depth steps lie side by side: squares of 16 lanes by 16
/// steps are transposed in registers. The first square is cut short so that the
/// others begin at a line of memory: where lanes lie a large power of two apart
/// their lines drive each other out of the first-level cache, and a line that is
/// read in two halves is fetched twice.
///
/// # Safety
/// As for [`Tile::pack`], with a depth step of 1.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn pack_along_depth<S: Stored>(job: &PackJob<S::Value>) {
    let width = job.width;
    for panel in (0..job.lanes).step_by(width) {
        for half in (0..width).step_by(16) {
            let lanes = (width - half).min(job.lanes.saturating_sub(panel + half)).min(16);
            if lanes == 0 {
                break;
            }
            let written = last_mask(width - half);
            let misaligned = job.source.addr() / size_of::<S::Value>() % 16;
            let mut d = 0;
            while d < job.depth {
                let most = if d == 0 { 16 - misaligned } else { 16 };
                let steps = (job.depth - d).min(most);
                // SAFETY: loads are masked to the steps and done for the lanes
                // that there are; the panel is writable for its whole width at
                // each of the `steps` stored.
                unsafe {
                    let source = job.source.wrapping_add((panel + half) * job.lane_step + d);
                    let square = from_fn(|lane| {
                        // A load of nothing is no load: masked out as a whole it
                        // is still looked up, and at a page that is not there
                        // takes some hundred cycles.
                        match (lane < lanes, source.wrapping_add(lane * job.lane_step)) {
                            (false, _) => _mm512_setzero_ps(),
                            (true, row) if steps == 16 => S::all(row),
                            (true, row) => S::some(last_mask(steps), row),
                        }
                    });
                    let square = transpose(square);
                    let target = job.panels.add(panel * job.depth + d * width + half);
                    if steps == 16 {
                        for step in 0..16 {
                            _mm512_mask_storeu_ps(target.add(step * width), written, square[step]);
                        }
                    } else {
                        for step in 0..steps {
                            _mm512_mask_storeu_ps(target.add(step * width), written, square[step]);
                        }
                    }
                }
                d += steps;
            }
        }
    }
}

/// Transposes a square of 16 rows of 16, in four rounds that interleave rows
/// 1, 2, 4 and 8 apart.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
fn transpose(rows: [__m512; 16]) -> [__m512; 16] {
    let pairs: [__m512; 16] = from_fn(|i| {
        let (a, b) = (rows[i & !1], rows[i | 1]);
        if i & 1 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
    });
    // fours[4q + s]: in each 128-bit lane l, column 4l + s of rows 4q..4q + 4.
    let fours: [__m512; 16] = from_fn(|i| {
        let (q, s) = (i / 4, i % 4);
        let a = _mm512_castps_pd(pairs[4 * q + s / 2]);
        let b = _mm512_castps_pd(pairs[4 * q + 2 + s / 2]);
        _mm512_castpd_ps(if s & 1 == 0 {
            _mm512_unpacklo_pd(a, b)
        } else {
            _mm512_unpackhi_pd(a, b)
        })
    });
    // eights[8h + 4e + s]: columns 4e + s and 4e + s + 8, rows 8h..8h + 8 …
    let eights: [__m512; 16] = from_fn(|i| {
        let (h, e, s) = (i / 8, i / 4 % 2, i % 4);
        let (a, b) = (fours[8 * h + s], fours[8 * h + 4 + s]);
        if e == 0 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) }
    });
    // … where lanes are (column 4e+s: rows 8h..+4), (column 4e+s+8: …), twice.
    from_fn(|column| {
        let (late, e, s) = (column / 8, column / 4 % 2, column % 4);
        let (a, b) = (eights[4 * e + s], eights[8 + 4 * e + s]);
        if late == 0 {
            _mm512_shuffle_f32x4::<0x88>(a, b)
        } else {
            _mm512_shuffle_f32x4::<0xdd>(a, b)
        }
    })
}
