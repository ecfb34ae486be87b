//! Sizes around the edges of what shaders work on at a time: 16 steps of a sum, tiles of
//! 32, 64 and 128, workgroups of 64 and 256, subgroups of 4 to 64, and what is cut into
//! parts because it is long. Those that an op's own cases do not have.

use crate::dtype::DType::{Bf16, F16};
use crate::graph::{Graph, GraphError, NodeId};
use crate::op::{Case, Draw};
use crate::ops::{AveragePool2d, PicksShape, PoolWindow, TileShape, Window};

const VALUE: Draw = Draw::Uniform(-1.0, 1.0);

type Built = Result<NodeId, GraphError>;
type Build = fn(&Graph, &[NodeId]) -> Built;

fn case(shapes: &[&[usize]], build: Build) -> Case {
    let inputs: Vec<_> = shapes.iter().map(|shape| (*shape, VALUE)).collect();
    Case::new("ragged", &inputs, build)
}

/// All of them, with the names of their ops.
pub(super) fn cases() -> Vec<(&'static str, Case)> {
    let named = |name: &'static str, cases: Vec<Case>| {
        cases.into_iter().map(move |case| (name, case)).collect::<Vec<_>>()
    };
    let all = [
        named("matmul", products()),
        named("conv2d", convolutions()),
        named("sum", sums()),
        named("max", largest()),
        named("softmax", softmaxes()),
        named("norm", norms()),
        named("moments", moments()),
        named("scatter_add", scattered()),
        named("attention", attentions()),
        named("max_pool2d", pools()),
        named("exp", functions()),
        named("store_f16", stored()),
        named("picked_conv", picked()),
        named("window_tile", tiles()),
    ];
    all.into_iter().flatten().collect()
}

/// Both operands as they are and transposed; the gradients have the other ones.
fn products() -> Vec<Case> {
    let build: Build = |g, x| g.matmul(x[0], x[1]);
    let sizes = [
        [0, 3, 5],
        [3, 0, 5],
        [5, 3, 0],
        [20, 0, 20],
        [1, 1, 1],
        [1, 300, 70],
        [300, 70, 1],
        [2, 257, 33],
        [7, 15, 40],
        [9, 2000, 5],
        [15, 17, 64],
        [16, 16, 16],
        [17, 15, 31],
        [31, 33, 65],
        [33, 16, 129],
        [63, 65, 64],
        [65, 1, 63],
        [129, 9, 127],
        [257, 31, 30],
        [64, 300, 64],
        [130, 8, 257],
        [20, 1100, 20],
    ];
    let mut cases: Vec<_> =
        sizes.iter().map(|[m, k, n]| case(&[&[*m, *k], &[*k, *n]], build)).collect();
    cases.push(case(&[&[3, 17, 19], &[3, 19, 33]], build));
    cases.push(case(&[&[2, 3, 1, 40], &[2, 3, 40, 5]], build));
    cases.push(case(&[&[2, 65, 33], &[2, 33, 66]], build));
    cases
}

const fn window(stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2]) -> Window {
    Window { stride, padding, dilation, groups: 1 }
}

fn convolutions() -> Vec<Case> {
    let plain: Build = |g, x| g.conv2d(x[0], x[1], Window::default());
    let padded: Build = |g, x| g.conv2d(x[0], x[1], window([1, 1], [1, 1], [1, 1]));
    let strided: Build = |g, x| g.conv2d(x[0], x[1], window([2, 3], [1, 2], [1, 1]));
    let dilated: Build = |g, x| g.conv2d(x[0], x[1], window([1, 2], [2, 0], [2, 3]));
    let grouped: Build =
        |g, x| g.conv2d(x[0], x[1], Window { groups: 2, ..window([1, 1], [1, 0], [1, 1]) });
    vec![
        case(&[&[0, 2, 4, 4], &[3, 2, 3, 3]], plain),
        case(&[&[1, 1, 1, 1], &[1, 1, 1, 1]], plain),
        case(&[&[3, 17, 5, 7], &[33, 17, 1, 1]], plain),
        case(&[&[2, 3, 9, 8], &[65, 3, 3, 3]], padded),
        case(&[&[1, 33, 6, 11], &[31, 33, 3, 3]], padded),
        case(&[&[2, 129, 3, 3], &[2, 129, 3, 3]], padded),
        case(&[&[5, 4, 16, 16], &[32, 4, 3, 3]], padded),
        case(&[&[2, 5, 13, 12], &[17, 5, 4, 5]], strided),
        case(&[&[1, 2, 16, 17], &[70, 2, 3, 2]], strided),
        case(&[&[2, 3, 12, 11], &[9, 3, 3, 2]], dilated),
        case(&[&[2, 66, 4, 5], &[10, 33, 3, 2]], grouped),
    ]
}

