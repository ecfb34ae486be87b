//! The specification: one value after the other, by [`Storage`]'s rules.

use super::Storage;
use crate::real::Real;

/// The stored values as numbers, exactly.
///
/// # Safety
/// As for [`super::Widen`].
pub(super) unsafe fn widen<const BF16: bool, T: Real>(from: *const u16, to: *mut T, n: usize) {
    for i in 0..n {
        // SAFETY: the caller's promise.
        unsafe { *to.add(i) = T::of(f64::from(format::<BF16>().load(*from.add(i)))) };
    }
}

/// The numbers as they are stored, each rounded once.
///
/// # Safety
/// As for [`super::Store`].
pub(super) unsafe fn store<const BF16: bool, T: Real>(from: *const T, to: *mut u16, n: usize) {
    for i in 0..n {
        // SAFETY: the caller's promise.
        unsafe { *to.add(i) = format::<BF16>().store_wide((*from.add(i)).wide()) };
    }
}

fn format<const BF16: bool>() -> Storage {
    if BF16 { Storage::Bf16 } else { Storage::F16 }
}
