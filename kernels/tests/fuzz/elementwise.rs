//! Functions of each element, conversions and random numbers.

use crate::cases;
use crate::compare::{agree, same};
use crate::memory::{Memory, SHIFTS};
use proptest::prelude::*;
use speck_kernels::Kernel;
use speck_kernels::elementwise::{self, Binary, Unary};
use speck_kernels::random::{self, Stream};
use speck_kernels::storage::Storage;

/// Those of which all variants give the same bits.
const EXACT_UNARY: &[&Kernel<Unary>] = &[
    &elementwise::NEG,
    &elementwise::ABS,
    &elementwise::SIGN,
    &elementwise::FLOOR,
    &elementwise::ROUND,
    &elementwise::SQRT,
    &elementwise::RSQRT,
    &elementwise::RECIPROCAL,
    &elementwise::SQUARE,
    &elementwise::RELU,
];

const UNARY: &[&Kernel<Unary>] = &[
    &elementwise::EXP,
    &elementwise::EXPM1,
    &elementwise::LOG,
    &elementwise::LOG1P,
    &elementwise::SIN,
    &elementwise::COS,
    &elementwise::TANH,
    &elementwise::SIGMOID,
    &elementwise::SOFTPLUS,
    &elementwise::ERF,
    &elementwise::GELU,
];

const EXACT_BINARY: &[&Kernel<Binary>] = &[
    &elementwise::ADD,
    &elementwise::SUB,
    &elementwise::MUL,
    &elementwise::DIV,
    &elementwise::MAXIMUM,
    &elementwise::MINIMUM,
    &elementwise::GREATER,
    &elementwise::GREATER_EQUAL,
    &elementwise::EQUAL,
];

const BINARY: &[&Kernel<Binary>] =
    &[&elementwise::POW, &elementwise::ATAN2, &elementwise::GELU_GRADIENT];

const STORAGES: [Storage; 2] = [Storage::F16, Storage::Bf16];

/// As many as there are, or one that stands for all.
fn read(n: usize, step: usize) -> usize {
    if step == 0 { 1 } else { n }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn one_operand(
        which in 0..EXACT_UNARY.len() + UNARY.len(), n in 0usize..300, shifts in [SHIFTS; 2],
        seed: u64,
    ) {
        let x = Memory::special(n, shifts[0], seed);
        let run = |run: unsafe fn(*const f32, *mut f32, usize), out: &mut [f32]| {
            // SAFETY: both slices have `n` elements and do not overlap; the
            // variant is supported.
            unsafe { run(x.slice().as_ptr(), out.as_mut_ptr(), n) }
        };
        match EXACT_UNARY.get(which) {
            Some(kernel) => same(kernel, n, shifts[1], run)?,
            None => agree(UNARY[which - EXACT_UNARY.len()], n, shifts[1], 1.0, run)?,
        }
    }

    #[test]
    fn two_operands(
        which in 0..EXACT_BINARY.len() + BINARY.len(), n in 1usize..300,
        steps in [0usize..2, 0..2], shifts in [SHIFTS; 3], seed: u64,
    ) {
        let a = Memory::special(read(n, steps[0]), shifts[0], seed);
        // An infinite cotangent of a slope that is too small for f32 is not held to
        // anything.
        let is_slope = which == EXACT_BINARY.len() + BINARY.len() - 1;
        let made = if is_slope { Memory::random } else { Memory::special };
        let b = made(read(n, steps[1]), shifts[1], !seed);
        let [a, b] = [&a, &b].map(|operand| operand.slice().as_ptr());
        match EXACT_BINARY.get(which) {
            Some(kernel) => same(kernel, n, shifts[2], |run, out: &mut [f32]| {
                // SAFETY: all slices have `n` elements, or one where the step is 0,
                // and do not overlap; the variant is supported.
                unsafe { run(a, steps[0], b, steps[1], out.as_mut_ptr(), n) }
            })?,
            None => agree(BINARY[which - EXACT_BINARY.len()], n, shifts[2], 1.0, |run, out| {
                // SAFETY: as above.
                unsafe { run(a, steps[0], b, steps[1], out.as_mut_ptr(), n) }
            })?,
        }
    }

    #[test]
    fn selections(
        n in 1usize..300, steps in [0usize..2, 0..2, 0..2], shifts in [SHIFTS; 4], seed: u64,
    ) {
        let operands = [0, 1, 2].map(|i| {
            Memory::special(read(n, steps[i]), shifts[i], seed.rotate_left(i as u32))
        });
        let [condition, a, b] = [0, 1, 2].map(|i| operands[i].slice().as_ptr());
        let [condition_step, a_step, b_step] = steps;
        same(&elementwise::SELECT, n, shifts[3], |run, out: &mut [f32]| {
            // SAFETY: as above.
            unsafe { run(condition, condition_step, a, a_step, b, b_step, out.as_mut_ptr(), n) }
        })?;
    }

    /// To 16 bits and back.
    #[test]
    fn conversions_of_16_bits(
        half: bool, n in 0usize..300, shifts in [SHIFTS; 2], seed: u64,
    ) {
        let storage = STORAGES[usize::from(half)];
        let x = Memory::special(n, shifts[0], seed);
        same(storage.round(), n, shifts[1], |run, out: &mut [u16]| {
            // SAFETY: both slices have `n` elements and do not overlap; the variant is
            // supported.
            unsafe { run(x.slice().as_ptr(), out.as_mut_ptr(), n) }
        })?;
        let stored = Memory::input(n, shifts[1], |i| storage.store(x.slice()[i]));
        same(storage.widen(), n, shifts[0], |run, out: &mut [f32]| {
            // SAFETY: as above.
            unsafe { run(stored.slice().as_ptr(), out.as_mut_ptr(), n) }
        })?;
    }

    #[test]
    fn random_numbers(
        n in 0usize..3000, shift in SHIFTS, seed: u64, stream: u64, step: u64,
    ) {
        let stream = Stream { seed, stream, step };
        same(&random::UNIFORM, n, shift, |run, out: &mut [f32]| {
            // SAFETY: the variant is supported.
            unsafe { run(&stream, out) }
        })?;
        agree(&random::NORMAL, n, shift, 1.0, |run, out| {
            // SAFETY: as above.
            unsafe { run(&stream, out) }
        })?;
    }
}
