//! Convolution, and its two gradients, of operands stored in 16 bits, with sums in
//! 32: see [`crate::matmul::half`] for what is lost where.
//!
//! | variant | |
//! |---|---|
//! | `avx512_bf16` | the register tiles of `correlate` and `reduce` on pairs of bf16; f16 as below |
//! | `avx512`, `avx2` | both operands widened, then the direct variant of that name |
//! | `scalar` | both operands widened, then the specification |

#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(test)]
mod tests;

use super::{ConvShape, scalar};
use crate::isa::Isa;
use crate::parallel::{GRAIN, Shared, for_parts};
use crate::real::Real;
use crate::storage::{Storage, Widen};
use crate::variant::{Kernel, Signature, Variant};

/// `run(shape, storage, first, second, result, scratch)`.
pub type Run<T> = unsafe fn(&ConvShape, Storage, &[u16], &[u16], &mut [T], &mut [T]);

/// One way to convolve.
#[derive(Clone, Copy)]
pub struct Routine<T> {
    /// As [`super::Routine::run`], of operands stored in 16 bits.
    ///
    /// # Safety
    /// The processor has what the variant's [`Isa`] names.
    pub run: Run<T>,
    /// How many elements of scratch `run` needs.
    pub scratch: fn(&ConvShape) -> usize,
}

/// The signature of the three kernels.
pub struct ConvolutionHalf;

impl Signature for ConvolutionHalf {
    type Run<T: Real> = Routine<T>;
}

const FORWARD: usize = 0;
const INPUT_GRADIENT: usize = 1;
const WEIGHT_GRADIENT: usize = 2;

/// [`super::CONV2D`] of what is stored in 16 bits.
pub static CONV2D_HALF: Kernel<ConvolutionHalf> =
    Kernel { name: "conv2d_half", f32: Table::<FORWARD>::F32, f64: Table::<FORWARD>::F64 };

/// [`super::CONV2D_INPUT_GRADIENT`] of what is stored in 16 bits.
pub static CONV2D_INPUT_GRADIENT_HALF: Kernel<ConvolutionHalf> = Kernel {
    name: "conv2d_input_gradient_half",
    f32: Table::<INPUT_GRADIENT>::F32,
    f64: Table::<INPUT_GRADIENT>::F64,
};

/// [`super::CONV2D_WEIGHT_GRADIENT`] of what is stored in 16 bits.
pub static CONV2D_WEIGHT_GRADIENT_HALF: Kernel<ConvolutionHalf> = Kernel {
    name: "conv2d_weight_gradient_half",
    f32: Table::<WEIGHT_GRADIENT>::F32,
    f64: Table::<WEIGHT_GRADIENT>::F64,
};

/// The variants of one of the three.
struct Table<const PASS: usize>;

impl<const PASS: usize> Table<PASS> {
    const F32: &'static [Variant<Routine<f32>>] = &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512_bf16", isa: Isa::Avx512Bf16, run: pairs::routine::<PASS>() },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: widened::<Avx512, f32, PASS>() },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2F16c, run: widened::<Avx2, f32, PASS>() },
        Variant { name: "scalar", isa: Isa::Portable, run: widened::<Scalar, f32, PASS>() },
    ];
    const F64: &'static [Variant<Routine<f64>>] =
        &[Variant { name: "scalar", isa: Isa::Portable, run: widened::<Scalar, f64, PASS>() }];
}

/// What convolves the widened operands.
trait Inner<T: Real> {
    /// The three routines.
    const ROUTINES: [super::Routine<T>; 3];
    /// What widens.
    fn widen(storage: Storage) -> <Widen as Signature>::Run<T>;
}

struct Scalar;

impl<T: Real> Inner<T> for Scalar {
    const ROUTINES: [super::Routine<T>; 3] =
        [scalar::forward(), scalar::input_gradient(), scalar::weight_gradient()];
    fn widen(storage: Storage) -> <Widen as Signature>::Run<T> {
        storage.widen_as("scalar")
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Inner<f32> for Avx2 {
    const ROUTINES: [super::Routine<f32>; 3] =
        [super::avx2::FORWARD, super::avx2::INPUT_GRADIENT, super::avx2::WEIGHT_GRADIENT];
    fn widen(storage: Storage) -> <Widen as Signature>::Run<f32> {
        storage.widen_as("avx2")
    }
}

#[cfg(target_arch = "x86_64")]
struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Inner<f32> for Avx512 {
    const ROUTINES: [super::Routine<f32>; 3] =
        [super::avx512::FORWARD, super::avx512::INPUT_GRADIENT, super::avx512::WEIGHT_GRADIENT];
    fn widen(storage: Storage) -> <Widen as Signature>::Run<f32> {
        storage.widen_as("avx512")
    }
}

/// Elements of the two operands.
fn operands(shape: &ConvShape, pass: usize) -> [usize; 2] {
    let input = shape.batch * shape.in_channels * shape.input_pixels();
    let output = shape.batch * shape.out_channels * shape.output_pixels();
    match pass {
        FORWARD => [input, shape.weight_size()],
        INPUT_GRADIENT => [output, shape.weight_size()],
        _ => [input, output],
    }
}

/// Floats of a cache line: copies begin at one as far as the scratch does.
const LINE: usize = 16;

const fn widened<I: Inner<T>, T: Real, const PASS: usize>() -> Routine<T> {
    Routine { run: run_widened::<I, T, PASS>, scratch: scratch_widened::<I, T, PASS> }
}

fn scratch_widened<I: Inner<T>, T: Real, const PASS: usize>(shape: &ConvShape) -> usize {
    let copies = operands(shape, PASS).map(|length| length.next_multiple_of(LINE));
    copies[0] + copies[1] + (I::ROUTINES[PASS].scratch)(shape)
}

/// # Safety
/// The processor has the instruction set of `I`.
unsafe fn run_widened<I: Inner<T>, T: Real, const PASS: usize>(
    shape: &ConvShape,
    storage: Storage,
    first: &[u16],
    second: &[u16],
    result: &mut [T],
    scratch: &mut [T],
) {
    assert_eq!([first.len(), second.len()], operands(shape, PASS), "lengths of the operands");
    let (wide_first, scratch) = scratch.split_at_mut(first.len().next_multiple_of(LINE));
    let (wide_second, scratch) = scratch.split_at_mut(second.len().next_multiple_of(LINE));
    let (wide_first, wide_second) =
        (&mut wide_first[..first.len()], &mut wide_second[..second.len()]);
    let widen = I::widen(storage);
    for (from, to) in [(first, &mut *wide_first), (second, &mut *wide_second)] {
        let to = Shared::new(to);
        for_parts(from.len(), GRAIN, |range| {
            let from = &from[range.clone()];
            // SAFETY: the ranges lie in the array and do not overlap; the rest is
            // the caller's promise.
            unsafe { widen(from.as_ptr(), to.part(range).as_mut_ptr(), from.len()) };
        });
    }
    // SAFETY: the caller's promise.
    unsafe { (I::ROUTINES[PASS].run)(shape, wide_first, wide_second, result, scratch) }
}
