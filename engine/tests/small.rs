//! Small work stays on its thread and costs little beside its arithmetic.

#[path = "common/adam.rs"]
mod adam;
#[path = "common/small.rs"]
mod small;

use std::time::Instant;

#[test]
fn a_small_training_step_takes_microseconds() {
    let (mut program, mut state) = small::training();
    let mut first = None;
    let mut best = f64::INFINITY;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..20 {
            program.run(&mut state).expect("a run");
            first = first.or(Some(program.values::<f32>("loss").expect("an output")[0]));
        }
        best = best.min(start.elapsed().as_secs_f64() / 20.0);
    }
    let last = program.values::<f32>("loss").expect("an output")[0];
    assert!(first.is_some_and(|first| last < 0.5 * first), "{first:?} became {last}");
    println!("{:.1} µs a step of {} kernel calls", best * 1e6, program.steps());
    // 9 µs on a server of 2025; the limit is for slow machines under load.
    let limit = if cfg!(debug_assertions) { 20e-3 } else { 100e-6 };
    assert!(best < limit, "{:.1} µs a step", best * 1e6);
    assert!(program.steps() < 40, "{} kernel calls", program.steps());
}
