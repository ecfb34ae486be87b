//! Two-dimensional convolution and its two gradients.
//!
//! Images are `[batch, channels, height, width]`, the weight is
//! `[out_channels, in_channels / groups, kernel height, kernel width]`, and the
//! kernel is not flipped: cross-correlation, as in PyTorch.
//!
//! `scalar` is the specification: one loop over all products that occur, read
//! in three ways. The others are ways to study:
//!
//! | variant | file | |
//! |---|---|---|
//! | `avx512`, `avx2` | `correlate`, `reduce` | direct: an implicit matrix product |
//! | `winograd2`, `winograd4`, and the same with `-avx2` | `winograd` | 3 × 3 with fewer multiplications |
//! | `im2col` | `im2col` | the windows written out, and a matrix product |
//! | `skip` | `skip` | leaves out the products with zeros |
//!
//! Direct and implicit matrix product (implicit GEMM) are one here: the register
//! tiles are those of a matrix product of the weight and the windows, but no
//! matrix of windows is built. Each image is copied once, with its border, into
//! planes in which every tap of the kernel is a constant offset (`source`), and
//! the sums are over the offsets (`correlate`: the result and the gradient of the
//! input) or over the positions (`reduce`: the gradient of the weight).
//!
//! `scalar` leaves the border out, the others multiply by its zeros: the same
//! for finite values, while infinities make NaN in more places; `skip` leaves all
//! zeros of one operand out, so that they make NaN in fewer.

/// `$body` with `$name` a constant, equal to `$count` for each of the numbers listed,
/// which a tile's sizes have to be for its sums to be registers; the last one stands
/// for all others, of which there are none by the caller's promise.
#[cfg(target_arch = "x86_64")]
macro_rules! for_count {
    ($name:ident = $count:expr, [$($number:literal)* or $last:literal] => $body:expr) => {
        match $count {
            $(
                $number => {
                    const $name: usize = $number;
                    $body
                }
            )*
            _ => {
                const $name: usize = $last;
                $body
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod channels_last;
#[cfg(target_arch = "x86_64")]
mod correlate;
pub mod gpu;
pub mod half;
#[cfg(target_arch = "x86_64")]
mod im2col;
#[cfg(target_arch = "x86_64")]
mod reduce;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod skip;
#[cfg(target_arch = "x86_64")]
mod source;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
mod winograd;

use crate::isa::Isa;
use crate::real::Real;
use crate::variant::{Kernel, KernelStatus, Signature, Variant};

/// What is convolved. Pairs are height, then width.
///
/// `in_channels` and `out_channels` are multiples of `groups`; `kernel`,
/// `stride`, `dilation` and `groups` are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Channels are cut into this many groups, and an output channel sees the
    /// input channels of its own group only.
    pub groups: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zeros added on each of the two sides.
    pub padding: [usize; 2],
    /// Input pixels from one tap of the kernel to the next.
    pub dilation: [usize; 2],
}

impl ConvShape {
    /// Height and width of the output; 0 where the kernel does not fit into
    /// the padded input.
    pub fn output(&self) -> [usize; 2] {
        let size = |axis: usize| {
            let padded = 2usize.checked_mul(self.padding[axis])?.checked_add(self.input[axis])?;
            let taps = self.kernel[axis].checked_sub(1)?;
            let window = self.dilation[axis].checked_mul(taps)?.checked_add(1)?;
            Some(padded.checked_sub(window)? / self.stride[axis] + 1)
        };
        [size(0).unwrap_or(0), size(1).unwrap_or(0)]
    }

    /// Input channels of a group.
    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Taps of the kernel.
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Pixels of an input channel.
    fn input_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Pixels of an output channel.
    fn output_pixels(&self) -> usize {
        let [height, width] = self.output();
        height * width
    }

    /// Elements of the weight.
    fn weight_size(&self) -> usize {
        self.out_channels * self.group_in() * self.taps()
    }

    /// Products of an input, a weight and an output position: what each of the
    /// three kernels computes, borders included.
    #[cfg(any(test, target_arch = "x86_64"))]
    fn products(&self) -> usize {
        self.batch * self.output_pixels() * self.weight_size()
    }

    /// Panics unless the slices have exactly the lengths of the shape.
    fn check<T>(&self, input: &[T], weight: &[T], output: &[T]) {
        assert_eq!(input.len(), self.batch * self.in_channels * self.input_pixels(), "input");
        assert_eq!(weight.len(), self.weight_size(), "weight");
        assert_eq!(output.len(), self.batch * self.out_channels * self.output_pixels(), "output");
    }
}

/// `run(shape, first, second, result, scratch)`; the kernels say what the
/// operands are.
pub type Run<T> = unsafe fn(&ConvShape, &[T], &[T], &mut [T], &mut [T]);

/// One way to convolve.
#[derive(Clone, Copy)]
pub struct Routine<T> {
    /// Overwrites all of `result`, whatever it held, and leaves anything in
    /// `scratch`.
    ///
    /// Panics where a slice's length is not that of the shape.
    ///
    /// # Safety
    /// The processor has what the variant's [`Isa`] names.
    pub run: Run<T>,
    /// How many elements of scratch `run` needs. A function of the shape alone,
    /// never of the number of threads.
    pub scratch: fn(&ConvShape) -> usize,
}

/// The signature of the three kernels.
pub struct Convolution;

impl Signature for Convolution {
    type Run<T: Real> = Routine<T>;
}

/// `(input, weight)` → output.
pub static CONV2D: Kernel<Convolution> = Kernel {
    name: "conv2d",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2", isa: Isa::Avx512, run: winograd::Avx512Two::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd4", isa: Isa::Avx512, run: winograd::Avx512Four::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "skip", isa: Isa::Avx512, run: skip::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "im2col", isa: Isa::Avx512, run: im2col::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2-avx2", isa: Isa::Avx2, run: winograd::Avx2Two::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::FORWARD },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd4-avx2", isa: Isa::Avx2, run: winograd::Avx2Four::FORWARD },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::forward() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::forward() }],
};

