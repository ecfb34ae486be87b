//! Two-dimensional pooling over planes `[height, width]`.
//!
//! Max pooling yields indices: gathering with them is the forward pass,
//! scattering with them the gradient, so a tie is broken the same way in both.
//!
//! The routines of this family check their arguments: lengths that do not
//! match the shape panic before anything is read or written.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
mod quads;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// The sizes of a pooling; pairs are (vertical, horizontal).
///
/// The window of output `o` has `kernel` taps, at the input positions
/// `o·stride − padding + tap·dilation`. Taps outside the input are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Number of planes, samples times channels.
    pub planes: usize,
    /// Height and width of an input plane. Their product is at most
    /// `i32::MAX`, so that an index fits.
    pub input: [usize; 2],
    /// Height and width of an output plane.
    pub output: [usize; 2],
    /// Taps of a window.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// How far the padding reaches beyond each edge of the input.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps, at least 1.
    pub dilation: [usize; 2],
}

/// The taps of one window along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taps {
    /// Input position of the first tap inside the input.
    first: usize,
    /// How many taps lie inside the input.
    inside: usize,
    /// How many lie inside the input or its padding. Fewer than the kernel has
    /// where a window, its count rounded up, sticks out beyond the padding.
    padded: usize,
}

impl PoolShape {
    /// The taps of output `o` along `axis`.
    fn taps(&self, axis: usize, o: usize) -> Taps {
        let dilation = self.dilation[axis].max(1);
        // Taps whose position, measured from the edge of the padding, is
        // below `limit`.
        let start = o * self.stride[axis];
        let below =
            |limit: usize| limit.saturating_sub(start).div_ceil(dilation).min(self.kernel[axis]);
        let (padding, input) = (self.padding[axis], self.input[axis]);
        let before = below(padding);
        Taps {
            first: (start + before * dilation).saturating_sub(padding),
            inside: below(padding + input) - before,
            padded: below(input + 2 * padding),
        }
    }

    /// Input positions of `taps` along `axis`.
    fn positions(&self, axis: usize, taps: Taps) -> impl Iterator<Item = usize> + Clone {
        let dilation = self.dilation[axis].max(1);
        (0..taps.inside).map(move |tap| taps.first + tap * dilation)
    }

    /// Elements of an input plane.
    fn input_plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Elements of an output plane.
    fn output_plane(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether the windows are 2×2 blocks side by side, all inside the input.
    fn is_quads(&self) -> bool {
        let halves = |axis| self.output[axis] * 2 <= self.input[axis];
        self.kernel == [2, 2]
            && self.stride == [2, 2]
            && self.padding == [0, 0]
            && self.dilation == [1, 1]
            && halves(0)
            && halves(1)
    }

    fn check(&self, input: usize, output: usize) {
        assert_eq!(input, self.planes * self.input_plane(), "length of the input");
        assert_eq!(output, self.planes * self.output_plane(), "length of the output");
        assert!(i32::try_from(self.input_plane()).is_ok(), "a plane has too many elements");
    }
}

/// Max pooling that yields indices.
pub struct PoolIndices;

impl Signature for PoolIndices {
    /// `(shape, x, out)`.
    type Run<T: Real> = unsafe fn(shape: &PoolShape, x: &[T], out: &mut [i32]);
}

/// Where in its window the maximum is. `x` is `[planes, height, width]`, `out`
/// `[planes, output height, output width]` holds flat indices `h·width + w`
/// into the plane.
///
/// Padding never wins. Of equal maxima the first in row-major order wins; a
/// NaN beats every number and an earlier NaN, so the last NaN wins (PyTorch's
/// rule, `value > best || isnan(value)`). A window without any tap inside the
/// input gets −1.
pub static MAX_POOL2D_INDICES: Kernel<PoolIndices> = Kernel {
    name: "max_pool2d_indices",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::max_indices },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::max_indices },
        Variant { name: "quads", isa: Isa::Portable, run: quads::max_indices::<f32> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::max_indices::<f32> },
    ],
    f64: &[
        Variant { name: "quads", isa: Isa::Portable, run: quads::max_indices::<f64> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::max_indices::<f64> },
    ],
};

/// An average pooling: its sizes and what the sum of a window is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// The sizes.
    pub shape: PoolShape,
    /// Divide by the number of taps inside the input or its padding, instead
    /// of those inside the input (PyTorch's `count_include_pad`). Taps beyond
    /// the padding, which windows rounded up have (`ceil_mode`), never count.
    pub count_padding: bool,
    /// Divide by this instead (PyTorch's `divisor_override`); not 0.
    pub divisor: Option<i64>,
}

impl AveragePool {
    /// What the sum over a window is divided by.
    fn divisor<T: Real>(&self, rows: Taps, columns: Taps) -> T {
        let counted = if self.count_padding {
            rows.padded * columns.padded
        } else {
            rows.inside * columns.inside
        };
        T::of(self.divisor.unwrap_or(counted as i64) as f64)
    }
}

/// Average pooling and its gradient.
pub struct AveragePooling;

impl Signature for AveragePooling {
    /// `(pool, x, out)`.
    type Run<T: Real> = unsafe fn(pool: &AveragePool, x: &[T], out: &mut [T]);
}

/// `x` `[planes, height, width]` to `out` `[planes, output height, output
/// width]`: each window summed over its taps inside the input and divided as
/// [`AveragePool`] says. A window without any tap inside gives 0.
pub static AVERAGE_POOL2D: Kernel<AveragePooling> =
    Kernel { name: "average_pool2d", f32: &average(), f64: &average() };

const fn average<T: Real>() -> [Variant<<AveragePooling as Signature>::Run<T>>; 2] {
    [
        Variant { name: "quads", isa: Isa::Portable, run: quads::average::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::average::<T> },
    ]
}

/// The adjoint of [`AVERAGE_POOL2D`]: `x` is a cotangent of the output,
/// `[planes, output height, output width]`, and `out` `[planes, height,
/// width]`. Each input position gets the cotangent of every window it is in,
/// divided by that window's divisor and added in row-major order of windows.
pub static AVERAGE_POOL2D_GRADIENT: Kernel<AveragePooling> =
    Kernel { name: "average_pool2d_gradient", f32: &average_gradient(), f64: &average_gradient() };

const fn average_gradient<T: Real>() -> [Variant<<AveragePooling as Signature>::Run<T>>; 2] {
    [
        Variant { name: "quads", isa: Isa::Portable, run: quads::average_gradient::<T> },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::average_gradient::<T> },
    ]
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![MAX_POOL2D_INDICES.status(), AVERAGE_POOL2D.status(), AVERAGE_POOL2D_GRADIENT.status()]
}
