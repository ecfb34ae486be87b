//! Moving elements: strided copies, gathering and scattering along an axis.
//!
//! Elements travel bit for bit, so integers may be moved disguised as floats;
//! only [`SCATTER_ADD`], [`INDEX_ADD`] and [`SEGMENT_MAX`] do arithmetic.
//!
//! The routines of this family check their arguments: lengths that do not
//! match the shape, or a layout that leaves its slice, panic before anything
//! is read or written.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
pub mod half;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;
mod tiled;
#[cfg(target_arch = "x86_64")]
mod transpose;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// What is moved and never computed with.
trait Element: bytemuck::Pod + Send + Sync {}

impl<T: bytemuck::Pod + Send + Sync> Element for T {}

/// Where the elements of a tensor of shape `sizes` lie in a slice: the element
/// with coordinates `i` at `offset + Σ i·stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strided<'a> {
    /// The length of each axis, outermost first.
    pub sizes: &'a [usize],
    /// The distance between neighbours along each axis, in elements. 0 repeats
    /// one element along the axis (a broadcast), a negative stride flips it.
    pub strides: &'a [isize],
    /// Where the element with all coordinates 0 lies.
    pub offset: usize,
}

impl Strided<'_> {
    /// The number of elements; 1 for no axes.
    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Where element `flat`, counted in row-major order, lies. The last axis
    /// is the fastest, so the coordinates are the digits of `flat` from the
    /// right.
    pub fn address(&self, mut flat: usize) -> usize {
        let mut address = self.offset as isize;
        for (&size, &stride) in self.sizes.iter().zip(self.strides).rev() {
            address += (flat % size) as isize * stride;
            flat /= size;
        }
        address as usize
    }
}

/// A copy between a strided and a contiguous tensor.
pub struct StridedCopy;

impl Signature for StridedCopy {
    /// `(layout, x, out)`; see [`READ_STRIDED`] and [`WRITE_STRIDED`] for
    /// which of the two slices the layout describes.
    type Run<T: Real> = unsafe fn(layout: &Strided<'_>, x: &[T], out: &mut [T]);
}

/// `out[flat] = x[layout.address(flat)]`: permutation, broadcast, narrowing,
/// flipping. `out` has exactly `layout.elements()` elements.
pub static READ_STRIDED: Kernel<StridedCopy> = Kernel {
    name: "read_strided",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: transpose::read_avx512 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: transpose::read_avx2 },
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::read::<f32> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::read::<f32> },
    ],
    f64: &read_strided(),
};

const fn read_strided<T: Real>() -> [Variant<<StridedCopy as Signature>::Run<T>>; 2] {
    [
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::read::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::read::<T> },
    ]
}

/// `out[layout.address(flat)] = x[flat]`: padding, concatenation, the gradient
/// of narrowing. `x` has exactly `layout.elements()` elements. Elements of
/// `out` that the layout does not address stay as they are. The addresses are
/// expected to differ from each other; where they coincide, which element
/// stays is not specified.
pub static WRITE_STRIDED: Kernel<StridedCopy> = Kernel {
    name: "write_strided",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: transpose::write_avx512 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: transpose::write_avx2 },
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::write::<f32> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::write::<f32> },
    ],
    f64: &write_strided(),
};

const fn write_strided<T: Real>() -> [Variant<<StridedCopy as Signature>::Run<T>>; 2] {
    [
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::write::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::write::<T> },
    ]
}

/// The shapes of the kernels that take indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// Product of the axes before the indexed one.
    pub outer: usize,
    /// Length of the indexed axis in the source (what gather reads, what
    /// scatter writes).
    pub source: usize,
    /// Length of the indexed axis in the index tensor.
    pub picks: usize,
    /// Product of the axes after the indexed one.
    pub inner: usize,
}

impl Gathering {
    fn check(&self, source: usize, index: usize, picks: usize) {
        assert_eq!(source, self.outer * self.source * self.inner, "length of the source");
        assert_eq!(index, self.outer * self.picks * self.inner, "length of the index");
        assert_eq!(picks, index, "the picked values are as many as the indices");
    }

    fn check_rows(&self, source: usize, index: usize, picks: usize) {
        assert_eq!(source, self.outer * self.source * self.inner, "length of the source");
        assert_eq!(index, self.picks, "length of the index");
        assert_eq!(picks, self.outer * self.picks * self.inner, "length of the picked values");
    }
}

