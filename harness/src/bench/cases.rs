//! The sizes at which ops are timed.

mod convolution;
mod half;

use speck_engine::DType::{Bf16, F16};
use speck_engine::op::{Case, Draw};
use speck_engine::ops::AveragePool2d;
use speck_engine::{DType, Graph, GraphError, NodeId, OpInfo};

/// Elements of an op that works element by element: tensors of 1 MiB, larger
/// than the first cache and smaller than the last.
const ELEMENTS: usize = 1 << 18;

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
                "1024×1024·1024×1024",
                &[(&[1024, 1024], value), (&[1024, 1024], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new(
                "2048×2048·2048×2048",
                &[(&[2048, 2048], value), (&[2048, 2048], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new(
                "512×512·512×512",
                &[(&[512, 512], value), (&[512, 512], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            // An MLP's layers at batch 256 and 64, the widest one backward.
            Case::new(
                "256×512·512×12288",
                &[(&[256, 512], value), (&[512, 12288], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new(
                "256×12288·12288×512",
                &[(&[256, 12288], value), (&[12288, 512], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new(
                "256×256·256×512",
                &[(&[256, 256], value), (&[256, 512], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new("64×512·512×512", &[(&[64, 512], value), (&[512, 512], value)], |g, x| {
                g.matmul(x[0], x[1])
            }),
            // One row, and few rows and columns with long sums.
            Case::new(
                "1×4096·4096×4096",
                &[(&[1, 4096], value), (&[4096, 4096], value)],
                |g, x| g.matmul(x[0], x[1]),
            ),
            Case::new(
                "16×65536·65536×16",
                &[(&[16, 65536], value), (&[65536, 16], value)],
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
        // The vision transformer's: 64 samples of 4 heads.
        "attention" => vec![Case::new(
            "256×64×32",
            &[(&[256, 64, 32], value), (&[256, 64, 32], value), (&[256, 64, 32], value)],
            |g, x| g.attention(x[0], x[1], x[2], 0.18, false),
        )],
        "attention_gradient" => vec![Case::new(
            "256×64×32",
            &[
                (&[256, 64, 32], value),
                (&[256, 64, 32], value),
                (&[256, 64, 32], value),
                (&[256, 64, 32], value),
            ],
            |g, x| g.attention_gradient([x[0], x[1], x[2]], x[3], 0.18, false),
        )],
        "matmul_half" => half::products(),
        "store_f16" => half::store(F16),
        "store_bf16" => half::store(Bf16),
        "widen_f16" => half::widen(F16),
        "widen_bf16" => half::widen(Bf16),
        "conv2d_half" => convolution::half_cases(0),
        "conv2d_input_gradient_half" => convolution::half_cases(1),
        "conv2d_weight_gradient_half" => convolution::half_cases(2),
        "conv2d" => convolution::cases(0),
        "conv2d_input_gradient" => convolution::cases(1),
        "conv2d_weight_gradient" => convolution::cases(2),
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
        // Looking up and training 64 features each of 4096 tokens.
        "index_select" => vec![Case::new(
            "4096 rows of 1024×64",
            &[(&[1024, 64], value), (&[4096], Draw::Index(1024))],
            |g, x| g.index_select(x[0], 0, x[1]),
        )],
        "index_add" => vec![Case::new(
            "4096 rows to 1024×64",
            &[(&[4096, 64], value), (&[4096], Draw::Index(1024))],
            |g, x| g.index_add(x[0], 0, x[1], 1024),
        )],
        "segment_max" => vec![Case::new(
            "4096 rows to 1024×64",
            &[(&[4096, 64], value), (&[4096], Draw::Index(1024))],
            |g, x| g.segment_max(x[0], 0, x[1], 1024),
        )],
        "argsort" => vec![
            Case::new("rows of 256×1024", &[(&[256, 1024], value)], |g, x| {
                g.argsort(x[0], 1, false, 1024)
            }),
            // Sparse winners: one in fifty.
            Case::new("20 largest in rows of 256×1024", &[(&[256, 1024], value)], |g, x| {
                g.argsort(x[0], 1, true, 20)
            }),
        ],
        "cumulative_sum" => vec![
            Case::new("rows of 256×1024", &[(&[256, 1024], value)], |g, x| {
                g.cumulative_sum(x[0], 1, false)
            }),
            Case::new("columns of 1024×256", &[(&[1024, 256], value)], |g, x| {
                g.cumulative_sum(x[0], 0, false)
            }),
        ],
        _ => Vec::new(),
    }
}

/// What an op is timed on: its standard sizes; else, if it works element by
/// element, its first test case stretched to [`ELEMENTS`]; else its first test
/// case that holds anything.
pub fn cases(info: &OpInfo) -> Vec<Case> {
    let standard = standard(info.name);
    if !standard.is_empty() {
        return standard;
    }
    let holds_something = |case: &Case| case.inputs.iter().all(|(shape, _)| !shape.contains(&0));
    let Some(mut case) = (info.cases)().into_iter().find(holds_something) else {
        return Vec::new();
    };
    let pointwise = build(&case).is_ok_and(|(graph, output)| graph.node(output).op.is_pointwise());
    if pointwise {
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

/// The graph of a case in f32, its inputs named by their position and its
/// output `output`.
///
/// # Errors
/// The shapes do not fit the op.
pub fn build(case: &Case) -> Result<(Graph, NodeId), GraphError> {
    let graph = Graph::new(DType::F32);
    let input = |(i, (shape, how)): (usize, &(Vec<usize>, Draw))| {
        graph.input(&i.to_string(), how.dtype(DType::F32), shape)
    };
    let inputs: Vec<_> = case.inputs.iter().enumerate().map(input).collect::<Result<_, _>>()?;
    let output = (case.build)(&graph, &inputs)?;
    graph.output("output", output)?;
    Ok((graph, output))
}
