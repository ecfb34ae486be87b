//! AVX-512, with the instruction for pairs of bf16 where there is one.
//!
//! * `PAIRS`: `vdpbf16ps` multiplies 16 pairs and adds both products to the sums.
//!   A pair along the depth is 32 bits, so that the driver, the plan and the
//!   packing of the f32 product serve as they are, on half the depth, where pairs
//!   lie side by side: rows of A, columns of B transposed, an even depth, and the
//!   operands at even addresses. Else pairs are put together first. The instruction
//!   takes numbers below 2⁻¹²⁶ for 0, in operands and sums.
//! * `WIDENED`: both operands are turned into f32, and multiplied as such. For f16
//!   that is what `PAIRS` does too.
//!
//! GFLOP/s on a two-core AVX-512 server (Zen 5), medians of interleaved rounds of
//! one run, on one and on two threads:
//!
//! | rows × columns × depth | f32 | pairs | widened |
//! |---|---|---|---|
//! | 1024 × 1024 × 1024, B transposed | 236, 439 | 454, 859 | 235, 440 |
//! | the same, B plain | 236, 447 | 433, 860 | 233, 450 |
//! | 2048 × 2048 × 2048, B transposed | 239, 458 | 471, 923 | 236, 446 |
//! | 256 × 512 × 12288, B transposed | 224, 412 | 434, 791 | 203, 345 |
//! | 256 × 12288 × 512, B plain | 209, 407 | 339, 652 | 195, 368 |
//! | 64 × 512 × 512, B transposed | 221, 432 | 439, 871 | 197, 382 |
//! | 64 × 512 × 512, B plain | 225, 484 | 402, 749 | 206, 410 |
//! | 8 × 4096 × 4096, B transposed | 64, 106 | 112, 188 | 38, 55 |
//! | 1 × 4096 × 4096, B transposed | 9, 14 | 15, 25 | 5, 7 |
//! | 1 × 4096 × 4096, B plain | 8, 14 | 6, 11 | 5, 7 |
//!
//! What is read once, as by the last three, should not be written out first: that
//! costs what `PAIRS` loses to f32 where it interleaves, and more where widened.

use super::super::avx512::{Avx512, Stored, last_mask, pack};
use super::super::packed::{self, Ask, PackJob, Tile, TileJob};
use super::{MatmulShape, Routine, Storage, Taker};
use crate::parallel::{GRAIN, Shared, for_parts};
use crate::storage::pair;
use std::arch::x86_64::*;
use std::array::from_fn;
use std::ops::Range;

/// The routine that widens.
pub(super) const WIDENED: Routine<f32> =
    Routine { run: run_widened, scratch: scratch_widened, report: Some(report_widened) };
/// The routine that multiplies pairs of bf16, and widens f16.
pub(super) const PAIRS: Routine<f32> =
    Routine { run: run_pairs, scratch: scratch_pairs, report: Some(report_pairs) };

/// The tile of `avx512`, on panels of values that were stored in 16 bits.
struct Widened<const BF16: bool>;

impl<const BF16: bool> Stored for Widened<BF16> {
    type Value = u16;
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    #[inline]
    unsafe fn all(from: *const u16) -> __m512 {
        // SAFETY: the caller's promise.
        widened::<BF16>(unsafe { _mm256_loadu_si256(from.cast()) })
    }
    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
    #[inline]
    unsafe fn some(mask: __mmask16, from: *const u16) -> __m512 {
        // SAFETY: the caller's promise.
        widened::<BF16>(unsafe { _mm256_maskz_loadu_epi16(mask, from.cast()) })
    }
}

/// Sixteen stored values as floats.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
#[inline]
fn widened<const BF16: bool>(bits: __m256i) -> __m512 {
    match BF16 {
        true => _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))),
        false => _mm512_cvtph_ps(bits),
    }
}

impl<const BF16: bool> Tile for Widened<BF16> {
    type Value = u16;
    const IN_PLACE: bool = false;
    const LANES: usize = Avx512::LANES;
    const ROWS: usize = Avx512::ROWS;

    unsafe fn multiply(job: &TileJob) {
        // SAFETY: the caller's promise.
        unsafe { Avx512::multiply(job) }
    }

    unsafe fn multiply_and_ask(job: &TileJob, ask: &mut Ask) {
        // SAFETY: the caller's promise.
        unsafe { Avx512::multiply_and_ask(job, ask) }
    }

