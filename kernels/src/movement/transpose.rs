//! Transposing tiles in registers.
//!
//! The reference, `transpose` of `tiled.rs`, passes a tile of 16 × 16 through a buffer,
//! an element at a time: 256 loads and stores, about 40 ns a tile wherever it lies. The
//! memory moves 64 bytes in the time of one of them.
//!
//! Here a tile is sixteen registers (AVX-512), each read from one line and written to
//! one. Between lie four rounds of sixteen shuffles: pairs of neighbours are interleaved
//! (element of row 0, of row 1, of row 0, …), then pairs of pairs, which makes quarters
//! of columns, and twice quarters of registers are exchanged. Ragged tiles do the same
//! with masked loads and stores. AVX2 has registers for half the edge: four tiles of
//! 8 × 8, whose first exchange is done by loading halves of two rows into one register;
//! ragged ones go to the reference.
//!
//! Measured on one thread of a two-core AVX-512 server (Zen 5), bytes read and written,
//! GB/s, reference, AVX2 and AVX-512: a plane of 64 × 64 in the first-level cache 25,
//! 180 and 400; 64 × 1024, 16 of them (8 MiB), 20, 34 and 52; 48 × 4096, 16 of them,
//! 7, 34 and 52; 4096 × 4096, where neighbouring rows compete for one set of the cache,
//! 7, 17 and 16. On two threads 50 million values to channels last (95 planes of
//! 128 × 4096): 17, 61 and 63 % of a copy; AVX-512 51 % before what is far larger than the
//! caches was written past them.

#![allow(unsafe_op_in_unsafe_fn)]

use super::Strided;
use super::tiled::{Axis, TILE, read_by, transpose, write_by};
use crate::parallel::{STREAMED, streamed};
use std::arch::x86_64::*;

/// The contract of [`READ_STRIDED`](super::READ_STRIDED).
pub(super) unsafe fn read_avx512(layout: &Strided<'_>, x: &[f32], out: &mut [f32]) {
    read_by(layout, x, out, if size_of_val(out) < STREAMED { near } else { past });
}

/// The contract of [`WRITE_STRIDED`](super::WRITE_STRIDED).
pub(super) unsafe fn write_avx512(layout: &Strided<'_>, x: &[f32], out: &mut [f32]) {
    write_by(layout, x, out, if size_of_val(out) < STREAMED { near } else { past });
}

/// The contract of [`READ_STRIDED`](super::READ_STRIDED).
pub(super) unsafe fn read_avx2(layout: &Strided<'_>, x: &[f32], out: &mut [f32]) {
    read_by(layout, x, out, plane_avx2);
}

/// The contract of [`WRITE_STRIDED`](super::WRITE_STRIDED).
pub(super) unsafe fn write_avx2(layout: &Strided<'_>, x: &[f32], out: &mut [f32]) {
    write_by(layout, x, out, plane_avx2);
}

/// The contract of [`transpose`]; AVX-512 is there.
#[target_feature(enable = "avx512f")]
unsafe fn near(across: Axis, run: Axis, from: *const f32, to: *mut f32) {
    plane_avx512::<false>(across, run, from, to);
}

