//! The specification: what each function is, one value at a time, for `f32`
//! and `f64`, and the plain loops over it.
//!
//! The rules for special values stand here and hold for every variant.

use crate::Real;

/// A function of one value.
pub trait UnaryRule: 'static {
    /// The kernel's name.
    const NAME: &'static str;
    /// The function.
    fn value<T: Real>(x: T) -> T;
}

/// A function of two values.
pub trait BinaryRule: 'static {
    /// The kernel's name.
    const NAME: &'static str;
    /// The function.
    fn value<T: Real>(a: T, b: T) -> T;
}

/// Applies a rule to `n` values.
///
/// # Safety
/// As [`Unary`](super::Unary) says.
pub unsafe fn unary<R: UnaryRule, T: Real>(x: *const T, out: *mut T, n: usize) {
    for i in 0..n {
        // SAFETY: the caller's pointers are valid for `n` elements; where they
        // are the same, element i is read before it is written.
        unsafe { *out.add(i) = R::value(*x.add(i)) };
    }
}

/// Applies a rule to `n` pairs; an operand with step 0 is one value for all.
///
/// # Safety
/// As [`Binary`](super::Binary) says.
pub unsafe fn binary<R: BinaryRule, T: Real>(
    a: *const T,
    a_step: usize,
    b: *const T,
    b_step: usize,
    out: *mut T,
    n: usize,
) {
    // SAFETY: the operands are as the caller promised them.
    let (a, b) = unsafe { (Operand::new(a, a_step), Operand::new(b, b_step)) };
    for i in 0..n {
        // SAFETY: i < n; element i is read before it is written.
        unsafe { *out.add(i) = R::value(a.at(i), b.at(i)) };
    }
}

/// `condition != 0 ? a : b` over `n` elements; a NaN condition is true.
///
/// # Safety
/// As [`Select`](super::Select) says.
pub unsafe fn select<T: Real>(
    condition: *const T,
    condition_step: usize,
    a: *const T,
    a_step: usize,
    b: *const T,
    b_step: usize,
    out: *mut T,
    n: usize,
) {
    // SAFETY: the operands are as the caller promised them.
    let (condition, a, b) = unsafe {
        (Operand::new(condition, condition_step), Operand::new(a, a_step), Operand::new(b, b_step))
    };
    for i in 0..n {
        // SAFETY: i < n; element i is read before it is written.
        unsafe { *out.add(i) = if condition.at(i) != T::zero() { a.at(i) } else { b.at(i) } };
    }
}

/// An input of a binary or ternary kernel.
struct Operand<T> {
    pointer: *const T,
    step: usize,
    /// The first element, read before anything is written: in place, the first
    /// write would replace the one value that stands for all.
    first: T,
}

impl<T: Real> Operand<T> {
    /// # Safety
    /// `pointer` is valid for one element, or `step` is 1 and nothing is read.
    unsafe fn new(pointer: *const T, step: usize) -> Self {
        // SAFETY: with step 0 one element is valid, by the kernel's contract.
        let first = if step == 0 { unsafe { *pointer } } else { T::zero() };
        Operand { pointer, step, first }
    }

    /// # Safety
    /// With step 1, `pointer` is valid for more than `i` elements.
    unsafe fn at(&self, i: usize) -> T {
        // SAFETY: the caller's promise.
        if self.step == 0 { self.first } else { unsafe { *self.pointer.add(i) } }
    }
}

/// `-x`; the sign of zero and NaN flips too.
pub struct Neg;
impl UnaryRule for Neg {
    const NAME: &'static str = "neg";
    fn value<T: Real>(x: T) -> T {
        -x
    }
}

/// `|x|`.
pub struct Abs;
impl UnaryRule for Abs {
    const NAME: &'static str = "abs";
    fn value<T: Real>(x: T) -> T {
        x.abs()
    }
}

/// 1, -1, or `x` itself where it is ±0 or NaN.
pub struct Sign;
impl UnaryRule for Sign {
    const NAME: &'static str = "sign";
    fn value<T: Real>(x: T) -> T {
        if x > T::zero() {
            T::one()
        } else if x < T::zero() {
            -T::one()
        } else {
            x
        }
    }
}

