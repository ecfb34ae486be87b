//! No step of a compiled program allocates.

#[path = "common/adam.rs"]
mod adam;
#[path = "common/cnn.rs"]
mod cnn;
#[path = "../../tests/allocations.rs"]
mod counting;

use cnn::Training;
use counting::{Counting, allocations};
use speck_engine::Options;
use speck_engine::kernels::Choice;

#[global_allocator]
static COUNTING: Counting = Counting;

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