/// As [`near`], for what is far larger than the caches.
#[target_feature(enable = "avx512f")]
unsafe fn past(across: Axis, run: Axis, from: *const f32, to: *mut f32) {
    // Whole lines only: part of one written so costs more than it spares.
    if to.addr().is_multiple_of(64) && across.to % TILE as isize == 0 {
        plane_avx512::<true>(across, run, from, to);
        streamed();
    } else {
        plane_avx512::<false>(across, run, from, to);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn plane_avx512<const PAST: bool>(across: Axis, run: Axis, from: *const f32, to: *mut f32) {
    for row in (0..across.size).step_by(TILE) {
        let rows = TILE.min(across.size - row);
        for column in (0..run.size).step_by(TILE) {
            let columns = TILE.min(run.size - column);
            let from = from.offset(column as isize * run.from + row as isize);
            let to = to.offset(row as isize * across.to + column as isize);
            if rows == TILE && columns == TILE {
                let mut lines = [_mm512_setzero_ps(); TILE];
                for (i, line) in lines.iter_mut().enumerate() {
                    *line = _mm512_loadu_ps(from.offset(i as isize * run.from));
                }
                for (i, line) in turned_avx512(lines).into_iter().enumerate() {
                    let to = to.offset(i as isize * across.to);
                    if PAST { _mm512_stream_ps(to, line) } else { _mm512_storeu_ps(to, line) }
                }
            } else {
                let (across_mask, run_mask) = (first(rows), first(columns));
                let mut lines = [_mm512_setzero_ps(); TILE];
                for (i, line) in lines.iter_mut().enumerate().take(columns) {
                    let from = from.offset(i as isize * run.from);
                    *line = _mm512_maskz_loadu_ps(across_mask, from);
                }
                for (i, line) in turned_avx512(lines).into_iter().enumerate().take(rows) {
                    _mm512_mask_storeu_ps(to.offset(i as isize * across.to), run_mask, line);
                }
            }
        }
    }
}

/// The predicate whose first `count ≤ 16` lanes are true.
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// Lane j of register i in lane i of register j.
#[inline(always)]
unsafe fn turned_avx512(mut lines: [__m512; TILE]) -> [__m512; TILE] {
    let mut out = lines;
    for i in 0..8 {
        let (even, odd) = (lines[2 * i], lines[2 * i + 1]);
        out[2 * i] = _mm512_unpacklo_ps(even, odd);
        out[2 * i + 1] = _mm512_unpackhi_ps(even, odd);
    }
    for i in (0..TILE).step_by(4) {
        for k in 0..2 {
            let (left, right) = (_mm512_castps_pd(out[i + k]), _mm512_castps_pd(out[i + k + 2]));
            lines[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(left, right));
            lines[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(left, right));
        }
    }
    // Register 4i + k now holds, of rows 4i to 4i + 3, columns k, k + 4, k + 8, k + 12.
    for k in 0..4 {
        let [a, b, c, d] = [lines[k], lines[k + 4], lines[k + 8], lines[k + 12]];
        let (even, odd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
        let (more, rest) = (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
        out[k] = _mm512_shuffle_f32x4::<0x88>(even, more);
        out[k + 4] = _mm512_shuffle_f32x4::<0x88>(odd, rest);
        out[k + 8] = _mm512_shuffle_f32x4::<0xdd>(even, more);
        out[k + 12] = _mm512_shuffle_f32x4::<0xdd>(odd, rest);
    }
    out
}

/// The contract of [`transpose`]; AVX2 is there.
#[target_feature(enable = "avx2")]
unsafe fn plane_avx2(across: Axis, run: Axis, from: *const f32, to: *mut f32) {
    for row in (0..across.size).step_by(TILE) {
        let rows = TILE.min(across.size - row);
        for column in (0..run.size).step_by(TILE) {
            let columns = TILE.min(run.size - column);
            let from = from.offset(column as isize * run.from + row as isize);
            let to = to.offset(row as isize * across.to + column as isize);
            if rows < TILE || columns < TILE {
                let (across, run) = (Axis { size: rows, ..across }, Axis { size: columns, ..run });
                transpose(across, run, from, to);
                continue;
            }
            for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
                let from = from.offset(column * run.from + row);
                turn_avx2(from, run.from, to.offset(row * across.to + column), across.to);
            }
        }
    }
}

/// A tile of 8 × 8.
#[inline(always)]
unsafe fn turn_avx2(from: *const f32, line: isize, to: *mut f32, row: isize) {
    for half in 0..2 {
        // Of lines i and i + 4, four elements each.
        let mut lines = [_mm256_setzero_ps(); 4];
        for (i, joined) in lines.iter_mut().enumerate() {
            let from = from.offset(i as isize * line + 4 * half);
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from));
            *joined = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.offset(4 * line)));
        }
        let [a, b, c, d] = lines;
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (more, rest) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        let to = to.offset(4 * half * row);
        _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(low, more));
        _mm256_storeu_ps(to.offset(row), _mm256_shuffle_ps::<0xee>(low, more));
        _mm256_storeu_ps(to.offset(2 * row), _mm256_shuffle_ps::<0x44>(high, rest));
        _mm256_storeu_ps(to.offset(3 * row), _mm256_shuffle_ps::<0xee>(high, rest));
    }
}
