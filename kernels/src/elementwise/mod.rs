//! Functions of one, two or three values, element by element.
//!
//! `scalar.rs` says what each function is. `formula/mod.rs` writes the same in
//! terms of a register of lanes, `lanes.rs`, which `avx2.rs` and `avx512.rs`
//! implement. Arithmetic, comparisons and rounding give the same bits in every
//! variant; the accuracy of the transcendental functions is stated in
//! `formula/mod.rs` and tested.
//!
//! These kernels run on the calling thread; whoever calls them splits the work.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub mod chain;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) mod formula;
pub mod gpu;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) mod lanes;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use formula::{BinaryFormula, UnaryFormula};
use scalar::{BinaryRule, UnaryRule};
use std::marker::PhantomData;

/// `(x, out, n)`: `out[i] = f(x[i])` for `i < n`.
///
/// # Safety
/// Both pointers are valid for `n` elements. `out` may equal `x`, otherwise the
/// two do not overlap. The variant's instruction set is available.
pub struct Unary;

impl Signature for Unary {
    type Run<T: Real> = unsafe fn(*const T, *mut T, usize);
}

/// `(a, a_step, b, b_step, out, n)`: `out[i] = f(a[i·a_step], b[i·b_step])` for
/// `i < n`. A step is 1, or 0 where one value stands for all.
///
/// # Safety
/// Each pointer is valid for `n` elements, an input with step 0 for one. `out`
/// may equal an input's pointer, otherwise it does not overlap it. The
/// variant's instruction set is available.
pub struct Binary;

impl Signature for Binary {
    type Run<T: Real> = unsafe fn(*const T, usize, *const T, usize, *mut T, usize);
}

/// `(condition, condition_step, a, a_step, b, b_step, out, n)`: `out[i]` is
/// `a`'s element where the condition is not 0 (NaN counts as true), else `b`'s.
///
/// # Safety
/// As for [`Binary`].
pub struct Select;

impl Signature for Select {
    type Run<T: Real> = unsafe fn(*const T, usize, *const T, usize, *const T, usize, *mut T, usize);
}

type UnaryRun<T> = <Unary as Signature>::Run<T>;
type BinaryRun<T> = <Binary as Signature>::Run<T>;

/// The variants of the rule `R`.
struct Table<R>(PhantomData<R>);

impl<R: UnaryRule> Table<R> {
    const UNARY_F64: &'static [Variant<UnaryRun<f64>>] =
        &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::unary::<R, f64> }];
}

impl<R: UnaryFormula> Table<R> {
    const UNARY_F32: &'static [Variant<UnaryRun<f32>>] = &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::unary::<R> },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::unary::<R> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::unary::<R, f32> },
    ];
}

impl<R: BinaryRule> Table<R> {
    const BINARY_F64: &'static [Variant<BinaryRun<f64>>] =
        &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::binary::<R, f64> }];
}

impl<R: BinaryFormula> Table<R> {
    const BINARY_F32: &'static [Variant<BinaryRun<f32>>] = &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::binary::<R> },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::binary::<R> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::binary::<R, f32> },
    ];
}

const fn unary<R: UnaryFormula>() -> Kernel<Unary> {
    Kernel { name: R::NAME, f32: Table::<R>::UNARY_F32, f64: Table::<R>::UNARY_F64 }
}

const fn binary<R: BinaryFormula>() -> Kernel<Binary> {
    Kernel { name: R::NAME, f32: Table::<R>::BINARY_F32, f64: Table::<R>::BINARY_F64 }
}

