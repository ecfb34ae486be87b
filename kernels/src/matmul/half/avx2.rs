//! AVX2: both operands turned into f32, and multiplied as such. AVX-512 widens where it
//! packs; here there are no loads of 16 bits under a mask.
//!
//! Reference: `scalar`, three loops, each value widened where it is met. 512 × 512 × 512
//! in bf16, one thread of a two-core AVX-512 server (Zen 5), two runs with the variants in
//! turn: 60 times as fast as `scalar`, half as fast as `avx512`, as of f32; the widening
//! is lost in the product's work. It is not where an operand is used once: it is read,
//! written, twice as long, and read again. What that costs stands in the table of the
//! AVX-512 file, which did the same once (its column `widened first`: 1 × 4096 × 4096 at
//! 5 GFLOP/s in place of 14).

use super::super::Avx2;
use super::super::packed;
use super::{MatmulShape, Routine, Storage, Taker};
use crate::parallel::{GRAIN, Shared, for_parts};
use crate::storage::Widen;
use crate::variant::Signature;
use std::ops::Range;

/// The routine.
pub(super) const WIDENED: Routine<f32> = Routine { run, scratch, report: Some(report) };

/// Values of all operands, from the first to the last one.
fn extents(shape: &MatmulShape) -> [usize; 2] {
    let last = shape.batch.saturating_sub(1);
    [last * shape.a_stride + shape.m * shape.k, last * shape.b_stride + shape.k * shape.n]
}

fn scratch(shape: &MatmulShape) -> usize {
    extents(shape).iter().sum::<usize>() + packed::scratch::<Avx2>(shape)
}

/// # Safety
/// The processor has the instruction set of [`Avx2`].
unsafe fn run(
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
        report(shape, storage, a, b, out.as_mut_ptr(), scratch, &|_: Range<usize>, _: *mut u8| {})
    }
}

/// # Safety
/// As [`run`], and as [`super::super::Routine::report`] says.
unsafe fn report(
    shape: &MatmulShape,
    storage: Storage,
    a: &[u16],
    b: &[u16],
    out: *mut f32,
    scratch: &mut [f32],
    taker: &dyn Taker,
) {
    shape.check_operands(a, b);
    let [a_length, b_length] = extents(shape);
    let (a, b) = match shape.elements() {
        0 => (&[][..], &[][..]),
        _ => (&a[..a_length], &b[..b_length]),
    };
    let (wide_a, scratch) = scratch.split_at_mut(a.len());
    let (wide_b, scratch) = scratch.split_at_mut(b.len());
    let widen: <Widen as Signature>::Run<f32> = storage.widen_as("avx2");
    for (from, to) in [(a, &mut *wide_a), (b, &mut *wide_b)] {
        let to = Shared::new(to);
        for_parts(from.len(), GRAIN, |range| {
            let from = &from[range.clone()];
            // SAFETY: the ranges lie in the array and do not overlap; the rest is
            // the caller's promise.
            unsafe { widen(from.as_ptr(), to.part(range).as_mut_ptr(), from.len()) };
        });
    }
    // SAFETY: the caller's promise.
    unsafe { packed::report::<Avx2>(shape, wide_a, wide_b, out, scratch, taker) }
}
