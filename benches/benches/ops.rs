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

const PADDED: Window = Window { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
const HALVES: AveragePool2d = AveragePool2d {
    kernel: [2, 2],
    stride: [2, 2],
    padding: [0, 0],
    count_padding: true,
    ceil_mode: false,
    divisor: None,
};

/// The sizes at which ops occur in the lab's models at batch 64, by the op's
/// name. Empty where there is nothing to say about the op's size.
fn standard(name: &str) -> Vec<Case> {
    let value = Draw::Uniform(-1.0, 1.0);
    let colour = Draw::Uniform(0.0, 1.0);
    let pixel = Draw::Index(64);
    match name {
        "matmul" => vec![
            Case::new(
                "512×512·512×512",
                &[(&[512, 512], value), (&[512, 512], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            // The MLP's first layer on an image, forward and for its weights.
            Case::new(
                "64×12288·(64×12288)ᵀ",
                &[(&[64, 12288], value), (&[64, 12288], value)],
                |g, x| g.matmul_with(x[0], x[1], false, true),
            ),
            Case::new(
                "(64×64)ᵀ·64×12288",
                &[(&[64, 64], value), (&[64, 12288], value)],
                |g, x| g.matmul_with(x[0], x[1], true, false),
            ),
        ],
        // The CNN's first two blocks.
        "conv2d" => vec![
            Case::new(
                "3→8 at 64×64",
                &[(&[64, 3, 64, 64], value), (&[8, 3, 3, 3], value)],
                |g, x| g.conv2d(x[0], x[1], PADDED),
            ),
            Case::new(
                "8→16 at 32×32",
                &[(&[64, 8, 32, 32], value), (&[16, 8, 3, 3], value)],
                |g, x| g.conv2d(x[0], x[1], PADDED),
            ),
        ],
        "conv2d_input_gradient" => vec![Case::new(
            "8→16 at 32×32",
            &[(&[64, 16, 32, 32], value), (&[16, 8, 3, 3], value)],
            |g, x| g.conv2d_input_gradient(x[0], x[1], PADDED, [32, 32]),
        )],
        "conv2d_weight_gradient" => vec![
            Case::new(
                "3→8 at 64×64",
                &[(&[64, 3, 64, 64], value), (&[64, 8, 64, 64], value)],
                |g, x| g.conv2d_weight_gradient(x[0], x[1], PADDED, [3, 3]),
            ),
            Case::new(
                "8→16 at 32×32",
                &[(&[64, 8, 32, 32], value), (&[64, 16, 32, 32], value)],
                |g, x| g.conv2d_weight_gradient(x[0], x[1], PADDED, [3, 3]),
            ),
        ],
        "max_pool2d_indices" => {
            vec![Case::new("2×2 of 64×8×64×64", &[(&[64, 8, 64, 64], value)], |g, x| {
                g.max_pool2d_indices(x[0], [2, 2], [2, 2], [0, 0])
            })]
        }
        "average_pool2d" => {
            vec![Case::new("2×2 of 64×8×64×64", &[(&[64, 8, 64, 64], value)], |g, x| {
                g.average_pool2d(x[0], HALVES)
            })]
        }
        "average_pool2d_gradient" => {
            vec![Case::new("2×2 of 64×8×64×64", &[(&[64, 8, 32, 32], value)], |g, x| {
                g.average_pool2d_gradient(x[0], HALVES, [64, 64])
            })]
        }
        "sum" => vec![
            Case::new("batch and space", &[(&[64, 8, 32, 32], value)], |g, x| {
                g.sum(x[0], &[0, 2, 3])
            }),
            Case::new("columns", &[(&[2048, 128], value)], |g, x| g.sum(x[0], &[0])),
            Case::new("rows", &[(&[2048, 128], value)], |g, x| g.sum(x[0], &[1])),
        ],
        "max" => {
            vec![Case::new("rows", &[(&[2048, 128], value)], |g, x| g.max(x[0], &[1]))]
        }
        "argmax" => {
            vec![Case::new("rows", &[(&[2048, 128], value)], |g, x| g.argmax(x[0], 1))]
        }
        "softmax" => {
            vec![Case::new("rows", &[(&[2048, 64], value)], |g, x| g.softmax(x[0], 1))]
        }
        "log_softmax" => {
            vec![Case::new("rows", &[(&[2048, 64], value)], |g, x| g.log_softmax(x[0], 1))]
        }
        "render" => vec![Case::new(
            "64 screens",
            &[(&[64, 1, 2], pixel), (&[64, 1, 3], colour), (&[1, 3], colour)],
            |g, x| g.render(x[0], x[1], x[2], [64, 64], 1),
        )],
        "unrender" => vec![Case::new(
            "64 screens",
            &[(&[64, 4, 2], pixel), (&[64, 3, 64, 64], value)],
            |g, x| g.unrender(x[0], x[1], 1),
        )],
        "speck_targets" => vec![Case::new("64 screens", &[(&[64, 4, 2], pixel)], |g, x| {
            g.speck_targets(x[0], [64, 64], 1)
        })],
        "random_uniform" => vec![Case::new(
            "1 MiB",
            &[(&[2], Draw::Index(100)), (&[], Draw::Index(100))],
            |g, x| g.random_uniform(&[ELEMENTS], x[0], x[1]),
        )],
        "random_normal" => vec![Case::new(
            "1 MiB",
            &[(&[2], Draw::Index(100)), (&[], Draw::Index(100))],
            |g, x| g.random_normal(&[ELEMENTS], x[0], x[1]),
        )],
        "iota" => vec![Case::new("1 MiB", &[], |g, _| g.iota(ELEMENTS))],
        "cast" => vec![Case::new("1 MiB", &[(&[ELEMENTS], pixel)], |g, x| g.cast(x[0]))],
        "increment" => {
            vec![Case::new("1 MiB", &[(&[ELEMENTS], pixel)], |g, x| g.increment(x[0]))]
        }
        "expand" => vec![
            Case::new("row", &[(&[128], value)], |g, x| g.expand(x[0], &[2048, 128])),
            Case::new("channel", &[(&[8, 1, 1], value)], |g, x| g.expand(x[0], &[64, 8, 32, 32])),
        ],
        "permute" => vec![
            Case::new("transpose", &[(&[512, 512], value)], |g, x| g.permute(x[0], &[1, 0])),
            Case::new("channels last", &[(&[64, 8, 32, 32], value)], |g, x| {
                g.permute(x[0], &[0, 2, 3, 1])
            }),
        ],
        "narrow" => vec![Case::new("half of each row", &[(&[2048, 128], value)], |g, x| {
            g.narrow(x[0], 1, 64, 1, 64)
        })],
        "embed" => vec![Case::new("half of each row", &[(&[2048, 64], value)], |g, x| {
            g.embed(x[0], 1, 64, 1, 128)
        })],
        "concat" => vec![Case::new(
            "two channels to 64 screens",
            &[(&[64, 3, 64, 64], value), (&[64, 2, 64, 64], value)],
            |g, x| g.concat(x, 1),
        )],
        // Max pooling and its gradient, with one index in four.
        "gather" => vec![Case::new(
            "512×1024 of 512×4096",
            &[(&[512, 4096], value), (&[512, 1024], Draw::Index(4096))],
            |g, x| g.gather(x[0], 1, x[1]),
        )],
        "scatter_add" => vec![Case::new(
            "512×1024 to 512×4096",
            &[(&[512, 1024], value), (&[512, 1024], Draw::Index(4096))],
            |g, x| g.scatter_add(x[0], 1, x[1], 4096),
        )],
        _ => Vec::new(),
    }
}

/// What an op is timed on: its standard sizes; else, if it works element by
/// element, its first test case stretched to [`ELEMENTS`]; else its first test
/// case that holds anything.
fn cases(info: &OpInfo) -> Vec<Case> {
    let standard = standard(info.name);
    if !standard.is_empty() {
        return standard;
    }
    let holds_something = |case: &Case| case.inputs.iter().all(|(shape, _)| !shape.contains(&0));
    let Some(mut case) = (info.cases)().into_iter().find(holds_something) else {
        panic!("`{}` has kernels but no case to time them on", info.name);
    };
    let (graph, output) = build(&case);
    if graph.node(output).op.is_pointwise() {
        case.name = "1 MiB";
        for (shape, how) in &mut case.inputs {
            *shape = vec![ELEMENTS];
            // To have no ties costs a sort, and is nothing to a timing.
            if *how == Draw::Distinct {
                *how = Draw::Uniform(-1.0, 1.0);
            }
        }
    }
    vec![case]
}

/// The graph of a case, its inputs named by their position.
fn build(case: &Case) -> (Graph, speck_engine::NodeId) {
    let graph = Graph::new(DType::F32);
    let input = |(i, (shape, how)): (usize, &(Vec<usize>, Draw))| {
        graph.input(&i.to_string(), dtype(*how), shape).expect("an input")
    };
    let inputs: Vec<_> = case.inputs.iter().enumerate().map(input).collect();
    let output = (case.build)(&graph, &inputs).expect("a case that can be built");
    graph.output("output", output).expect("an output");
    (graph, output)
}

fn dtype(how: Draw) -> DType {
    if matches!(how, Draw::Index(_)) { DType::I32 } else { DType::F32 }
}

fn values(case: &Case) -> Vec<Tensor> {
    let tensor = |(index, (shape, how)): (usize, &(Vec<usize>, Draw))| {
        let ty = TensorType::new(dtype(*how), shape);
        Tensor::new(&ty, &draw(*how, ty.elements(), index, 0))
    };
    case.inputs.iter().enumerate().map(tensor).collect()
}

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
