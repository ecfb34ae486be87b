//! Moves of elements stored in 16 bits, bit for bit: no format is asked for.
//!
//! The loops are those of 32 bits. A transposition of 16 × 16 through a buffer takes as
//! long for 16 bits as for 32 (see `transpose`), so that half the bytes would gain
//! nothing: `avx2` turns 8 × 8 elements in eight registers, three rounds of
//! interleaving neighbours, pairs and fours. On one thread of a two-core AVX-512 server
//! (Zen 5) 512 × 512 take 31 µs, through the buffer 129, as f32 with AVX-512 43; 64 × 8 × 32
//! × 32 to channels last 26, 302 and 124.

use super::{Gathering, Strided, rows, scalar, tiled};
use crate::{Isa, Kernel, Real, Signature, Variant};

/// A copy between a strided and a contiguous tensor of 16 bits.
pub struct StridedCopyHalf;

impl Signature for StridedCopyHalf {
    /// `(layout, x, out)`, as [`super::StridedCopy`]'s.
    type Run<T: Real> = unsafe fn(layout: &Strided<'_>, x: &[u16], out: &mut [u16]);
}

/// Picking elements or rows stored in 16 bits.
pub struct PickHalf;

impl Signature for PickHalf {
    /// `(shape, x, index, outside, out)`.
    type Run<T: Real> =
        unsafe fn(shape: &Gathering, x: &[u16], index: &[i32], outside: u16, out: &mut [u16]);
}

type Copy = <StridedCopyHalf as Signature>::Run<f32>;
type Pick = <PickHalf as Signature>::Run<f32>;

/// As [`super::READ_STRIDED`].
pub static READ_STRIDED_HALF: Kernel<StridedCopyHalf> =
    Kernel { name: "read_strided_half", f32: READ, f64: READ };

const READ: &[Variant<Copy>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant { name: "avx2", isa: Isa::Avx2, run: x86::read },
    Variant { name: "tiled", isa: Isa::Portable, run: tiled::read::<u16> },
    Variant { name: "scalar", isa: Isa::Portable, run: scalar::read::<u16> },
];

/// As [`super::WRITE_STRIDED`].
pub static WRITE_STRIDED_HALF: Kernel<StridedCopyHalf> =
    Kernel { name: "write_strided_half", f32: WRITE, f64: WRITE };

const WRITE: &[Variant<Copy>] = &[
    #[cfg(target_arch = "x86_64")]
    Variant { name: "avx2", isa: Isa::Avx2, run: x86::write },
    Variant { name: "tiled", isa: Isa::Portable, run: tiled::write::<u16> },
    Variant { name: "scalar", isa: Isa::Portable, run: scalar::write::<u16> },
];

/// As [`super::GATHER`]; an index outside gives `outside`.
pub static GATHER_HALF: Kernel<PickHalf> = Kernel { name: "gather_half", f32: GATHER, f64: GATHER };

const GATHER: &[Variant<Pick>] = &[
    Variant { name: "tiled", isa: Isa::Portable, run: tiled::gather_or::<u16> },
    Variant { name: "scalar", isa: Isa::Portable, run: scalar::gather_or::<u16> },
];

/// As [`super::INDEX_SELECT`].
pub static INDEX_SELECT_HALF: Kernel<PickHalf> =
    Kernel { name: "index_select_half", f32: SELECT, f64: SELECT };

const SELECT: &[Variant<Pick>] = &[
    Variant { name: "rows", isa: Isa::Portable, run: rows::index_select::<u16> },
    Variant { name: "scalar", isa: Isa::Portable, run: scalar::index_select::<u16> },
];

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::tiled::{Axis, read_by, transpose, write_by};
    use super::Strided;
    use std::arch::x86_64::*;
    use std::array::from_fn;

    /// Edge of a tile: a register of 128 bits.
    const EDGE: usize = 8;

    /// The contract of [`super::READ_STRIDED_HALF`].
    pub(super) unsafe fn read(layout: &Strided<'_>, x: &[u16], out: &mut [u16]) {
        read_by(layout, x, out, plane);
    }

    /// The contract of [`super::WRITE_STRIDED_HALF`].
    pub(super) unsafe fn write(layout: &Strided<'_>, x: &[u16], out: &mut [u16]) {
        write_by(layout, x, out, plane);
    }

    /// The contract of [`transpose`]; AVX2 is there.
    #[target_feature(enable = "avx2")]
    unsafe fn plane(across: Axis, run: Axis, from: *const u16, to: *mut u16) {
        let (rows, columns) = (across.size / EDGE * EDGE, run.size / EDGE * EDGE);
        for row in (0..rows).step_by(EDGE) {
            for column in (0..columns).step_by(EDGE) {
                // SAFETY: the tile lies in the plane, which the caller vouches for.
                unsafe {
                    let from = from.offset(column as isize * run.from + row as isize);
                    let to = to.offset(row as isize * across.to + column as isize);
                    turn(from, run.from, to, across.to);
                }
            }
        }
        // What fills no tile: below, then beside.
        let (below, beside) = (across.size - rows, run.size - columns);
        // SAFETY: both parts lie in the plane.
        unsafe {
            if below > 0 {
                let across = Axis { size: below, ..across };
                transpose(across, run, from.add(rows), to.offset(rows as isize * across.to));
            }
            if beside > 0 && rows > 0 {
                let (across, rest) = (Axis { size: rows, ..across }, Axis { size: beside, ..run });
                transpose(across, rest, from.offset(columns as isize * run.from), to.add(columns));
            }
        }
    }

    /// Element j of line i to element i of row j.
    ///
    /// # Safety
    /// Eight elements are readable at each of eight lines, and writable at each of
    /// eight rows; AVX2 is there.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn turn(from: *const u16, line: isize, to: *mut u16, row: isize) {
        // SAFETY: the caller's promise.
        let x: [__m128i; EDGE] =
            from_fn(|i| unsafe { _mm_loadu_si128(from.offset(i as isize * line).cast()) });
        // Of lines 2i and 2i + 1, columns 0 to 3 and 4 to 7, …
        let twos: [[__m128i; 2]; 4] = from_fn(|i| {
            let (a, b) = (x[2 * i], x[2 * i + 1]);
            [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)]
        });
        for half in 0..2 {
            // … of four lines, columns 4 · half and the three after it, two in each, …
            let fours: [[__m128i; 2]; 2] = from_fn(|i| {
                let (a, b) = (twos[2 * i][half], twos[2 * i + 1][half]);
                [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)]
            });
            for pair in 0..2 {
                // … and of all eight.
                let (a, b) = (fours[0][pair], fours[1][pair]);
                let at = (4 * half + 2 * pair) as isize;
                // SAFETY: the caller's promise.
                unsafe {
                    _mm_storeu_si128(to.offset(at * row).cast(), _mm_unpacklo_epi64(a, b));
                    _mm_storeu_si128(to.offset((at + 1) * row).cast(), _mm_unpackhi_epi64(a, b));
                }
            }
        }
    }
}
