//! The largest of a few rows, channel by channel: max pooling on rectangles laid
//! out as rows.
//!
//! `x` is `[places, taps, channels]`, channels side by side. The plain loop walks
//! one channel's taps after the other, a stride apart, and branches on each
//! comparison; index, gather and scatter were three passes over memory with the
//! indices in between. Here a register of neighbouring channels walks the taps,
//! the comparison is a mask that picks both the largest value and what belongs to
//! it, and the adjoint finds the place again instead of being told.
//!
//! For the three poolings of a CNN at batch 256 (one thread, two-core AVX-512
//! server, Zen 5): index, gather and scatter 3.8 ms a step, these 1.4 ms.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod gpu;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
#[cfg(test)]
mod tests;

use crate::{Isa, Kernel, KernelStatus, Real, Signature, Variant};

/// Sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// Rectangles.
    pub places: usize,
    /// Values of each, a channel.
    pub taps: usize,
    /// Channels.
    pub channels: usize,
}

impl Taps {
    fn check(&self, x: usize, largest: usize) {
        assert_eq!(x, self.places * self.taps * self.channels, "length of the rectangles");
        assert_eq!(largest, self.places * self.channels, "length of the largest");
    }
}

/// Between rectangles and their largest.
pub struct Largest;

impl Signature for Largest {
    /// `(taps, x, k, out)`.
    type Run<T: Real> = fn(taps: &Taps, x: &[T], k: &[T], out: &mut [T]);
}

macro_rules! largest {
    ($(#[$doc:meta])* $kernel:ident, $name:ident) => {
        $(#[$doc])*
        pub static $kernel: Kernel<Largest> = Kernel {
            name: stringify!($name),
            f32: &[
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx512", isa: Isa::Avx512, run: avx512::$name },
                #[cfg(target_arch = "x86_64")]
                Variant { name: "avx2", isa: Isa::Avx2, run: avx2::$name },
                Variant { name: "scalar", isa: Isa::Portable, run: scalar::$name },
            ],
            f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::$name }],
        };
    };
}

largest! {
    /// `out` `[places, channels]`: of `k`, like `x`, what stands where `x` is
    /// largest; ties to the first tap, NaN before all.
    AT_LARGEST, at_largest
}
largest! {
    /// The adjoint of [`AT_LARGEST`] in k: `k` `[places, channels]` where `x` is
    /// largest, 0 elsewhere.
    TO_LARGEST, to_largest
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![AT_LARGEST.status(), TO_LARGEST.status()]
}
