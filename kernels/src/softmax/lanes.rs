//! Softmax over registers, for any [`Lanes`].
//!
//! Where the dimension is the innermost, a slice is a run of memory. It is
//! passed over four times, while it lies in the cache: the maximum, the
//! exponentials (written to the output), their sum, the final value. Otherwise
//! each lane takes a slice of its own and walks down it in the same way.
//!
//! The exponential is within 1 ULP, the sum is that of the `sum` kernel, and
//! softmax multiplies by the rounded reciprocal of the sum: together within
//! 4 ULP of the function of the rounded differences `x - m`.
//!
//! Reference: `scalar`, element by element: the maximum and the sum, in `f64`, are chains
//! in which each step waits for the last; the exponential is a call, made for the sum and,
//! for softmax, again for the result, which is a division. 7 to 8 ns an element. Limit:
//! the bytes, 8 an element, would take a thirtieth of that, even from memory, so the
//! exponentials have to be computed many at a time and once: here they are kept, in the
//! output or a buffer. A slice then has one reciprocal (or logarithm), and products.
//!
//! 2048 rows of 64, one thread of a two-core AVX-512 server (Zen 5), two runs with the
//! variants in turn: softmax 16 to 18 times as fast as `scalar` with AVX-512, 12 to 13
//! times with AVX2; its logarithm 12 to 13 and 10 times. AVX-512 is 1.4 and 1.3 times as
//! fast as AVX2, not twice: a row is four or eight registers, and what comes once a row is
//! as long with either, the steps from lanes to one maximum and one sum and the
//! reciprocal, each waiting for the last. For the logarithm that is a whole register's
//! logarithm a row, which makes it take 1.3 to 1.5 times as long as softmax. Arrays far
//! larger than the caches are limited by memory; see `past`, with its steps.

// See `Lanes` for the one condition, and `Softmax` for the slices.
#![allow(unsafe_op_in_unsafe_fn)]

use super::EXP_WORK;
use crate::elementwise::formula::UnaryFormula;
use crate::elementwise::lanes::Lanes;
use crate::elementwise::scalar::{Exp, Log};
use crate::parallel::{self, GRAIN, STREAMED, Shared, prefetch, streamed};
use crate::reduce::lanes::{self as fold, Fold};
use crate::reduce::scalar::{Max, Sum};
use std::mem::MaybeUninit;
use std::ops::Range;

/// The longest slice whose exponentials are kept in a buffer: 16 KiB.
const LONGEST: usize = 4096;

/// Softmax or its logarithm, given the sum of the exponentials.
///
/// # Safety
/// As for the methods of [`Lanes`].
pub trait Finish: 'static {
    /// What the last pass needs of the sum.
    unsafe fn prepare<V: Lanes>(sum: V) -> V;
    /// The output, of `x - m`, its exponential and what `prepare` gave.
    unsafe fn value<V: Lanes>(centred: V, exp: V, prepared: V) -> V;
}

/// `e / Σ e`.
pub struct Plain;
impl Finish for Plain {
    #[inline(always)]
    unsafe fn prepare<V: Lanes>(sum: V) -> V {
        V::splat(1.0).div(sum)
    }
    #[inline(always)]
    unsafe fn value<V: Lanes>(_: V, exp: V, prepared: V) -> V {
        exp.mul(prepared)
    }
}

/// `x - m - ln Σ e`.
pub struct Logarithm;
impl Finish for Logarithm {
    #[inline(always)]
    unsafe fn prepare<V: Lanes>(sum: V) -> V {
        Log::lanes(sum)
    }
    #[inline(always)]
    unsafe fn value<V: Lanes>(centred: V, _: V, prepared: V) -> V {
        centred.sub(prepared)
    }
}

/// One slice of `len` neighbours.
#[inline(always)]
unsafe fn row<V: Lanes, F: Finish>(x: *const f32, out: *mut f32, len: usize) {
    let max = V::splat(fold::row::<V, Max>(x, len));
    let rest = len % V::WIDTH;
    let whole = len - rest;
    let zero = V::splat(0.0);
    let mut i = 0;
    while i < whole {
        Exp::lanes(V::load(x.add(i)).sub(max)).store(out.add(i));
        i += V::WIDTH;
    }
    if rest > 0 {
        Exp::lanes(V::load_part(x.add(whole), rest, zero).sub(max))
            .store_part(out.add(whole), rest);
    }
    let prepared = F::prepare(V::splat(fold::row::<V, Sum>(out, len)));
    let mut i = 0;
    while i < whole {
        let centred = V::load(x.add(i)).sub(max);
        F::value(centred, V::load(out.add(i)), prepared).store(out.add(i));
        i += V::WIDTH;
    }
    if rest > 0 {
        let centred = V::load_part(x.add(whole), rest, zero).sub(max);
        let exp = V::load_part(out.add(whole), rest, zero);
        F::value(centred, exp, prepared).store_part(out.add(whole), rest);
    }
}