    unsafe fn pack(job: &PackJob<u16>) {
        // SAFETY: the caller's promise.
        unsafe { pack::<Self>(job) }
    }
}

/// Both formats lie the same.
fn scratch_widened(shape: &MatmulShape) -> usize {
    packed::scratch::<Widened<false>>(shape)
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL.
unsafe fn run_widened(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        match storage {
            Storage::F16 => packed::run::<Widened<false>>(shape, a, b, out, scratch),
            Storage::Bf16 => packed::run::<Widened<true>>(shape, a, b, out, scratch),
        }
    }
}

/// # Safety
/// As [`run_widened`], and as [`super::super::Routine::report`] says.
unsafe fn report_widened(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match storage {
            Storage::F16 => packed::report::<Widened<false>>(shape, a, b, out, scratch, taker),
            Storage::Bf16 => packed::report::<Widened<true>>(shape, a, b, out, scratch, taker),
        }
    }
}

/// Where the pairs of an operand come from.
struct Pairing {
    /// Values of a lane lie side by side.
    side_by_side: bool,
    lanes: usize,
    depth: usize,
    stride: usize,
    /// Operands: one if all products share it.
    count: usize,
}

impl Pairing {
    fn of(shape: &MatmulShape) -> [Self; 2] {
        let MatmulShape { m, n, k: depth, transpose_a, transpose_b, batch, .. } = *shape;
        let count = |stride: usize| if stride == 0 { batch.min(1) } else { batch };
        let pairing = |side_by_side, lanes, stride| Pairing {
            side_by_side,
            lanes,
            depth,
            stride,
            count: count(stride),
        };
        [pairing(!transpose_a, m, shape.a_stride), pairing(transpose_b, n, shape.b_stride)]
    }

    /// Pairs of one operand, where they are put together.
    fn pairs(&self) -> usize {
        self.lanes * self.depth.div_ceil(2)
    }

    /// The pairs as they lie, if they can be read so.
    fn in_place<'a>(&self, values: &'a [u16]) -> Option<&'a [f32]> {
        let fits =
            self.side_by_side && self.depth.is_multiple_of(2) && self.stride.is_multiple_of(2);
        // SAFETY: any bits are an `f32`, and nothing but moves is done to it.
        let (before, pairs, _) = unsafe { values.align_to::<f32>() };
        (fits && before.is_empty()).then_some(pairs)
    }

    /// Puts pairs together, one operand after the other without gaps; a pair that
    /// lacks its second value gets a 0.
    fn put_together(&self, values: &[u16], to: &mut [f32]) {
        let (lanes, depth, pairs) = (self.lanes, self.depth, self.depth.div_ceil(2));
        let (lines, length) = if self.side_by_side { (lanes, pairs) } else { (pairs, lanes) };
        let target = Shared::new(to);
        let most = (GRAIN / length.max(1)).max(1);
        for_parts(self.count * lines, most, |range: Range<usize>| {
            for line in range {
                let (operand, line_of) = (line / lines, line % lines);
                let values = &values[operand * self.stride..];
                // SAFETY: lines are disjoint, and there is room for all.
                let to = unsafe { target.part(line * length..(line + 1) * length) };
                if self.side_by_side {
                    let values = &values[line_of * depth..(line_of + 1) * depth];
                    let (two, one) = values.as_chunks::<2>();
                    to.iter_mut().zip(two).for_each(|(to, [low, high])| *to = pair(*low, *high));
                    if let ([low], Some(to)) = (one, to.last_mut()) {
                        *to = pair(*low, 0);
                    }
                    continue;
                }
                let low = &values[2 * line_of * lanes..(2 * line_of + 1) * lanes];
                if 2 * line_of + 1 < depth {
                    let high = &values[(2 * line_of + 1) * lanes..(2 * line_of + 2) * lanes];
                    let both = low.iter().zip(high);
                    to.iter_mut().zip(both).for_each(|(to, (low, high))| *to = pair(*low, *high));
                } else {
                    to.iter_mut().zip(low).for_each(|(to, low)| *to = pair(*low, 0));
                }
            }
        });
    }
}

/// The shape in pairs, with these distances from operand to operand.
fn paired(shape: &MatmulShape, [a_stride, b_stride]: [usize; 2]) -> MatmulShape {
    MatmulShape { k: shape.k.div_ceil(2), a_stride, b_stride, ..*shape }
}

