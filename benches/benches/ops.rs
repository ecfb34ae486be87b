//! Every kernel variant of every op, as the registry lists them, on one thread.
//!
//! A bench compiles a program of one op with the variant forced, so what is
//! timed is what a model pays for the op: the kernel and its share of the
//! executor. Its name is `op/case/kernel:variant`; the last part is what
//! `SPECK_KERNEL` takes.

use criterion::{BenchmarkId, Criterion, Throughput};
use speck_engine::kernels::Choice;
use speck_engine::op::Case;
use speck_engine::ops::ALL;
use speck_engine::{Cost, DType, Options, Program, State, check};
use speck_harness::bench::cases::{build, cases};
use std::cell::{LazyCell, OnceCell};

/// From this many floating-point operations a byte on, the processor's
/// arithmetic rather than its memory is what limits a good kernel.
const INTENSE: u64 = 8;

/// What a second is divided by: work where there is much of it for each byte,
/// else bytes.
fn throughput(cost: Cost) -> Throughput {
    let bytes = cost.read + cost.written;
    if cost.flops >= INTENSE * bytes {
        return Throughput::Elements(cost.flops);
    }
    Throughput::BytesDecimal(bytes)
}

/// Times `case` of the op `name` on the kernel variant `label`; `inputs` gives
/// the case's values.
fn bench(
    criterion: &mut Criterion,
    name: &str,
    case: &Case,
    inputs: impl Fn(&mut Program),
    label: &str,
) {
    let kernels = Choice::parse(label).expect("a variant of the registry");
    // No pass may take the op away, as folding does with one without inputs.
    let without = speck_engine::passes::ALL.iter().map(|pass| pass.name.to_owned()).collect();
    let options = Options { kernels, without, poison: false };
    let mut program = Program::compile(&build(case).expect("a case that can be built").0, &options)
        .expect("a program");
    assert!(program.to_string().contains(label), "{label} does not run in\n{program}");

    let mut group = criterion.benchmark_group(name);
    group.throughput(throughput(program.cost()));
    let mut state = State::default();
    // Criterion calls the closure several times, or never if it is filtered out.
    let fed = OnceCell::new();
    group.bench_function(BenchmarkId::new(case.name, label), |bencher| {
        fed.get_or_init(|| inputs(&mut program));
        bencher.iter(|| program.run(&mut state).expect("a run"));
    });
    group.finish();
}

fn main() {
    speck_benches::on_threads(1, |criterion| {
        for info in ALL {
            // Ops without kernels are sources, and views of their input: nothing to time.
            let kernels = (info.kernels)();
            if kernels.is_empty() {
                continue;
            }
            for case in &cases(info) {
                let values = LazyCell::new(|| check::tensors(case, DType::F32, 0));
                let inputs = |program: &mut Program| {
                    for (i, value) in values.iter().enumerate() {
                        program.set_input(&i.to_string(), value).expect("the input's own type");
                    }
                };
                for kernel in &kernels {
                    let supported = kernel.f32.iter().filter(|variant| variant.refused.is_none());
                    for variant in supported {
                        let label = format!("{}:{}", kernel.name, variant.name);
                        bench(criterion, info.name, case, inputs, &label);
                    }
                }
            }
        }
    });
}
