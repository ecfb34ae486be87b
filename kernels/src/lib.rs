//! Loops over slices.
//!
//! One folder an operation family; inside it one file an instruction set.
//! `scalar.rs` is the specification: the plainest loop that is right, generic
//! over `f32` and `f64`. The other files hold faster variants of the same
//! contract. This crate knows shapes and strides; it knows no graph and no
//! gradient.
//!
//! A kernel is a [`Kernel`]: a name and one ordered table of [`Variant`]s, the
//! fastest first and `scalar` last. Which variant runs is decided once, when a
//! program is compiled, by [`Kernel::select`]; a [`Choice`] can force it.

pub mod attention;
pub mod choice;
pub mod convert;
pub mod convolution;
pub mod eigen;
pub mod elementwise;
pub mod gpu;
pub mod isa;
pub mod largest;
pub mod matmul;
pub mod movement;
pub mod norm;
pub mod parallel;
pub mod peak;
pub mod picked;
pub mod pooling;
pub mod random;
pub mod real;
pub mod reduce;
pub mod render;
pub mod rows;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod storage;
pub mod team;
#[cfg(test)]
mod testing;
pub mod variant;
pub mod window;

pub use choice::Choice;
pub use isa::Isa;
pub use real::Real;
pub use variant::{Kernel, KernelError, KernelStatus, Signature, Variant, VariantStatus};

/// FNV-1a (Fowler, Noll and Vo), 64 bits: a short name for many bytes.
pub fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Every kernel of this crate with its variants and whether they run here:
/// the source of `speck list kernels` and of the names a [`Choice`] may use.
pub fn all() -> Vec<KernelStatus> {
    let mut kernels = Vec::new();
    kernels.extend(elementwise::kernels());
    kernels.extend(matmul::kernels());
    kernels.extend(convolution::kernels());
    kernels.extend(pooling::kernels());
    kernels.extend(reduce::kernels());
    kernels.extend(softmax::kernels());
    kernels.extend(attention::kernels());
    kernels.extend(norm::kernels());
    kernels.extend(movement::kernels());
    kernels.extend(sort::kernels());
    kernels.extend(scan::kernels());
    kernels.extend(eigen::kernels());
    kernels.extend(convert::kernels());
    kernels.extend(storage::kernels());
    kernels.extend(random::kernels());
    kernels.extend(render::kernels());
    kernels.extend(rows::kernels());
    kernels.extend(largest::kernels());
    kernels.extend(window::kernels());
    kernels.extend(picked::kernels());
    kernels
}
