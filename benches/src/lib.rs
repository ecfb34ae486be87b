//! What the benches share: how long they measure, and on how many threads.

use criterion::Criterion;
use std::time::Duration;

/// Runs `benches` on a pool of `threads` threads: every parallel loop in them
/// uses these and no others.
///
/// The whole of a bench runs on the pool, not each iteration of it, so that no
/// hand-over between threads is timed.
///
/// # Panics
/// If the system refuses the threads.
pub fn on_threads(threads: usize, benches: impl FnOnce(&mut Criterion) + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool of threads").install(|| {
        // There are hundreds of benches, and most of what is asked of them is
        // which of two is faster: a second each, and no more resampling than
        // an interval in three digits needs. The command line can say otherwise.
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(20)
            .nresamples(5_000)
            .without_plots()
            .configure_from_args();
        benches(&mut criterion);
        criterion.final_summary();
    });
}
