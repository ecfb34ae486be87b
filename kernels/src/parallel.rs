//! Splitting work over threads so that the result does not depend on how many
//! there are.
//!
//! Every function here cuts the work into parts whose borders depend on the
//! sizes alone. Which thread runs a part is left to rayon; what a part
//! computes, and the order in which parts are combined, is fixed.

#[cfg(target_arch = "x86_64")]
use crate::Isa;
use crate::team;
use rayon::prelude::*;
use std::ops::Range;

/// Below this many elementary operations a hand-off to another thread costs
/// more than it saves (a wake-up takes some microseconds).
pub const GRAIN: usize = 1 << 15;

/// Calls `body` on ranges that together cover `0..total`, each at most `part`
/// long, on as many threads as rayon has: helpers' of [`team`] where it is called
/// [with helpers](team::with_helpers), else rayon's own. `part` must not depend on the number
/// of threads.
pub fn for_parts(total: usize, part: usize, body: impl Fn(Range<usize>) + Send + Sync) {
    let part = part.max(1);
    let parts = total.div_ceil(part);
    let range = |i: usize| i * part..((i + 1) * part).min(total);
    if parts <= 1 || rayon::current_num_threads() == 1 || team::is_at_work() {
        (0..parts).for_each(|i| body(range(i)));
    } else if !team::shared(parts, &|i| body(range(i))) {
        (0..parts).into_par_iter().for_each(|i| body(range(i)));
    }
}

/// Asks for the cache lines of `bytes` bytes at `address`, which need not be
/// readable: what a loop will read soon, where the processor's own prefetcher
/// does not see it coming (several streams, each a page at a time).
#[inline(always)]
pub fn prefetch(address: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..bytes).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(offset).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, bytes);
}

/// From this many bytes on, an output is written past the caches.
pub const STREAMED: usize = 1 << 24;

/// Copies past the caches: what is far larger than they are is gone from them
/// before it is read again, and a plain store would first read the line that it
/// overwrites. Call [`streamed`] before another thread reads it.
///
/// # Safety
/// `from` and `to` are valid for `bytes` bytes and do not overlap.
pub unsafe fn stream(from: *const u8, to: *mut u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    if to.addr().is_multiple_of(64) && Isa::Avx512.supported().is_ok() {
        // SAFETY: the instruction set is there; the rest is the caller's promise.
        return unsafe { stream_avx512(from, to, bytes) };
    }
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn stream_avx512(from: *const u8, to: *mut u8, bytes: usize) {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_stream_si512};
    let whole = bytes / 64 * 64;
    let mut at = 0;
    while at < whole {
        // SAFETY: the caller's promise; `to` is a multiple of 64.
        unsafe { _mm512_stream_si512(to.add(at).cast(), _mm512_loadu_si512(from.add(at).cast())) };
        at += 64;
    }
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(from.add(whole), to.add(whole), bytes - whole) };
}

/// Makes what this thread has [streamed](stream) visible to others.
pub fn streamed() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// A raw pointer that may cross threads. Whoever uses it makes sure that the
/// parts handed out do not overlap.
#[derive(Clone, Copy)]
pub struct Shared<T>(*mut T);

// SAFETY: the pointer itself is plain data; every dereference is an unsafe
// call whose caller promises disjoint access.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps a slice whose disjoint parts several threads will write.
    pub fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    /// Wraps a pointer.
    pub fn from_ptr(pointer: *mut T) -> Self {
        Shared(pointer)
    }

    /// The pointer.
    pub fn get(self) -> *mut T {
        self.0
    }

    /// The part `range` of the slice this was made from.
    ///
    /// # Safety
    /// `range` lies inside that slice, the slice outlives `'a`, and no other
    /// live reference covers any element of `range`.
    pub unsafe fn part<'a>(self, range: Range<usize>) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What `work` gives on one thread and on two.
    pub(crate) fn on_one_and_two_threads<R: Send>(work: impl Fn() -> R + Sync) -> [R; 2] {
        [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool of threads").install(&work)
        })
    }

    #[test]
    fn every_index_is_covered_once_by_the_same_ranges_at_any_number_of_threads() {
        for total in [0, 1, 2, 99, 100, 101, 1000] {
            for part in [0, 1, 7, 100, 5000] {
                let [one, two] = on_one_and_two_threads(|| {
                    let visits: Vec<_> = (0..total).map(|_| AtomicUsize::new(0)).collect();
                    // Where the range that visited an index began, plus 1.
                    let starts: Vec<_> = (0..total).map(|_| AtomicUsize::new(0)).collect();
                    for_parts(total, part, |range| {
                        assert!(range.len() <= part.max(1));
                        for i in range.clone() {
                            visits[i].fetch_add(1, Ordering::Relaxed);
                            starts[i].store(range.start + 1, Ordering::Relaxed);
                        }
                    });
                    assert!(visits.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                    starts.into_iter().map(AtomicUsize::into_inner).collect::<Vec<_>>()
                });
                assert_eq!(one, two, "{total} in parts of {part}");
            }
        }
    }

    #[test]
    fn streams_copy_whatever_the_length_and_place() {
        let from: Vec<u8> = (0..=255).cycle().take(1000).collect();
        #[repr(align(64))]
        struct Aligned([u8; 1100]);
        for (start, bytes) in [(0, 0), (0, 1), (0, 63), (0, 64), (0, 1000), (1, 999), (64, 200)] {
            let mut to = Aligned([7; 1100]);
            // SAFETY: both are long enough and apart.
            unsafe { stream(from.as_ptr(), to.0.as_mut_ptr().add(start), bytes) };
            streamed();
            assert_eq!(to.0[start..start + bytes], from[..bytes]);
            let rest = to.0[..start].iter().chain(&to.0[start + bytes..]);
            assert!(rest.into_iter().all(|byte| *byte == 7), "{start} {bytes}");
        }
    }

    #[test]
    fn parts_of_a_shared_slice_are_written_where_they_lie() {
        let mut numbers = vec![0; 1000];
        let shared = Shared::new(&mut numbers);
        for_parts(1000, 64, |range| {
            // SAFETY: the ranges lie in the slice and do not overlap.
            let part = unsafe { shared.part(range.clone()) };
            part.iter_mut().zip(range).for_each(|(number, i)| *number = i);
        });
        assert!(numbers.iter().enumerate().all(|(i, number)| i == *number));
    }
}
