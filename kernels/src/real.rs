//! The two floating-point types kernels are written for.

use crate::variant::{Kernel, Signature, Variant};
use std::fmt::{Debug, Display};

/// `f32` or `f64`. Scalar kernels are generic over it: in `f32` they are the
/// portable variant, in `f64` the reference that gradient checks run on.
pub trait Real:
    num_traits::Float + num_traits::NumAssign + bytemuck::Pod + Debug + Display + Default + Send + Sync
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// This value as `f64`, exactly.
    fn wide(self) -> f64;
    /// The error function, to the type's own precision (`libm`).
    fn erf(self) -> Self;
    /// The nearest integer, ties to even.
    fn round_even(self) -> Self;
    /// The variants of `kernel` for this type, fastest first.
    fn variants<S: Signature>(kernel: &Kernel<S>) -> &'static [Variant<S::Run<Self>>];
}

impl Real for f32 {
    const NAME: &'static str = "f32";
    fn of(value: f64) -> Self {
        value as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn erf(self) -> Self {
        libm::erff(self)
    }
    fn round_even(self) -> Self {
        self.round_ties_even()
    }
    fn variants<S: Signature>(kernel: &Kernel<S>) -> &'static [Variant<S::Run<f32>>] {
        kernel.f32
    }
}

impl Real for f64 {
    const NAME: &'static str = "f64";
    fn of(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn round_even(self) -> Self {
        self.round_ties_even()
    }
    fn variants<S: Signature>(kernel: &Kernel<S>) -> &'static [Variant<S::Run<f64>>] {
        kernel.f64
    }
}
