//! Reductions, products and windows of random sizes, against loops. All values
//! are small whole numbers, so that every order of summation gives one result.

use crate::run;
use proptest::prelude::*;
use speck_engine::ops::Window;
use speck_engine::{DType, Graph, GraphError, NodeId, Tensor};

/// Whole numbers from -3 to 3 in no pattern.
fn small(elements: usize, salt: usize) -> Vec<f64> {
    let value = |i: usize| ((i * i * 5 + i * 13 + salt * 7) % 11 % 7) as f64 - 3.0;
    (0..elements).map(value).collect()
}

/// The values of `build` on small numbers in each shape, in f32.
fn apply(
    shapes: &[Vec<usize>],
    build: impl Fn(&Graph, &[NodeId]) -> Result<Vec<NodeId>, GraphError>,
) -> Vec<(Vec<usize>, Vec<f64>)> {
    let graph = Graph::new(DType::F32);
    let names: Vec<_> = (0..shapes.len()).map(|k| k.to_string()).collect();
    let nodes: Vec<_> = names
        .iter()
        .zip(shapes)
        .map(|(name, shape)| graph.input(name, DType::F32, shape).expect("an input"))
        .collect();
    let outputs = build(&graph, &nodes).expect("nodes");
    for (i, output) in outputs.iter().enumerate() {
        graph.output(&format!("y{i}"), *output).expect("an output");
    }
    let tensor = |k: usize| {
        let values = small(shapes[k].iter().product(), k);
        Tensor::from_f32(&shapes[k], values.iter().map(|v| *v as f32).collect())
    };
    let inputs: Vec<_> = (0..shapes.len()).map(|k| (names[k].as_str(), tensor(k))).collect();
    let (program, _) = run(&graph, &inputs);
    let read = |i: usize| {
        let y = program.output(&format!("y{i}")).expect("an output");
        (y.shape().to_vec(), y.to_f64())
    };
    (0..outputs.len()).map(read).collect()
}

fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The coordinates of element `flat`.
fn coordinates(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    index
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sizes and settings of a convolution that fits.
#[derive(Debug, Clone)]
struct Convolution {
    image: Vec<usize>,
    weight: Vec<usize>,
    window: Window,
}

fn convolution() -> impl Strategy<Value = Convolution> {
    let pair = |low: usize, high: usize| [low..high, low..high];
    (
        (0usize..3, 1usize..4, 1usize..4, 1usize..3),
        (pair(1, 4), pair(0, 7)),
        (pair(1, 4), pair(0, 3), pair(1, 3)),
    )
        .prop_map(
            |((batch, inputs, outputs, groups), (kernel, room), (stride, padding, dilation))| {
                // Room beyond the smallest image that holds the window.
                let size = |i: usize| {
                    let extent = dilation[i] * (kernel[i] - 1) + 1;
                    (extent + room[i]).saturating_sub(2 * padding[i]).max(1)
                };
                let window = Window { stride, padding, dilation, groups };
                let image = vec![batch, inputs * groups, size(0), size(1)];
                Convolution {
                    image,
                    weight: vec![outputs * groups, inputs, kernel[0], kernel[1]],
                    window,
                }
            },
        )
}

/// The plain loops of a convolution.
fn convolve(c: &Convolution, x: &[f64], w: &[f64], out: &[usize]) -> Vec<f64> {
    let Window { stride, padding, dilation, groups } = c.window;
    let per_group = c.weight[0] / groups;
    let value = |flat: usize| {
        let [n, o, i, j]: [usize; 4] = coordinates(out, flat).try_into().expect("four");
        let mut sum = 0.0;
        for k in 0..elements(&c.weight[1..]) {
            let [channel, u, v]: [usize; 3] =
                coordinates(&c.weight[1..], k).try_into().expect("three");
            let row = (i * stride[0] + u * dilation[0]).wrapping_sub(padding[0]);
            let column = (j * stride[1] + v * dilation[1]).wrapping_sub(padding[1]);
            if row < c.image[2] && column < c.image[3] {
                let input = o / per_group * c.weight[1] + channel;
                let at = ((n * c.image[1] + input) * c.image[2] + row) * c.image[3] + column;
                sum += x[at] * w[o * elements(&c.weight[1..]) + k];
            }
        }
        sum
    };
    (0..elements(out)).map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::CASES))]

    #[test]
    fn sum_and_max_reduce_any_axes(
        shape in prop::collection::vec(0usize..6, 0..=5),
        reduced in prop::collection::vec(any::<bool>(), 5),
    ) {
        let axes: Vec<_> = (0..shape.len()).filter(|axis| reduced[*axis]).collect();
        let found = apply(std::slice::from_ref(&shape), |g, x| {
            Ok(vec![g.sum(x[0], &axes)?, g.max(x[0], &axes)?])
        });
        let kept: Vec<_> = (0..shape.len()).filter(|axis| !reduced[*axis]).collect();
        let out: Vec<_> = kept.iter().map(|axis| shape[*axis]).collect();
        let mut expected = [vec![0.0; elements(&out)], vec![f64::NEG_INFINITY; elements(&out)]];
        for (flat, value) in small(elements(&shape), 0).into_iter().enumerate() {
            let index = coordinates(&shape, flat);
            let at = kept.iter().fold(0, |at, axis| at * shape[*axis] + index[*axis]);
            expected[0][at] += value;
            expected[1][at] = expected[1][at].max(value);
        }
        for (found, expected) in found.into_iter().zip(expected) {
            prop_assert_eq!(found, (out.clone(), expected));
        }
    }

    #[test]
    fn matmul_of_any_sizes_batches_and_transposes(
        batch in prop::collection::vec(0usize..4, 0..3),
        shared in 0usize..3,
        (m, k, n) in (0usize..20, 0usize..20, 0usize..20),
        transposed in any::<[bool; 2]>(),
    ) {
        let matrix = |rows, columns, transposed: bool| {
            if transposed { [columns, rows] } else { [rows, columns] }
        };
        // One operand may be shared by the batch.
        let shape = |i: usize, matrix: [usize; 2]| {
            if shared == i { matrix.to_vec() } else { [&batch[..], &matrix].concat() }
        };
        let shapes = [
            shape(0, matrix(m, k, transposed[0])),
            shape(1, matrix(k, n, transposed[1])),
        ];
        let found = apply(&shapes, |g, x| {
            Ok(vec![g.matmul_with(x[0], x[1], transposed[0], transposed[1])?])
        });
        let (a, b) = (small(elements(&shapes[0]), 0), small(elements(&shapes[1]), 1));
        let mut expected = Vec::new();
        for image in 0..elements(&batch) {
            let start = |i: usize, size| if shared == i { 0 } else { image * size };
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                let product = |step: usize| {
                    let at_a = if transposed[0] { step * m + row } else { row * k + step };
                    let at_b = if transposed[1] { column * k + step } else { step * n + column };
                    a[start(0, m * k) + at_a] * b[start(1, k * n) + at_b]
                };
                expected.push((0..k).map(product).sum());
            }
        }
        let out = [&batch[..], &[m, n]].concat();
        prop_assert_eq!(&found[0], &(out, expected));
    }

    #[test]
    fn convolution_of_any_window_and_its_adjoints(c in convolution()) {
        let shapes = [c.image.clone(), c.weight.clone()];
        let found = apply(&shapes, |g, x| {
            let y = g.conv2d(x[0], x[1], c.window)?;
            let count = g.shape(y).iter().product();
            let cotangent = g.constant(Tensor::from_f32(
                &g.shape(y),
                small(count, 2).iter().map(|v| *v as f32).collect(),
            ))?;
            Ok([vec![y], g.pull_back(y, cotangent, x)?].concat())
        });
        let (x, w) = (small(elements(&c.image), 0), small(elements(&c.weight), 1));
        let (out, y) = &found[0];
        prop_assert_eq!(y, &convolve(&c, &x, &w, out));
        // <conv(x, w), c> is linear in x and in w: each gradient gives it back,
        // and so does the gradient applied to other x and w.
        let cotangent = small(y.len(), 2);
        prop_assert_eq!(dot(y, &cotangent), dot(&x, &found[1].1));
        prop_assert_eq!(dot(y, &cotangent), dot(&w, &found[2].1));
        let (other_x, other_w) = (small(x.len(), 3), small(w.len(), 4));
        let moved_x = convolve(&c, &other_x, &w, out);
        let moved_w = convolve(&c, &x, &other_w, out);
        prop_assert_eq!(dot(&moved_x, &cotangent), dot(&other_x, &found[1].1));
        prop_assert_eq!(dot(&moved_w, &cotangent), dot(&other_w, &found[2].1));
    }

    #[test]
    fn chains_of_views_are_the_loops_they_stand_for(
        shape in prop::collection::vec(1usize..5, 3),
        order in Just([0usize, 1, 2]).prop_shuffle(),
        (start, step) in (0usize..2, 1usize..3),
        repeat in 1usize..4,
    ) {
        // x, permuted, every step-th element of its last dimension, repeated
        // along a new leading dimension, added to itself flat.
        let permuted: Vec<_> = order.iter().map(|axis| shape[*axis]).collect();
        let length = permuted[2].saturating_sub(start).div_ceil(step);
        let found = apply(std::slice::from_ref(&shape), |g, x| {
            let y = g.permute(x[0], &order)?;
            let y = g.narrow(y, 2, start.min(permuted[2]), step, length)?;
            let size = [permuted[0], permuted[1], length];
            let y = g.expand(y, &[&[repeat], &size[..]].concat())?;
            let y = g.flatten_from(y, 0)?;
            Ok(vec![g.add(y, y)?])
        });
        let x = small(elements(&shape), 0);
        let mut expected = Vec::new();
        for _ in 0..repeat {
            for flat in 0..permuted[0] * permuted[1] * length {
                let [i, j, k] =
                    coordinates(&[permuted[0], permuted[1], length], flat).try_into().expect("three");
                let mut source = [0; 3];
                [i, j, start + k * step].iter().zip(order).for_each(|(i, axis)| source[axis] = *i);
                let at = source.iter().zip(&shape).fold(0, |at, (i, size)| at * size + i);
                expected.push(2.0 * x[at]);
            }
        }
        prop_assert_eq!(&found[0].1, &expected);
    }
}
