//! What calling kernels costs: a training step of a few thousand parameters.

#[path = "../../engine/tests/common/adam.rs"]
mod adam;
#[path = "../../engine/tests/common/small.rs"]
mod small;

fn main() {
    for threads in [1, 2] {
        speck_benches::on_threads(threads, |criterion| {
            let (mut program, mut state) = small::training();
            let name = format!("small step/{threads} threads");
            criterion.bench_function(&name, |bencher| {
                bencher.iter(|| program.run(&mut state).expect("a run"));
            });
        });
    }
}
