//! The matrix product, batched, with either operand transposed.
//!
//! `scalar` is the specification. The SIMD variants share one driver,
//! `packed`, which cuts the product into blocks that fit the caches and
//! copies them into panels; the instruction set's file holds the loop over a
//! register tile and the two copies.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod block;
pub mod gpu;
pub mod half;
mod matrixmultiply;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod packed;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod plan;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, ROUTINE as AVX512};
#[cfg(target_arch = "x86_64")]
pub(crate) use packed::{PackJob, Tile as PackedTile, TileJob as PackedTileJob};
#[cfg(target_arch = "x86_64")]
pub(crate) use plan::parts;

use crate::isa::Isa;
use crate::parallel::Shared;
use crate::real::Real;
use crate::variant::{Kernel, KernelStatus, Signature, Variant};
use std::ops::Range;

/// What is multiplied: `batch` products of `[m, k]` by `[k, n]`.
///
/// A matrix of the first operand is row-major `[m, k]`, or `[k, m]` where
/// `transpose_a`; one of the second `[k, n]`, or `[n, k]` where `transpose_b`.
/// The result is `[batch, m, n]` without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulShape {
    /// Number of products.
    pub batch: usize,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// The first operand is stored transposed.
    pub transpose_a: bool,
    /// The second operand is stored transposed.
    pub transpose_b: bool,
    /// Elements from one first operand to the next; 0 if all products share it.
    pub a_stride: usize,
    /// Elements from one second operand to the next; 0 if all products share it.
    pub b_stride: usize,
}

impl MatmulShape {
    /// Panics unless the slices are long enough for the shape: the fast
    /// variants read and write through pointers and rely on it.
    fn check<T>(&self, a: &[T], b: &[T], out: &[T]) {
        assert_eq!(out.len(), self.elements(), "length of the product");
        self.check_operands(a, b);
    }

    /// Elements of all products.
    fn elements(&self) -> usize {
        self.batch * self.m * self.n
    }

    /// [`MatmulShape::check`] without the product.
    fn check_operands<T>(&self, a: &[T], b: &[T]) {
        let last = self.batch.saturating_sub(1);
        let some = self.elements() > 0;
        assert!(!some || a.len() >= last * self.a_stride + self.m * self.k, "length of A");
        assert!(!some || b.len() >= last * self.b_stride + self.k * self.n, "length of B");
    }

    /// Steps from one row and from one column to the next in an `A`.
    fn a_steps(&self) -> [usize; 2] {
        if self.transpose_a { [1, self.m] } else { [self.k, 1] }
    }

    /// Steps from one row and from one column to the next in a `B`.
    fn b_steps(&self) -> [usize; 2] {
        if self.transpose_b { [1, self.k] } else { [self.n, 1] }
    }
}

/// `run(shape, a, b, out, scratch)`.
pub type Run<T> = unsafe fn(&MatmulShape, &[T], &[T], &mut [T], &mut [T]);

/// Who takes parts of a product as they are finished.
pub trait Taker: Sync {
    /// The elements of `range` are done and lie at `values`. They are the taker's
    /// until it returns, and for good where they lie in the product's memory.
    fn take(&self, range: Range<usize>, values: *mut u8);

    /// Arrays with an element of the same size for each of the product's, of which
    /// the taker reads those of `range` when it takes it.
    fn reads(&self) -> &[Shared<u8>] {
        &[]
    }
}

impl<F: Fn(Range<usize>, *mut u8) + Sync> Taker for F {
    fn take(&self, range: Range<usize>, values: *mut u8) {
        self(range, values);
    }
}

/// `report(shape, a, b, out, scratch, taker)`.
pub type Report<T> = unsafe fn(&MatmulShape, &[T], &[T], *mut T, &mut [T], &dyn Taker);

/// One way to multiply.
#[derive(Clone, Copy)]
pub struct Routine<T> {
    /// Overwrites all of `out`, whatever it held; where `k` is 0 the product is
    /// 0. Leaves anything in `scratch`.
    ///
    /// Panics where a slice is too short for the shape.
    ///
    /// # Safety
    /// The processor has what the variant's [`Isa`] names.
    pub run: Run<T>,
    /// How many elements of scratch `run` needs. A function of the shape alone,
    /// never of the number of threads.
    pub scratch: fn(&MatmulShape) -> usize,
    /// As `run`, where the variant can tell when a part of the product is done:
    /// hands ranges that together are the whole product to a [`Taker`], each
    /// once, when it will neither read nor write them any more, from whichever
    /// thread has finished them. So they may be worked on while they are in a
    /// cache.
    ///
    /// # Safety
    /// As for `run`; `out` is valid for the whole product, or null where `passes`
    /// says so, and nobody touches a part of it before it is handed over. The arrays
    /// that the taker reads are as long as the product.
    pub report: Option<Report<T>>,
    /// Whether `report` can do without memory for the product of a shape: it keeps
    /// no more of it than it hands over at a time.
    pub passes: fn(&MatmulShape) -> bool,
}

/// The signature of [`MATMUL`].
pub struct Matmul;

impl Signature for Matmul {
    type Run<T: Real> = Routine<T>;
}

/// The matrix product. `f64` is the reference for gradient checks.
pub static MATMUL: Kernel<Matmul> = Kernel {
    name: "matmul",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::ROUTINE },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::ROUTINE },
        #[cfg(target_arch = "aarch64")]
        Variant { name: "neon", isa: Isa::Neon, run: neon::ROUTINE },
        Variant { name: "matrixmultiply", isa: Isa::Portable, run: matrixmultiply::F32 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::routine() },
    ],
    f64: &[
        Variant { name: "matrixmultiply", isa: Isa::Portable, run: matrixmultiply::F64 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::routine() },
    ],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![MATMUL.status(), half::MATMUL_HALF.status()]
}

/// The `scratch` of variants that need none.
fn no_scratch(_: &MatmulShape) -> usize {
    0
}

/// The `passes` of variants that never do.
fn never(_: &MatmulShape) -> bool {
    false
}
