//! Rows brought to mean 0 and mean square 1, times a weight, plus a bias: layer,
//! RMS, group and instance norm, and their gradients.
//!
//! As a chain of element-wise ops and sums a norm reads its input three times
//! forwards and five times backwards. Here a row stays in the first-level cache
//! (a long one in the second) from its first reading to its writing.
//!
//! `scalar.rs` is the specification; `lanes.rs` holds the loops in terms of
//! [`Lanes`](crate::elementwise::lanes::Lanes); `avx2.rs` and `avx512.rs` compile
//! them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod compiled;
pub mod gpu;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod lanes;
mod moments;
mod scalar;
#[cfg(test)]
mod tests;

pub use moments::MomentsShape;

use crate::parallel::{GRAIN, Shared, for_parts};
use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};
use std::ops::Range;

/// The sizes of a norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// Rows, each of which has statistics of its own.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// Whether the mean is subtracted and a bias added; else neither.
    pub centred: bool,
    /// What is added to the mean square.
    pub epsilon: f64,
    /// How many neighbours share a weight and a bias: 1 where each value of a row
    /// has its own, the pixels of a channel for channels. Divides the width.
    pub run: usize,
    /// After how many rows the weights begin again: 1 where all rows have the
    /// same, the groups of an example for group norm.
    pub groups: usize,
}

impl NormShape {
    /// Weights, and biases if there are any.
    pub fn weights(&self) -> usize {
        self.width / self.run.max(1) * self.groups
    }

    /// Elements of the input, and of the output.
    pub fn elements(&self) -> usize {
        self.rows * self.width
    }

    /// Gradients: for the input, the weights and, if centred, the biases.
    pub fn gradients(&self) -> usize {
        self.elements() + self.weights() * if self.centred { 2 } else { 1 }
    }

    /// The first weight of a row.
    fn first_weight(&self, row: usize) -> usize {
        row % self.groups.max(1) * (self.width / self.run.max(1))
    }

    /// Rows of a part; parts of the gradient have sums of their own, so there are
    /// not many where there are many weights.
    fn part(&self) -> usize {
        let most = ((1 << 20) / self.weights().max(1)).clamp(4, 256);
        (GRAIN / self.width.max(1)).max(self.rows.div_ceil(most)).max(1)
    }

    fn parts(&self) -> usize {
        self.rows.div_ceil(self.part())
    }

    /// Scratch memory of a part of the gradient: for each weight and bias the
    /// sum over the part and that over a block of it, and a value for each
    /// weight besides.
    fn piece(&self) -> usize {
        5 * self.weights()
    }
}

/// `(shape, x, weight, bias, out)`: `out = (x - m) / √(v + epsilon) · weight +
/// bias`, m the mean of a row and v the mean of (x - m)², or without m and bias.
///
/// # Safety
/// The slices have the lengths of the shape (the bias is empty if not centred).
/// The variant's instruction set is available.
pub struct Norm;

impl Signature for Norm {
    type Run<T: Real> = unsafe fn(&NormShape, &[T], &[T], &[T], &mut [T]);
}

/// `(shape, x, weight, c, out, scratch)`: the gradients for x, the weight and, if
/// centred, the bias, one after the other, where c is that of the output.
///
/// # Safety
/// As for [`Norm`]; the scratch memory is as long as [`gradient_scratch`] says.
pub struct NormGradient;

impl Signature for NormGradient {
    type Run<T: Real> = unsafe fn(&NormShape, &[T], &[T], &[T], &mut [T], &mut [T]);
}

/// Elements of scratch memory that a gradient needs.
pub fn gradient_scratch(shape: &NormShape) -> usize {
    shape.parts() * shape.piece()
}

/// The norm of rows.
pub static NORM: Kernel<Norm> = Kernel {
    name: "norm",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::norm },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::norm },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::norm::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::norm::<f64> }],
};

/// Its gradient.
pub static NORM_GRADIENT: Kernel<NormGradient> = Kernel {
    name: "norm_gradient",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::gradient },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::gradient },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::gradient::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::gradient::<f64> }],
};

/// `(shape, x, out, scratch)`: the mean of each channel of x `[samples, channels,
/// pixels]`, then the mean of (x - mean)² of each.
///
/// # Safety
/// The slices have the lengths of the shape, the scratch memory what it says. The
/// variant's instruction set is available.
pub struct Moments;

impl Signature for Moments {
    type Run<T: Real> = unsafe fn(&MomentsShape, &[T], &mut [T], &mut [T]);
}

/// The mean and variance of channels.
pub static MOMENTS: Kernel<Moments> = Kernel {
    name: "moments",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::moments },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::moments },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::moments::<f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::moments::<f64> }],
};

/// The kernels of this family with their variants.
pub fn kernels() -> Vec<KernelStatus> {
    vec![NORM.status(), NORM_GRADIENT.status(), MOMENTS.status()]
}

/// The arrays of one call; some are not there in one of the two directions.
#[derive(Clone, Copy)]
struct Arrays<T> {
    x: *const T,
    weight: *const T,
    bias: *const T,
    c: *const T,
}

// SAFETY: the arrays are only read.
unsafe impl<T: Sync> Sync for Arrays<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for Arrays<T> {}

/// `(shape, rows, arrays, out)`.
type ForwardRows<T> = unsafe fn(&NormShape, Range<usize>, &Arrays<T>, *mut T);
/// `(shape, rows, arrays, out, sums)`: adds what the rows give for weights, then
/// for biases, to `sums`; behind these is room for as many, and for a value a
/// weight.
type BackwardRows<T> = unsafe fn(&NormShape, Range<usize>, &Arrays<T>, *mut T, *mut T);

/// The forward pass over parts; the contract of [`Norm`].
unsafe fn forward<T: Real>(
    shape: &NormShape,
    [x, weight, bias]: [&[T]; 3],
    out: &mut [T],
    rows: ForwardRows<T>,
) {
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), bias.as_ptr());
    let arrays = Arrays { x, weight, bias, c: std::ptr::null() };
    let out = Shared::new(out);
    for_parts(shape.rows, shape.part(), |range| {
        // SAFETY: parts write rows of their own.
        unsafe { rows(shape, range, &arrays, out.get()) };
    });
}

/// The backward pass over parts; the contract of [`NormGradient`]. The order in
/// which the sums over all rows add depends on the shape alone.
unsafe fn backward<T: Real>(
    shape: &NormShape,
    [x, weight, c]: [&[T]; 3],
    out: &mut [T],
    scratch: &mut [T],
    rows: BackwardRows<T>,
) {
    let (x, weight, c) = (x.as_ptr(), weight.as_ptr(), c.as_ptr());
    let arrays = Arrays { x, weight, bias: std::ptr::null(), c };
    let (dx, sums) = out.split_at_mut(shape.elements());
    let (target, own) = (Shared::new(dx), Shared::new(scratch));
    let (part, piece) = (shape.part(), shape.piece());
    for_parts(shape.rows, part, |range| {
        let number = range.start / part;
        // SAFETY: each part has a piece of the scratch memory.
        let sums = unsafe { own.part(number * piece..(number + 1) * piece) };
        sums.fill(T::zero());
        // SAFETY: parts write rows of their own.
        unsafe { rows(shape, range, &arrays, target.get(), sums.as_mut_ptr()) };
    });
    for (i, sum) in sums.iter_mut().enumerate() {
        let parts = (0..shape.parts()).map(|number| scratch[number * piece + i].wide());
        *sum = T::of(parts.sum());
    }
}