/// Along the last dimension, the first, the middle one, and all but the middle one.
fn sums() -> Vec<Case> {
    let first: Build = |g, x| g.sum(x[0], &[0]);
    let second: Build = |g, x| g.sum(x[0], &[1]);
    let channels: Build = |g, x| g.sum(x[0], &[0, 2]);
    let mut cases = Vec::new();
    for length in [0, 1, 2, 31, 255, 256, 257, 4097, 70_001] {
        cases.push(case(&[&[length]], first));
    }
    for [m, n] in [[0, 3], [3, 0], [300, 3], [3, 300], [257, 33], [33, 1025], [9001, 7], [1, 65]] {
        cases.push(case(&[&[m, n]], first));
        cases.push(case(&[&[m, n]], second));
    }
    cases.push(case(&[&[5, 70, 3]], second));
    cases.push(case(&[&[2, 1, 513]], second));
    for [n, c, p] in [[5, 3, 700], [40, 2, 1025], [700, 5, 3], [1, 4, 9000], [0, 3, 4]] {
        cases.push(case(&[&[n, c, p]], channels));
    }
    cases
}

fn largest() -> Vec<Case> {
    let distinct =
        |shape: &[usize], build: Build| Case::new("ragged", &[(shape, Draw::Distinct)], build);
    let columns: Build = |g, x| g.max(x[0], &[0]);
    let rows: Build = |g, x| g.max(x[0], &[1]);
    vec![
        distinct(&[257], columns),
        distinct(&[9001], columns),
        distinct(&[33, 65], columns),
        distinct(&[33, 65], rows),
        distinct(&[1025, 3], columns),
        distinct(&[3, 1025], rows),
    ]
}

fn softmaxes() -> Vec<Case> {
    let rows: Build = |g, x| g.softmax(x[0], 1);
    let logarithm: Build = |g, x| g.log_softmax(x[0], 1);
    let columns: Build = |g, x| g.softmax(x[0], 0);
    let mut cases = Vec::new();
    for [m, n] in [
        [0, 5],
        [1, 1],
        [3, 31],
        [9, 32],
        [2, 33],
        [5, 64],
        [1, 127],
        [257, 130],
        [3, 255],
        [2, 257],
        [3, 1025],
    ] {
        cases.push(case(&[&[m, n]], rows));
        cases.push(case(&[&[m, n]], logarithm));
        cases.push(case(&[&[m, n]], columns));
    }
    cases
}

/// Layer norms, RMS norms and group norms.
fn norms() -> Vec<Case> {
    let layer: Build = |g, x| g.layer_norm(x[0], x[1], x[2], 1e-2);
    let root: Build = |g, x| g.rms_norm(x[0], &g.shape(x[1]), Some(x[1]), Some(1e-2));
    let group: Build = |g, x| g.group_norm(x[0], 2, Some(x[1]), Some(x[2]), 1e-2);
    let mut cases = Vec::new();
    for [rows, width] in [[0, 3], [1, 2], [3, 63], [2, 64], [5, 65], [300, 33], [1000, 5], [2, 257]]
    {
        cases.push(case(&[&[rows, width], &[width], &[width]], layer));
        cases.push(case(&[&[rows, width], &[width]], root));
    }
    for [n, c, p] in [[2, 4, 3], [3, 6, 65], [70, 2, 257], [1, 10, 1]] {
        cases.push(case(&[&[n, c, p], &[c], &[c]], group));
    }
    cases
}

fn moments() -> Vec<Case> {
    let build: Build = |g, x| g.moments(x[0]);
    let shapes = [[2, 3, 5, 7], [1, 1, 1, 2], [300, 2, 1, 1], [70, 3, 16, 17], [3, 130, 2, 2]];
    shapes.iter().map(|shape| case(&[shape], build)).collect()
}

fn scattered() -> Vec<Case> {
    fn into<const SIZE: usize>(outer: usize, picks: usize) -> Case {
        let index = Draw::Index(SIZE as i32);
        let shape: &[usize] = &[outer, picks];
        Case::new("ragged", &[(shape, VALUE), (shape, index)], |g, x| {
            g.scatter_add(x[0], 1, x[1], SIZE)
        })
    }
    vec![
        into::<1>(2, 300),
        into::<5>(3, 127),
        into::<5>(1, 0),
        into::<7>(0, 5),
        into::<255>(2, 128),
        into::<1023>(1, 255),
        into::<1024>(2, 256),
        into::<1025>(2, 257),
        into::<2500>(1, 1030),
        into::<9>(4, 1),
    ]
}

fn attentions() -> Vec<Case> {
    let full: Build = |g, x| g.attention(x[0], x[1], x[2], 0.5, false);
    let causal: Build = |g, x| g.attention(x[0], x[1], x[2], 0.5, true);
    let mut cases = Vec::new();
    for [batch, queries, keys, size, value] in [
        [1, 1, 1, 1, 1],
        [2, 33, 65, 17, 9],
        [1, 64, 64, 32, 32],
        [3, 5, 130, 65, 70],
        [1, 129, 3, 8, 33],
    ] {
        let shapes = [[batch, queries, size], [batch, keys, size], [batch, keys, value]];
        let shapes: Vec<&[usize]> = shapes.iter().map(<[usize; 3]>::as_slice).collect();
        cases.push(case(&shapes, full));
    }
    for length in [1, 15, 16, 17, 31, 33, 65] {
        let shape: &[usize] = &[2, length, 16];
        cases.push(case(&[shape, shape, shape], causal));
    }
    cases
}

