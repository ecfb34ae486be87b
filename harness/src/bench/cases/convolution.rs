//! The sizes at which convolution and its two gradients are timed: the lab's
//! own few channels, kernels of 3 × 3 with the channels of larger networks, one
//! of each other kind, and images with zeros.

use speck_engine::op::{Case, Draw};
use speck_engine::ops::Window;
use speck_engine::{DType, Graph, GraphError, NodeId};

const VALUE: Draw = Draw::Uniform(-1.0, 1.0);

/// A convolution, by the shapes of its image, weight and result.
struct Size {
    name: &'static str,
    image: [usize; 4],
    weight: [usize; 4],
    output: [usize; 4],
    build: [Build; 3],
}

type Build = fn(&Graph, &[NodeId]) -> Result<NodeId, GraphError>;

/// A size of any window: `KERNEL`², padded so that at stride 1 the image keeps its
/// size. What the window is made of are constants, because what builds a case is a
/// plain function; sizes that a gradient has to be told are its operands', or follow
/// from them.
const fn sized<
    const KERNEL: usize,
    const STRIDE: usize,
    const DILATION: usize,
    const GROUPS: usize,
>(
    name: &'static str,
    batch: usize,
    [i, o]: [usize; 2],
    size: usize,
) -> Size {
    Size {
        name,
        image: [batch, i, size, size],
        weight: [o, i / GROUPS, KERNEL, KERNEL],
        output: [batch, o, size / STRIDE, size / STRIDE],
        build: [
            |g, x| g.conv2d(x[0], x[1], window::<KERNEL, STRIDE, DILATION, GROUPS>()),
            |g, x| {
                let size = [2, 3].map(|axis| g.shape(x[0])[axis] * STRIDE);
                let window = window::<KERNEL, STRIDE, DILATION, GROUPS>();
                g.conv2d_input_gradient(x[0], x[1], window, size)
            },
            |g, x| {
                let window = window::<KERNEL, STRIDE, DILATION, GROUPS>();
                g.conv2d_weight_gradient(x[0], x[1], window, [KERNEL; 2])
            },
        ],
    }
}

fn window<const KERNEL: usize, const STRIDE: usize, const DILATION: usize, const GROUPS: usize>()
-> Window {
    let padding = [DILATION * (KERNEL - 1) / 2; 2];
    Window { stride: [STRIDE; 2], padding, dilation: [DILATION; 2], groups: GROUPS }
}

/// A size of kernel 3 × 3 without dilation.
const fn three<const STRIDE: usize, const GROUPS: usize>(
    name: &'static str,
    batch: usize,
    channels: [usize; 2],
    size: usize,
) -> Size {
    sized::<3, STRIDE, 1, GROUPS>(name, batch, channels, size)
}

const SIZES: [Size; 17] = [
    // The CNN's first two blocks.
    three::<1, 1>("3→8 at 64×64", 64, [3, 8], 64),
    three::<1, 1>("8→16 at 32×32", 64, [8, 16], 32),
    three::<1, 1>("32→32 at 64×64", 4, [32, 32], 64),
    three::<1, 1>("32→32 at 32×32", 16, [32, 32], 32),
    three::<1, 1>("32→32 at 16×16", 16, [32, 32], 16),
    three::<1, 1>("64→64 at 64×64", 4, [64, 64], 64),
    three::<1, 1>("64→64 at 32×32", 16, [64, 64], 32),
    three::<1, 1>("64→64 at 16×16", 16, [64, 64], 16),
    three::<1, 1>("128→128 at 64×64", 4, [128, 128], 64),
    three::<1, 1>("128→128 at 32×32", 16, [128, 128], 32),
    three::<1, 1>("128→128 at 16×16", 16, [128, 128], 16),
    sized::<1, 1, 1, 1>("1×1, 64→64 at 32×32", 16, [64, 64], 32),
    sized::<5, 1, 1, 1>("5×5, 32→32 at 32×32", 16, [32, 32], 32),
    three::<2, 1>("stride 2, 32→64 at 32×32", 16, [32, 64], 32),
    sized::<3, 1, 2, 1>("dilation 2, 32→32 at 32×32", 16, [32, 32], 32),
    three::<1, 4>("4 groups, 64→64 at 32×32", 16, [64, 64], 32),
    three::<1, 64>("depthwise, 64 at 32×32", 16, [64, 64], 32),
];

/// The shape whose image, or cotangent, holds zeros as after a ReLU, and the
/// shares of zeros: where it pays to skip them.
const SPARSE: Size = three::<1, 1>("", 16, [64, 64], 32);
const ZEROS: [(&str, f64); 3] = [
    ("64→64 at 32×32, 50 % zeros", 0.5),
    ("64→64 at 32×32, 70 % zeros", 0.7),
    ("64→64 at 32×32, 90 % zeros", 0.9),
];

/// The cases of pass 0 (forward), 1 (gradient of the image) or 2 (of the
/// weight).
pub(super) fn cases(pass: usize) -> Vec<Case> {
    let dense = SIZES.iter().map(|size| case(pass, size, size.name, [VALUE; 2]));
    let zeros = ZEROS.iter().map(|(name, zeros)| {
        let sparse = Draw::Sparse { low: -1.0, high: 1.0, zeros: *zeros };
        case(pass, &SPARSE, name, [sparse, VALUE])
    });
    dense.chain(zeros).collect()
}

fn case(pass: usize, size: &Size, name: &'static str, [first, second]: [Draw; 2]) -> Case {
    let operands = match pass {
        0 => [size.image, size.weight],
        1 => [size.output, size.weight],
        _ => [size.image, size.output],
    };
    let [a, b] = &operands;
    Case::new(name, &[(a, first), (b, second)], size.build[pass])
}

/// The same of operands stored in 16 bits, of a few sizes.
const HALF: [(&str, &str, DType); 7] = [
    ("bf16, 3→8 at 64×64", "3→8 at 64×64", DType::Bf16),
    ("bf16, 32→32 at 32×32", "32→32 at 32×32", DType::Bf16),
    ("bf16, 64→64 at 32×32", "64→64 at 32×32", DType::Bf16),
    ("bf16, 128→128 at 16×16", "128→128 at 16×16", DType::Bf16),
    ("bf16, 1×1, 64→64 at 32×32", "1×1, 64→64 at 32×32", DType::Bf16),
    ("bf16, stride 2, 32→64 at 32×32", "stride 2, 32→64 at 32×32", DType::Bf16),
    ("f16, 64→64 at 32×32", "64→64 at 32×32", DType::F16),
];

/// As [`cases`], of operands stored in 16 bits.
pub(super) fn half_cases(pass: usize) -> Vec<Case> {
    let found = |name: &str| SIZES.iter().find(|size| size.name == name);
    let half = HALF.iter().filter_map(|(name, size, dtype)| {
        Some(case(pass, found(size)?, name, [Draw::Stored(*dtype); 2]))
    });
    half.collect()
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::*;

    #[test]
    fn every_size_of_16_bits_is_one_of_32() {
        for pass in 0..3 {
            let cases = half_cases(pass);
            assert_eq!(cases.len(), HALF.len());
            for case in &cases {
                build(case).expect(case.name);
            }
        }
    }

    #[test]
    fn every_size_fits_all_three_passes() {
        for pass in 0..3 {
            for (case, size) in cases(pass).iter().zip(&SIZES) {
                let (graph, output) = build(case).expect(case.name);
                let expected = [size.output, size.image, size.weight][pass];
                assert_eq!(graph.shape(output), expected, "{}", case.name);
            }
        }
    }
}
