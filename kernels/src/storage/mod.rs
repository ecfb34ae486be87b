//! Numbers stored in 16 bits, and the way there and back.
//!
//! An array in 16 bits takes half the time to read and half the room. Nothing is
//! computed in 16 bits: values are widened where they are read, computed with in
//! `f32`, and rounded where they are written. Widening is exact. Rounding is to
//! nearest, ties to even, with subnormal numbers, and every variant gives the same
//! bits, those of NaNs included.
//!
//! The kernels run on the calling thread, on one tile of an element-wise group at
//! a time (`engine/src/program/group.rs`): the numbers come from or go to a tile in
//! the first-level cache, so that memory sees 16 bits only.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod format;
pub mod gpu;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod scalar;
#[cfg(test)]
mod tests;

pub use format::{Bf16, F16, Storage};
#[cfg(target_arch = "x86_64")]
pub(crate) use pairs::{pair, pair_planes, pairs_of};

use crate::isa::Isa;
use crate::real::Real;
use crate::variant::{Kernel, KernelStatus, Signature, Variant};

/// `(from, to, n)`: the numbers that are stored.
///
/// # Safety
/// Both pointers are valid for `n` elements, which do not overlap. The variant's
/// instruction set is available.
pub struct Widen;

impl Signature for Widen {
    type Run<T: Real> = unsafe fn(*const u16, *mut T, usize);
}

/// `(from, to, n)`: the numbers as they are stored.
///
/// # Safety
/// As for [`Widen`].
pub struct Store;

impl Signature for Store {
    type Run<T: Real> = unsafe fn(*const T, *mut u16, usize);
}

/// From f16.
pub static WIDEN_F16: Kernel<Widen> = Kernel {
    name: "widen_f16",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::widen_f16 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2F16c, run: avx2::widen_f16 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::widen::<false, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::widen::<false, f64> }],
};

/// From bf16.
pub static WIDEN_BF16: Kernel<Widen> = Kernel {
    name: "widen_bf16",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::widen_bf16 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::widen_bf16 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::widen::<true, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::widen::<true, f64> }],
};

/// To f16; infinity from 65520 on.
pub static STORE_F16: Kernel<Store> = Kernel {
    name: "store_f16",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::store_f16 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2F16c, run: avx2::store_f16 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::store::<false, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::store::<false, f64> }],
};

/// To bf16.
pub static STORE_BF16: Kernel<Store> = Kernel {
    name: "store_bf16",
    f32: &[
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512_bf16", isa: Isa::Avx512Bf16, run: avx512::store_bf16_pairs },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx512", isa: Isa::Avx512, run: avx512::store_bf16 },
        #[cfg(target_arch = "x86_64")]
        Variant { name: "avx2", isa: Isa::Avx2, run: avx2::store_bf16 },
        Variant { name: "scalar", isa: Isa::Portable, run: scalar::store::<true, f32> },
    ],
    f64: &[Variant { name: "scalar", isa: Isa::Portable, run: scalar::store::<true, f64> }],
};

impl Storage {
    /// The kernel that widens this format.
    pub fn widen(self) -> &'static Kernel<Widen> {
        match self {
            Storage::F16 => &WIDEN_F16,
            Storage::Bf16 => &WIDEN_BF16,
        }
    }

    /// Its variant of this name, for kernels of the same instruction set that widen
    /// what they read; `scalar` where there is none.
    pub(crate) fn widen_as<T: Real>(self, name: &str) -> <Widen as Signature>::Run<T> {
        let variants = T::variants(self.widen());
        let found = variants.iter().find(|variant| variant.name == name);
        found.unwrap_or(&variants[variants.len() - 1]).run
    }

    /// The kernel that rounds to this format.
    pub fn round(self) -> &'static Kernel<Store> {
        match self {
            Storage::F16 => &STORE_F16,
            Storage::Bf16 => &STORE_BF16,
        }
    }
}

/// The kernels of this family.
pub fn kernels() -> Vec<KernelStatus> {
    vec![WIDEN_F16.status(), WIDEN_BF16.status(), STORE_F16.status(), STORE_BF16.status()]
}