/// `count` slices of `len` neighbours, whole registers, of an array far larger than
/// the caches: the next slice is asked for, the exponentials stay in a buffer, and the
/// output is written past the caches. 50 million values in rows of 1024 went from
/// 78 to over 85 % of a copy (two-core AVX-512 server, Zen 5).
///
/// A slice is written while the exponentials of the next one are computed: else
/// memory is read during one pass, written during another and idle in the rest. In one
/// run with the loops before, medians of five while memory swung: 66 and 71 % of a copy.
#[inline(always)]
unsafe fn past<V: Lanes, F: Finish>(x: *const f32, out: *mut f32, len: usize, count: usize) {
    let mut buffer = MaybeUninit::<[f32; 2 * LONGEST]>::uninit();
    let buffer: *mut f32 = buffer.as_mut_ptr().cast();
    let mut before = (V::splat(0.0), V::splat(0.0));
    for slice in 0..count {
        let (own, other) = (slice % 2 * len, (slice + 1) % 2 * len);
        let (x, out) = (x.add(slice * len), out.add(slice * len));
        let max = V::splat(fold::row::<V, Max>(x, len));
        let mut i = 0;
        while i < len {
            prefetch(x.wrapping_add(len + i).cast(), V::WIDTH * size_of::<f32>());
            Exp::lanes(V::load(x.add(i)).sub(max)).store(buffer.add(own + i));
            if slice > 0 {
                finish_past::<V, F>(x.sub(len), out.sub(len), buffer.add(other), before, i);
            }
            i += V::WIDTH;
        }
        before = (max, F::prepare(V::splat(fold::row::<V, Sum>(buffer.add(own), len))));
    }
    if let Some(last) = count.checked_sub(1) {
        let (x, out) = (x.add(last * len), out.add(last * len));
        let mut i = 0;
        while i < len {
            finish_past::<V, F>(x, out, buffer.add(last % 2 * len), before, i);
            i += V::WIDTH;
        }
    }
}

/// A register of a slice's output, given its maximum and what `prepare` gave.
#[inline(always)]
unsafe fn finish_past<V: Lanes, F: Finish>(
    x: *const f32,
    out: *mut f32,
    exps: *const f32,
    (max, prepared): (V, V),
    i: usize,
) {
    let centred = V::load(x.add(i)).sub(max);
    F::value(centred, V::load(exps.add(i)), prepared).stream(out.add(i));
}

/// `count` neighbouring slices, one a lane, whose elements are `stride` apart.
#[inline(always)]
unsafe fn columns<V: Lanes, F: Finish>(
    x: *const f32,
    out: *mut f32,
    len: usize,
    stride: usize,
    count: usize,
) {
    let load = |from: *const f32, i: usize| {
        let from = from.add(i * stride);
        if count < V::WIDTH { V::load_part(from, count, V::splat(0.0)) } else { V::load(from) }
    };
    let store = |i: usize, value: V| {
        let to = out.add(i * stride);
        if count < V::WIDTH { value.store_part(to, count) } else { value.store(to) }
    };
    let mut max = Max::start::<V>();
    for i in 0..len {
        max = Max::step(max, load(x, i));
    }
    let mut sum = Sum::empty::<V>();
    for i in 0..len {
        let exp = Exp::lanes(load(x, i).sub(max));
        sum = Sum::absorb(sum, exp);
        store(i, exp);
    }
    let prepared = F::prepare(Sum::finish(sum));
    for i in 0..len {
        store(i, F::value(load(x, i).sub(max), load(out, i), prepared));
    }
}

/// The sizes of a softmax and how it is cut into units of work: a slice where
/// the dimension is innermost, else a register of neighbouring slices.
pub struct Plan {
    outer: usize,
    len: usize,
    inner: usize,
    /// Units for each of the outer positions.
    across: usize,
}

/// Runs some units.
#[inline(always)]
pub unsafe fn run_units<V: Lanes, F: Finish>(
    plan: &Plan,
    units: Range<usize>,
    x: *const f32,
    out: *mut f32,
) {
    let &Plan { outer, len, inner, across } = plan;
    let large = inner == 1
        && len.is_multiple_of(V::WIDTH)
        && len <= LONGEST
        && outer * len * size_of::<f32>() >= STREAMED
        && out.addr().is_multiple_of(V::WIDTH * size_of::<f32>());
    if large {
        past::<V, F>(x.add(units.start * len), out.add(units.start * len), len, units.len());
        return streamed();
    }
    for unit in units {
        if inner == 1 {
            row::<V, F>(x.add(unit * len), out.add(unit * len), len);
        } else {
            let column = unit % across * V::WIDTH;
            let first = unit / across * len * inner + column;
            columns::<V, F>(x.add(first), out.add(first), len, inner, V::WIDTH.min(inner - column));
        }
    }
}

/// The part of a variant that is compiled for its instruction set.
pub type RunUnits = unsafe fn(&Plan, Range<usize>, *const f32, *mut f32);

/// The whole function, split over threads; the contract of
/// [`Softmax`](super::Softmax). `run` is [`run_units`] for the same `V`.
pub unsafe fn softmax<V: Lanes>(
    outer: usize,
    len: usize,
    inner: usize,
    x: &[f32],
    out: &mut [f32],
    run: RunUnits,
) {
    debug_assert_eq!(x.len(), outer * len * inner);
    debug_assert_eq!(out.len(), x.len());
    let (across, lanes) =
        if inner == 1 { (1, 1) } else { (inner.div_ceil(V::WIDTH), V::WIDTH.min(inner)) };
    let plan = Plan { outer, len, inner, across };
    let out = Shared::new(out);
    // Parts of a large array are large, for each waits for its last writes.
    let many = if outer * len * inner >= STREAMED / size_of::<f32>() { 256 } else { usize::MAX };
    let part = (GRAIN / (EXP_WORK * len * lanes).max(1)).max((outer * across).div_ceil(many));
    parallel::for_parts(outer * across, part, |units| {
        // SAFETY: units write disjoint slices, all inside `out`; the rest is
        // the caller's promise.
        unsafe { run(&plan, units, x.as_ptr(), out.get()) };
    });
}