/// The largest integer not above `x`.
pub struct Floor;
impl UnaryRule for Floor {
    const NAME: &'static str = "floor";
    fn value<T: Real>(x: T) -> T {
        x.floor()
    }
}

/// The integer nearest to `x`; halfway between two, the even one.
pub struct Round;
impl UnaryRule for Round {
    const NAME: &'static str = "round";
    fn value<T: Real>(x: T) -> T {
        x.round_even()
    }
}

/// `√x`, NaN below zero.
pub struct Sqrt;
impl UnaryRule for Sqrt {
    const NAME: &'static str = "sqrt";
    fn value<T: Real>(x: T) -> T {
        x.sqrt()
    }
}

/// `1/√x`, each step rounded; ∞ at zero.
pub struct Rsqrt;
impl UnaryRule for Rsqrt {
    const NAME: &'static str = "rsqrt";
    fn value<T: Real>(x: T) -> T {
        T::one() / x.sqrt()
    }
}

/// `1/x`.
pub struct Reciprocal;
impl UnaryRule for Reciprocal {
    const NAME: &'static str = "reciprocal";
    fn value<T: Real>(x: T) -> T {
        T::one() / x
    }
}

/// `x²`.
pub struct Square;
impl UnaryRule for Square {
    const NAME: &'static str = "square";
    fn value<T: Real>(x: T) -> T {
        x * x
    }
}

/// `e^x`.
pub struct Exp;
impl UnaryRule for Exp {
    const NAME: &'static str = "exp";
    fn value<T: Real>(x: T) -> T {
        x.exp()
    }
}

/// `e^x - 1`, precise around zero.
pub struct Expm1;
impl UnaryRule for Expm1 {
    const NAME: &'static str = "expm1";
    fn value<T: Real>(x: T) -> T {
        x.exp_m1()
    }
}

/// `ln x`: -∞ at zero, NaN below.
pub struct Log;
impl UnaryRule for Log {
    const NAME: &'static str = "log";
    fn value<T: Real>(x: T) -> T {
        x.ln()
    }
}

/// `ln(1 + x)`, precise around zero: -∞ at -1, NaN below.
pub struct Log1p;
impl UnaryRule for Log1p {
    const NAME: &'static str = "log1p";
    fn value<T: Real>(x: T) -> T {
        x.ln_1p()
    }
}

/// `sin x`, x in radians; NaN at ±∞.
pub struct Sin;
impl UnaryRule for Sin {
    const NAME: &'static str = "sin";
    fn value<T: Real>(x: T) -> T {
        x.sin()
    }
}

/// `cos x`, x in radians; NaN at ±∞.
pub struct Cos;
impl UnaryRule for Cos {
    const NAME: &'static str = "cos";
    fn value<T: Real>(x: T) -> T {
        x.cos()
    }
}

/// `tanh x`.
pub struct Tanh;
impl UnaryRule for Tanh {
    const NAME: &'static str = "tanh";
    fn value<T: Real>(x: T) -> T {
        x.tanh()
    }
}

/// `1/(1 + e^-x)`, written so that the exponential never overflows and the
/// tail below zero keeps its relative precision.
pub struct Sigmoid;
impl UnaryRule for Sigmoid {
    const NAME: &'static str = "sigmoid";
    fn value<T: Real>(x: T) -> T {
        let e = (-x.abs()).exp();
        let numerator = if x >= T::zero() { T::one() } else { e };
        numerator / (T::one() + e)
    }
}

/// `max(x, 0)`: 0 at ±0, NaN stays NaN.
pub struct Relu;
impl UnaryRule for Relu {
    const NAME: &'static str = "relu";
    fn value<T: Real>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { x }
    }
}

/// `ln(1 + e^x)` as `max(x, 0) + ln(1 + e^-|x|)`, which neither overflows nor
/// loses the tail below zero.
pub struct Softplus;
impl UnaryRule for Softplus {
    const NAME: &'static str = "softplus";
    fn value<T: Real>(x: T) -> T {
        Relu::value(x) + (-x.abs()).exp().ln_1p()
    }
}