/// `(cotangent of the output, weight)` → gradient of the input.
pub static CONV2D_INPUT_GRADIENT: Kernel<Convolution> = Kernel {
    name: "conv2d_input_gradient",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2", isa: Isa::Avx512, run: winograd::Avx512Two::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd4", isa: Isa::Avx512, run: winograd::Avx512Four::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "skip", isa: Isa::Avx512, run: skip::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "im2col", isa: Isa::Avx512, run: im2col::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2-avx2", isa: Isa::Avx2, run: winograd::Avx2Two::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::INPUT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd4-avx2", isa: Isa::Avx2, run: winograd::Avx2Four::INPUT_GRADIENT },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::input_gradient() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::input_gradient() }],
};

/// `(input, cotangent of the output)` → gradient of the weight.
pub static CONV2D_WEIGHT_GRADIENT: Kernel<Convolution> = Kernel {
    name: "conv2d_weight_gradient",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2", isa: Isa::Avx512, run: winograd::Avx512Two::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd4", isa: Isa::Avx512, run: winograd::Avx512Four::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "skip", isa: Isa::Avx512, run: skip::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "im2col", isa: Isa::Avx512, run: im2col::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "winograd2-avx2", isa: Isa::Avx2, run: winograd::Avx2Two::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::WEIGHT_GRADIENT },
        #[cfg(target_arch = "x86_64")]
        Variant {
            name: "winograd4-avx2",
            isa: Isa::Avx2,
            run: winograd::Avx2Four::WEIGHT_GRADIENT,
        },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::weight_gradient() },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::weight_gradient() }],
};

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![
        CONV2D.status(),
        CONV2D_INPUT_GRADIENT.status(),
        CONV2D_WEIGHT_GRADIENT.status(),
        half::CONV2D_HALF.status(),
        half::CONV2D_INPUT_GRADIENT_HALF.status(),
        half::CONV2D_WEIGHT_GRADIENT_HALF.status(),
    ]
}