fn pools() -> Vec<Case> {
    let halves: Build = |g, x| g.max_pool2d(x[0], [2, 2], [2, 2], [0, 0]);
    let overlapping: Build = |g, x| Ok(g.max_pool2d_of(x[0], WINDOWS)?[0]);
    let mean: Build = |g, x| g.average_pool2d(x[0], MEAN);
    let distinct =
        |shape: &[usize], build: Build| Case::new("ragged", &[(shape, Draw::Distinct)], build);
    vec![
        distinct(&[2, 3, 40, 42], halves),
        distinct(&[1, 2, 33, 31], halves),
        distinct(&[1, 3, 34, 29], overlapping),
        case(&[&[2, 3, 17, 18]], mean),
    ]
}

const WINDOWS: PoolWindow = PoolWindow {
    kernel: [3, 3],
    stride: [2, 2],
    padding: [1, 1],
    dilation: [1, 1],
    ceil_mode: false,
};

const MEAN: AveragePool2d = AveragePool2d {
    kernel: [3, 2],
    stride: [2, 1],
    padding: [1, 1],
    count_padding: false,
    ceil_mode: true,
    divisor: None,
};

fn functions() -> Vec<Case> {
    let exp: Build = |g, x| g.exp(x[0]);
    let chain: Build = |g, x| g.relu(g.add(g.square(x[0])?, x[1])?);
    let stretched: Build = |g, x| g.pow(g.exp(x[0])?, x[1]);
    let mut cases = Vec::new();
    for length in [0, 1, 255, 256, 257, 65_537] {
        cases.push(case(&[&[length]], exp));
        cases.push(case(&[&[length], &[1]], chain));
        cases.push(case(&[&[3, length], &[3, 1]], stretched));
    }
    cases
}

/// Outputs on both sides of a tile's rows and columns, and sums that are cut.
fn picked() -> Vec<Case> {
    let build: Build = |g, x| {
        let beyond = 99;
        let rows = [beyond, 0, 1, 0, 1, 2, 1, 2, 4, 3, 4, beyond];
        let columns = [beyond, 0, 1, 1, 2, 3, 2, 3, 4, 4, 5, beyond, 0, 5, 2];
        let reads = [rows.as_slice().into(), columns.as_slice().into()];
        g.picked_conv(x[0], x[1], &PicksShape { kernel: [3, 3], reads, negative: false })
    };
    vec![
        case(&[&[3, 5, 6, 17], &[33, 17, 3, 3]], build),
        case(&[&[2, 5, 6, 3], &[65, 3, 3, 3]], build),
        case(&[&[40, 5, 6, 1], &[2, 1, 3, 3]], build),
        case(&[&[1, 5, 6, 64], &[64, 64, 3, 3]], build),
    ]
}

/// One background for all samples, whose gradient is a sum in parts, and one each.
fn tiles() -> Vec<Case> {
    let build: Build = |g, x| {
        let rows = [0, 1, 1, 1, 1, 2];
        let columns = [0, 1, 1, 1, 0];
        let classes = [rows.as_slice().into(), columns.as_slice().into()];
        g.window_tile(x[0], x[1], x[2], x[3], &TileShape { classes, size: [3, 4], negative: false })
    };
    let places = Draw::Index(6);
    let own = |backgrounds: usize, samples: usize, channels: usize| {
        let (base, patch) = ([backgrounds, 3, 2, channels], [samples, 2, 2, 3, channels]);
        let at = [samples, 2, 2];
        let inputs: [(&[usize], Draw); 4] =
            [(&base, VALUE), (&patch, VALUE), (&at, places), (&at, places)];
        Case::new("ragged", &inputs, build)
    };
    vec![own(1, 7, 3), own(1, 9, 65), own(1, 130, 2), own(5, 5, 17)]
}

/// Numbers in 16 bits: as they are, too small for a full one, and too large. Scaled by
/// powers of two, so that both sides round the same numbers, and back.
fn stored() -> Vec<Case> {
    const SMALL: f64 = 1.0 / (1 << 17) as f64;
    const LARGE: f64 = (1 << 17) as f64;
    let half: Build = |g, x| g.widen(g.store(x[0], F16)?);
    let brain: Build = |g, x| g.widen(g.store(x[0], Bf16)?);
    let small: Build = |g, x| g.scale(g.widen(g.store(g.scale(x[0], SMALL)?, F16)?)?, LARGE);
    let large: Build = |g, x| g.widen(g.store(g.scale(x[0], LARGE)?, F16)?);
    let product: Build = |g, x| g.matmul(g.store(x[0], F16)?, g.store(x[1], F16)?);
    let mut cases = Vec::new();
    for length in [0, 1, 2, 511, 512, 513, 1027] {
        for build in [half, brain, small, large] {
            cases.push(case(&[&[length]], build));
        }
    }
    for [m, k, n] in [[1, 5, 3], [33, 17, 65], [7, 301, 9], [129, 33, 31]] {
        cases.push(case(&[&[m, k], &[k, n]], product));
    }
    cases
}