/// Indexing along one axis.
pub struct Gather;

impl Signature for Gather {
    /// `(shape, x, index, out)`.
    type Run<T: Real> = unsafe fn(shape: &Gathering, x: &[T], index: &[i32], out: &mut [T]);
}

/// `out[o, p, i] = x[o, index[o, p, i], i]` with `x` `[outer, source, inner]`
/// and `index` and `out` `[outer, picks, inner]`. An index outside `0..source`
/// gives NaN.
pub static GATHER: Kernel<Gather> = Kernel {
    name: "gather",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::gather },
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::gather::<f32> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::gather::<f32> },
    ],
    f64: &gather(),
};

const fn gather<T: Real>() -> [Variant<<Gather as Signature>::Run<T>>; 2] {
    [
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::gather::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::gather::<T> },
    ]
}

/// The adjoint of [`GATHER`]: `out` `[outer, source, inner]` is set to zero,
/// then `out[o, index[o, p, i], i] += x[o, p, i]` for `p` in ascending order,
/// `x` and `index` being `[outer, picks, inner]`. An index outside `0..source`
/// is ignored.
pub static SCATTER_ADD: Kernel<Gather> =
    Kernel { name: "scatter_add", f32: &scatter_add(), f64: &scatter_add() };

const fn scatter_add<T: Real>() -> [Variant<<Gather as Signature>::Run<T>>; 2] {
    [
        Variant { name: "tiled", isa: Isa::Portable, run: tiled::scatter_add::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::scatter_add::<T> },
    ]
}

/// Indexing along one axis by whole rows.
pub struct SelectRows;

impl Signature for SelectRows {
    /// `(shape, x, index, outside, out)`.
    type Run<T: Real> =
        unsafe fn(shape: &Gathering, x: &[T], index: &[i32], outside: T, out: &mut [T]);
}

/// `out[o, p, i] = x[o, index[p], i]` with `x` `[outer, source, inner]`, `index`
/// `[picks]` and `out` `[outer, picks, inner]`. An index outside `0..source`
/// gives `outside`.
pub static INDEX_SELECT: Kernel<SelectRows> =
    Kernel { name: "index_select", f32: &index_select(), f64: &index_select() };

const fn index_select<T: Real>() -> [Variant<<SelectRows as Signature>::Run<T>>; 2] {
    [
        Variant { name: "rows", isa: Isa::Portable, run: rows::index_select::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::index_select::<T> },
    ]
}

/// The adjoint of [`INDEX_SELECT`]: `out` `[outer, source, inner]` is set to
/// zero, then `out[o, index[p], i] += x[o, p, i]` for `p` in ascending order,
/// `x` being `[outer, picks, inner]` and `index` `[picks]`. An index outside
/// `0..source` is ignored.
pub static INDEX_ADD: Kernel<Gather> =
    Kernel { name: "index_add", f32: &index_add(), f64: &index_add() };

const fn index_add<T: Real>() -> [Variant<<Gather as Signature>::Run<T>>; 2] {
    [
        Variant { name: "rows", isa: Isa::Portable, run: rows::index_add::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::index_add::<T> },
    ]
}

/// `out` `[outer, source, inner]` is set to -∞, then to the largest of the
/// `x[o, p, i]` with that `index[p]`; `x` and `index` as in [`INDEX_ADD`]. NaN
/// wins, and an index outside `0..source` is ignored.
pub static SEGMENT_MAX: Kernel<Gather> =
    Kernel { name: "segment_max", f32: &segment_max(), f64: &segment_max() };

const fn segment_max<T: Real>() -> [Variant<<Gather as Signature>::Run<T>>; 2] {
    [
        Variant { name: "rows", isa: Isa::Portable, run: rows::segment_max::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::segment_max::<T> },
    ]
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![
        READ_STRIDED.status(),
        WRITE_STRIDED.status(),
        GATHER.status(),
        SCATTER_ADD.status(),
        INDEX_SELECT.status(),
        INDEX_ADD.status(),
        SEGMENT_MAX.status(),
        half::READ_STRIDED_HALF.status(),
        half::WRITE_STRIDED_HALF.status(),
        half::GATHER_HALF.status(),
        half::INDEX_SELECT_HALF.status(),
    ]
}