/// The error function.
pub struct Erf;
impl UnaryRule for Erf {
    const NAME: &'static str = "erf";
    fn value<T: Real>(x: T) -> T {
        x.erf()
    }
}

/// The normal distribution function at -t ≤ 0, without cancellation.
fn tail(t: f64) -> f64 {
    0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2)
}

/// `x Φ(x)`, Φ the normal distribution function.
pub struct Gelu;
impl UnaryRule for Gelu {
    const NAME: &'static str = "gelu";
    fn value<T: Real>(x: T) -> T {
        T::of(x.wide() * tail(-x.wide()))
    }
}

/// `(Φ(x) + x φ(x)) c`, φ the normal density: the slope of [`Gelu`] times `c`.
pub struct GeluGradient;
impl BinaryRule for GeluGradient {
    const NAME: &'static str = "gelu_gradient";
    fn value<T: Real>(x: T, c: T) -> T {
        let x = x.wide();
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        // Without a product of an infinite x with a density of 0.
        let bend = if density == 0.0 { 0.0 } else { x * density };
        T::of((tail(-x) + bend) * c.wide())
    }
}

/// `a + b`.
pub struct Add;
impl BinaryRule for Add {
    const NAME: &'static str = "add";
    fn value<T: Real>(a: T, b: T) -> T {
        a + b
    }
}

/// `a - b`.
pub struct Sub;
impl BinaryRule for Sub {
    const NAME: &'static str = "sub";
    fn value<T: Real>(a: T, b: T) -> T {
        a - b
    }
}

/// `a · b`.
pub struct Mul;
impl BinaryRule for Mul {
    const NAME: &'static str = "mul";
    fn value<T: Real>(a: T, b: T) -> T {
        a * b
    }
}

/// `a / b`.
pub struct Div;
impl BinaryRule for Div {
    const NAME: &'static str = "div";
    fn value<T: Real>(a: T, b: T) -> T {
        a / b
    }
}

/// `a^b` by C's rules: `a^0` and `1^b` are 1 even for NaN; a negative `a` to a
/// power that is no integer is NaN.
pub struct Pow;
impl BinaryRule for Pow {
    const NAME: &'static str = "pow";
    fn value<T: Real>(a: T, b: T) -> T {
        a.powf(b)
    }
}

/// The angle of the point (x, y) by C's rules: signs of zero count, so that
/// the half line of negative x is π from above and -π from below.
pub struct Atan2;
impl BinaryRule for Atan2 {
    const NAME: &'static str = "atan2";
    fn value<T: Real>(y: T, x: T) -> T {
        y.atan2(x)
    }
}

/// The larger; NaN if either is. Of equals (only ±0 can differ) `b`.
pub struct Maximum;
impl BinaryRule for Maximum {
    const NAME: &'static str = "maximum";
    fn value<T: Real>(a: T, b: T) -> T {
        if a > b || a.is_nan() { a } else { b }
    }
}

/// The smaller; NaN if either is. Of equals (only ±0 can differ) `b`.
pub struct Minimum;
impl BinaryRule for Minimum {
    const NAME: &'static str = "minimum";
    fn value<T: Real>(a: T, b: T) -> T {
        if a < b || a.is_nan() { a } else { b }
    }
}

/// 1 where `a > b`, else 0; 0 where either is NaN.
pub struct Greater;
impl BinaryRule for Greater {
    const NAME: &'static str = "greater";
    fn value<T: Real>(a: T, b: T) -> T {
        truth(a > b)
    }
}

/// 1 where `a ≥ b`, else 0; 0 where either is NaN.
pub struct GreaterEqual;
impl BinaryRule for GreaterEqual {
    const NAME: &'static str = "greater_equal";
    fn value<T: Real>(a: T, b: T) -> T {
        truth(a >= b)
    }
}

/// 1 where `a = b`, else 0; 0 where either is NaN.
pub struct Equal;
impl BinaryRule for Equal {
    const NAME: &'static str = "equal";
    fn value<T: Real>(a: T, b: T) -> T {
        truth(a == b)
    }
}

fn truth<T: Real>(condition: bool) -> T {
    if condition { T::one() } else { T::zero() }
}
