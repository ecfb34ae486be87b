//! No step of a compiled program allocates.
//!
//! This binary counts every allocation of its process, so it holds one test
//! only: a second one, or the harness starting it, would be counted too.

#[path = "common/adam.rs"]
mod adam;
#[path = "common/cnn.rs"]
mod cnn;

use cnn::Training;
use speck_engine::Options;
use speck_engine::kernels::Choice;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often memory was allocated, on any thread, while `work` ran.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    work();
    ALLOCATIONS.load(Ordering::SeqCst) - before
}

#[test]
fn no_step_allocates() {
    // The counter counts, also what another thread allocates.
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
    assert!(allocations(|| std::thread::scope(|s| drop(s.spawn(|| vec![1u8; 100])))) > 0);

    for kernels in ["", "*:scalar"] {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let counts = pool.expect("a pool of threads").install(|| {
                let kernels = Choice::parse(kernels).expect("a choice");
                let mut training = Training::new(&Options { kernels, ..Options::default() });
                // The first step finds the slots of the state, and wakes the
                // threads, each of which sets itself up once.
                training.step(0).expect("a step");
                let mut counts = [0; 20];
                for (i, count) in counts.iter_mut().enumerate() {
                    *count = allocations(|| {
                        training.step(i + 1).expect("a step");
                    });
                }
                counts
            });
            assert_eq!(counts, [0; 20], "allocations a step, {threads} threads, `{kernels}`");
        }
    }
}
