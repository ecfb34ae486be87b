//! A register of `f32` lanes, and the loops that run a formula over memory.
//!
//! [`Lanes`] is what the formulas are written in. Each instruction set
//! implements it for its register type, so that a formula exists once and the
//! intrinsics stand in one file an instruction set.
//!
//! All methods are `inline(always)`: they become instructions only inside a
//! function whose `#[target_feature]` allows them.

// Every function here is unsafe for one reason, stated at the trait; a block
// with the same comment around each line would say nothing more.
#![allow(unsafe_op_in_unsafe_fn)]

use super::formula::{BinaryFormula, UnaryFormula};

/// A register that holds [`WIDTH`](Lanes::WIDTH) values of `f32`.
///
/// # Safety
/// Every method may be called only where the processor has the instruction set
/// of the implementing type, and inside a function compiled for it. Methods
/// that take pointers need them valid for the elements they name, at any
/// alignment.
pub trait Lanes: Copy {
    /// One truth value a lane.
    type Mask: Copy;
    /// How many lanes; a power of two.
    const WIDTH: usize;

    /// `WIDTH` elements.
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count < WIDTH` elements, then lanes of `fill`.
    unsafe fn load_part(from: *const f32, count: usize, fill: Self) -> Self;
    /// Writes `WIDTH` elements.
    unsafe fn store(self, to: *mut f32);
    /// Writes `WIDTH` elements past the caches, at a multiple of their size.
    unsafe fn stream(self, to: *mut f32);
    /// Writes the first `count < WIDTH` lanes and nothing behind them.
    unsafe fn store_part(self, to: *mut f32, count: usize);
    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// Lane 0.
    unsafe fn first(self) -> f32;
    /// Lane `i ^ distance` in lane `i`; `distance` is a power of two below
    /// `WIDTH` and known when compiled.
    unsafe fn exchange(self, distance: usize) -> Self;

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · other`.
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`.
    unsafe fn div(self, other: Self) -> Self;
    /// `self · factor + term`, rounded once.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// `term - self · factor`, rounded once.
    unsafe fn neg_mul_add(self, factor: Self, term: Self) -> Self;
    /// `self > other ? self : other`, hence `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// `self < other ? self : other`, hence `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// The correctly rounded square root.
    unsafe fn sqrt(self) -> Self;
    /// Rounded down to an integer.
    unsafe fn floor(self) -> Self;
    /// Rounded to the nearest integer, ties to even.
    unsafe fn round(self) -> Self;

    /// The value with a positive sign.
    unsafe fn abs(self) -> Self;
    /// Negated where `sign` has its sign bit set.
    unsafe fn flip_sign(self, sign: Self) -> Self;
    /// `self · 2^n`, rounded once, for `0.5 < self < 2` and an integral `n` in
    /// -160..=130. NaN in either gives NaN.
    unsafe fn scale(self, n: Self) -> Self;
    /// `(m, e)` with `self = m · 2^e`, `√½ ≤ m < √2` and `e` integral, for a
    /// positive normal `self`; something finite or NaN for any other value.
    unsafe fn split(self) -> (Self, Self);

    /// `self > other`; false for NaN.
    unsafe fn greater(self, other: Self) -> Self::Mask;
    /// `self ≥ other`; false for NaN.
    unsafe fn greater_equal(self, other: Self) -> Self::Mask;
    /// `self = other`; false for NaN.
    unsafe fn equal(self, other: Self) -> Self::Mask;
    /// Whether a lane is NaN.
    unsafe fn is_nan(self) -> Self::Mask;
    /// `mask ? yes : no`.
    unsafe fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// Whether any lane of the mask is true.
    unsafe fn any(mask: Self::Mask) -> bool;

    /// 1 where the mask is true, else 0.
    #[inline(always)]
    unsafe fn truth(mask: Self::Mask) -> Self {
        Self::select(mask, Self::splat(1.0), Self::splat(0.0))
    }

    /// `c[0] + c[1]·x + c[2]·x² + …` by Horner's rule, each step rounded once.
    #[inline(always)]
    unsafe fn polynomial<const N: usize>(self, coefficients: [f32; N]) -> Self {
        let mut sum = Self::splat(coefficients[N - 1]);
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = sum.mul_add(self, Self::splat(coefficient));
        }
        sum
    }

    /// `function` of every lane for which `mask` is true, `self` elsewhere,
    /// where the lanes of `x` are the arguments. For rare cases only.
    #[inline(always)]
    unsafe fn patch(self, mask: Self::Mask, x: Self, function: fn(f32) -> f32) -> Self {
        // Large enough for the widest register.
        let (mut arguments, mut chosen) = ([0.0; 16], [0.0; 16]);
        x.store(arguments.as_mut_ptr());
        Self::truth(mask).store(chosen.as_mut_ptr());
        let mut values = [0.0; 16];
        self.store(values.as_mut_ptr());
        for i in 0..Self::WIDTH {
            if chosen[i] != 0.0 {
                values[i] = function(arguments[i]);
            }
        }
        Self::load(values.as_ptr())
    }
}