/// `-x`.
pub static NEG: Kernel<Unary> = unary::<scalar::Neg>();
/// `|x|`.
pub static ABS: Kernel<Unary> = unary::<scalar::Abs>();
/// 1 above zero, -1 below; ±0 and NaN stay what they are.
pub static SIGN: Kernel<Unary> = unary::<scalar::Sign>();
/// The largest integer not above `x`.
pub static FLOOR: Kernel<Unary> = unary::<scalar::Floor>();
/// The integer nearest to `x`; halfway between two, the even one.
pub static ROUND: Kernel<Unary> = unary::<scalar::Round>();
/// `√x`; NaN below zero.
pub static SQRT: Kernel<Unary> = unary::<scalar::Sqrt>();
/// `1/√x`; ∞ at zero.
pub static RSQRT: Kernel<Unary> = unary::<scalar::Rsqrt>();
/// `1/x`.
pub static RECIPROCAL: Kernel<Unary> = unary::<scalar::Reciprocal>();
/// `x²`.
pub static SQUARE: Kernel<Unary> = unary::<scalar::Square>();
/// `e^x`.
pub static EXP: Kernel<Unary> = unary::<scalar::Exp>();
/// `e^x - 1`.
pub static EXPM1: Kernel<Unary> = unary::<scalar::Expm1>();
/// `ln x`; -∞ at zero, NaN below.
pub static LOG: Kernel<Unary> = unary::<scalar::Log>();
/// `ln(1 + x)`; -∞ at -1, NaN below.
pub static LOG1P: Kernel<Unary> = unary::<scalar::Log1p>();
/// `sin x`, in radians.
pub static SIN: Kernel<Unary> = unary::<scalar::Sin>();
/// `cos x`, in radians.
pub static COS: Kernel<Unary> = unary::<scalar::Cos>();
/// `tanh x`.
pub static TANH: Kernel<Unary> = unary::<scalar::Tanh>();
/// `1/(1 + e^-x)`.
pub static SIGMOID: Kernel<Unary> = unary::<scalar::Sigmoid>();
/// `max(x, 0)`; NaN stays NaN.
pub static RELU: Kernel<Unary> = unary::<scalar::Relu>();
/// `ln(1 + e^x)`.
pub static SOFTPLUS: Kernel<Unary> = unary::<scalar::Softplus>();
/// The error function.
pub static ERF: Kernel<Unary> = unary::<scalar::Erf>();
/// `x Φ(x)`, Φ the normal distribution function.
pub static GELU: Kernel<Unary> = unary::<scalar::Gelu>();

/// `a + b`.
pub static ADD: Kernel<Binary> = binary::<scalar::Add>();
/// `a - b`.
pub static SUB: Kernel<Binary> = binary::<scalar::Sub>();
/// `a · b`.
pub static MUL: Kernel<Binary> = binary::<scalar::Mul>();
/// `a / b`.
pub static DIV: Kernel<Binary> = binary::<scalar::Div>();
/// `a^b`, with C's rules: anything to the 0 is 1.
pub static POW: Kernel<Binary> = binary::<scalar::Pow>();
/// The angle of the point whose height is `a` and whose width is `b`.
pub static ATAN2: Kernel<Binary> = binary::<scalar::Atan2>();
/// `(Φ(a) + a φ(a)) b`: the slope of [`GELU`] at `a` times `b`.
pub static GELU_GRADIENT: Kernel<Binary> = binary::<scalar::GeluGradient>();
/// The larger; NaN if either is NaN.
pub static MAXIMUM: Kernel<Binary> = binary::<scalar::Maximum>();
/// The smaller; NaN if either is NaN.
pub static MINIMUM: Kernel<Binary> = binary::<scalar::Minimum>();
/// 1 where `a > b`, else 0.
pub static GREATER: Kernel<Binary> = binary::<scalar::Greater>();
/// 1 where `a ≥ b`, else 0.
pub static GREATER_EQUAL: Kernel<Binary> = binary::<scalar::GreaterEqual>();
/// 1 where `a = b`, else 0.
pub static EQUAL: Kernel<Binary> = binary::<scalar::Equal>();

/// `condition != 0 ? a : b`; a NaN condition is true.
pub static SELECT: Kernel<Select> = Kernel {
    name: "select",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::select },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::select },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::select::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::select::<f64> }],
};

static UNARY: [&Kernel<Unary>; 21] = [
    &NEG,
    &ABS,
    &SIGN,
    &FLOOR,
    &ROUND,
    &SQRT,
    &RSQRT,
    &RECIPROCAL,
    &SQUARE,
    &EXP,
    &EXPM1,
    &LOG,
    &LOG1P,
    &SIN,
    &COS,
    &TANH,
    &SIGMOID,
    &RELU,
    &SOFTPLUS,
    &ERF,
    &GELU,
];

static BINARY: [&Kernel<Binary>; 12] = [
    &ADD,
    &SUB,
    &MUL,
    &DIV,
    &POW,
    &ATAN2,
    &GELU_GRADIENT,
    &MAXIMUM,
    &MINIMUM,
    &GREATER,
    &GREATER_EQUAL,
    &EQUAL,
];

/// The kernels of this family with their variants.
pub fn kernels() -> Vec<KernelStatus> {
    let unary = UNARY.iter().map(|kernel| kernel.status());
    let binary = BINARY.iter().map(|kernel| kernel.status());
    unary.chain(binary).chain([SELECT.status()]).collect()
}