fn scratch_pairs(shape: &MatmulShape) -> usize {
    let pairings = Pairing::of(shape);
    let copies: usize = pairings.iter().map(|pairing| pairing.count * pairing.pairs()).sum();
    // The plan may depend on whether products without gaps follow each other.
    let strides = pairings.each_ref().map(|pairing| match pairing.stride {
        0 => [0, 0],
        stride => [pairing.pairs(), stride / 2],
    });
    let plans = [0, 1].map(|a| {
        [0, 1].map(|b| packed::scratch::<Pairs>(&paired(shape, [strides[0][a], strides[1][b]])))
    });
    let most = plans.iter().flatten().max().copied().unwrap_or(0);
    (copies + most).max(scratch_widened(shape))
}

/// # Safety
/// The processor has AVX-512 F, DQ, BW, VL and BF16.
unsafe fn run_pairs(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    assert_eq!(out.len(), shape.elements(), "length of the product");
    // SAFETY: the caller's promise.
    unsafe {
        report_pairs(
            shape,
            storage,
            a,
            b,
            out.as_mut_ptr(),
            scratch,
            &|_: Range<usize>, _: *mut u8| {},
        )
    }
}

/// # Safety
/// As [`run_pairs`], and as [`super::super::Routine::report`] says.
unsafe fn report_pairs(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    if storage == Storage::F16 || shape.elements() == 0 {
        // SAFETY: the caller's promise.
        return unsafe { report_widened(shape, storage, a, b, out, scratch, taker) };
    }
    shape.check_operands(a, b);
    let [pairing_a, pairing_b] = Pairing::of(shape);
    let (copy_a, scratch) = scratch.split_at_mut(pairing_a.count * pairing_a.pairs());
    let (copy_b, scratch) = scratch.split_at_mut(pairing_b.count * pairing_b.pairs());
    let place = |pairing: &Pairing, values, copy: &mut [f32]| match pairing.in_place(values) {
        Some(_) => pairing.stride / 2,
        None => {
            pairing.put_together(values, copy);
            if pairing.stride == 0 { 0 } else { pairing.pairs() }
        }
    };
    let strides = [place(&pairing_a, a, copy_a), place(&pairing_b, b, copy_b)];
    let pairs_a = pairing_a.in_place(a).unwrap_or(copy_a);
    let pairs_b = pairing_b.in_place(b).unwrap_or(copy_b);
    // SAFETY: the caller's promise.
    unsafe {
        let shape = paired(shape, strides);
        packed::report::<Pairs>(&shape, pairs_a, pairs_b, out, scratch, taker);
    }
}

/// The tile of `avx512`, with pairs in place of values.
struct Pairs;

impl Tile for Pairs {
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

    unsafe fn pack(job: &PackJob) {
        // SAFETY: the caller's promise.
        unsafe { Avx512::pack(job) }
    }
}

/// # Safety
/// As for [`Tile::multiply`].
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
unsafe fn tiles<const R: usize>(job: &TileJob) {
    // SAFETY: the caller's promise.
    unsafe { if job.columns > 16 { tile::<R, 2>(job) } else { tile::<R, 1>(job) } }
}

/// # Safety
/// As for [`Tile::multiply`], with `R` the job's rows and `V` vectors enough
/// for its columns.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
#[inline]
unsafe fn tile<const R: usize, const V: usize>(job: &TileJob) {
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    let (mut left, mut right) = (job.left.cast::<i32>(), job.right);
    for _ in 0..job.depth {
        // SAFETY: a step of `right` holds `V` vectors of pairs and one of `left`
        // `R` pairs; pointers advance as in `avx512`.
        unsafe {
            let columns: [__m512bh; V] = from_fn(|v| _mm512_loadu_ps(right.add(16 * v)))
                .map(|pairs| std::mem::transmute::<__m512, __m512bh>(pairs));
            for row in 0..R {
                let factor = _mm512_set1_epi32(*left.add(row));
                let factor = std::mem::transmute::<__m512i, __m512bh>(factor);
                for v in 0..V {
                    sums[row][v] = _mm512_dpbf16_ps(sums[row][v], factor, columns[v]);
                }
            }
        }
        left = left.wrapping_add(job.left_step);
        right = right.wrapping_add(job.right_step);
    }
    for row in 0..R {
        for v in 0..V {
            let mask = last_mask(job.columns.saturating_sub(16 * v));
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