/// Runs a formula over `n` values; the contract of [`Unary`](super::Unary).
#[inline(always)]
pub unsafe fn unary<V: Lanes, F: UnaryFormula>(x: *const f32, out: *mut f32, n: usize) {
    let rest = n % V::WIDTH;
    let whole = n - rest;
    let mut i = 0;
    while i < whole {
        F::lanes(V::load(x.add(i))).store(out.add(i));
        i += V::WIDTH;
    }
    if rest > 0 {
        let x = V::load_part(x.add(whole), rest, V::splat(0.0));
        F::lanes(x).store_part(out.add(whole), rest);
    }
}

/// Runs a formula over `n` pairs; the contract of [`Binary`](super::Binary).
///
/// A loop of its own for each combination of steps: with the question asked
/// again for each register, steps on tiles in the first-level cache took about
/// three cycles a register instead of two (Zen 5, AVX-512).
#[inline(always)]
pub unsafe fn binary<V: Lanes, F: BinaryFormula>(
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    out: *mut f32,
    n: usize,
) {
    match (a_step, b_step) {
        (0, 0) => pairs::<V, F>(Repeated::new(a), Repeated::new(b), out, n),
        (0, _) => pairs::<V, F>(Repeated::new(a), Stream(b), out, n),
        (_, 0) => pairs::<V, F>(Stream(a), Repeated::new(b), out, n),
        _ => pairs::<V, F>(Stream(a), Stream(b), out, n),
    }
}

#[inline(always)]
unsafe fn pairs<V: Lanes, F: BinaryFormula>(
    a: impl Input<V>,
    b: impl Input<V>,
    out: *mut f32,
    n: usize,
) {
    let mut i = 0;
    while i + 4 * V::WIDTH <= n {
        for k in 0..4 {
            let at = i + k * V::WIDTH;
            F::lanes(a.at(at), b.at(at)).store(out.add(at));
        }
        i += 4 * V::WIDTH;
    }
    while i + V::WIDTH <= n {
        F::lanes(a.at(i), b.at(i)).store(out.add(i));
        i += V::WIDTH;
    }
    if i < n {
        F::lanes(a.part(i, n - i), b.part(i, n - i)).store_part(out.add(i), n - i);
    }
}

/// `condition != 0 ? a : b`; the contract of [`Select`](super::Select).
#[inline(always)]
pub unsafe fn select<V: Lanes>(
    condition: *const f32,
    condition_step: usize,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    out: *mut f32,
    n: usize,
) {
    let condition = Operand::<V>::new(condition, condition_step);
    let (a, b) = (Operand::<V>::new(a, a_step), Operand::<V>::new(b, b_step));
    let zero = V::splat(0.0);
    let rest = n % V::WIDTH;
    let whole = n - rest;
    let mut i = 0;
    while i < whole {
        // NaN is not equal to zero, hence true.
        V::select(condition.at(i).equal(zero), b.at(i), a.at(i)).store(out.add(i));
        i += V::WIDTH;
    }
    if rest > 0 {
        let is_zero = condition.part(whole, rest).equal(zero);
        V::select(is_zero, b.part(whole, rest), a.part(whole, rest))
            .store_part(out.add(whole), rest);
    }
}

/// An input of a loop: an array, or one value that stands for all.
trait Input<V>: Copy {
    unsafe fn at(self, i: usize) -> V;
    unsafe fn part(self, i: usize, count: usize) -> V;
}

#[derive(Clone, Copy)]
struct Stream(*const f32);

impl<V: Lanes> Input<V> for Stream {
    #[inline(always)]
    unsafe fn at(self, i: usize) -> V {
        V::load(self.0.add(i))
    }
    #[inline(always)]
    unsafe fn part(self, i: usize, count: usize) -> V {
        V::load_part(self.0.add(i), count, V::splat(0.0))
    }
}

#[derive(Clone, Copy)]
struct Repeated<V>(V);

impl<V: Lanes> Repeated<V> {
    /// The value is read before anything is written: in place, the first write
    /// would replace it.
    #[inline(always)]
    unsafe fn new(value: *const f32) -> Self {
        Repeated(V::splat(*value))
    }
}

impl<V: Lanes> Input<V> for Repeated<V> {
    #[inline(always)]
    unsafe fn at(self, _: usize) -> V {
        self.0
    }
    #[inline(always)]
    unsafe fn part(self, _: usize, _: usize) -> V {
        self.0
    }
}

/// An input of a binary or ternary kernel.
#[derive(Clone, Copy)]
struct Operand<V> {
    pointer: *const f32,
    step: usize,
    /// The one value that stands for all when `step` is 0. It is read before
    /// anything is written: in place, the first write would replace it.
    value: V,
}

impl<V: Lanes> Operand<V> {
    #[inline(always)]
    unsafe fn new(pointer: *const f32, step: usize) -> Self {
        let value = V::splat(if step == 0 { *pointer } else { 0.0 });
        Operand { pointer, step, value }
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize) -> V {
        if self.step == 0 { self.value } else { V::load(self.pointer.add(i)) }
    }

    #[inline(always)]
    unsafe fn part(&self, i: usize, count: usize) -> V {
        if self.step == 0 {
            self.value
        } else {
            V::load_part(self.pointer.add(i), count, V::splat(0.0))
        }
    }
}
