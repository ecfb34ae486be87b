//! Ops that change shapes, against loops that look up one element at a time.

use proptest::prelude::*;
use speck_engine::{DType, Graph, NodeId, Tensor, TensorType, broadcast};
use std::slice::from_ref;

/// Runs an op on numbered inputs: element i of input k is 1000 k + i, so that
/// every element can be told from every other, and sums are exact in f32.
fn apply(
    shapes: &[Vec<usize>],
    op: impl Fn(&Graph, &[NodeId]) -> NodeId,
) -> (Vec<usize>, Vec<f64>) {
    let graph = Graph::new(DType::F32);
    let name = |k: usize| k.to_string();
    let nodes: Vec<_> = (0..shapes.len())
        .map(|k| graph.input(&name(k), DType::F32, &shapes[k]).expect("an input"))
        .collect();
    graph.output("y", op(&graph, &nodes)).expect("an output");
    let names: Vec<_> = (0..shapes.len()).map(name).collect();
    let tensor = |k: usize| {
        let ty = TensorType::new(DType::F32, &shapes[k]);
        Tensor::new(&ty, &numbers(k, ty.elements()))
    };
    let inputs: Vec<_> = (0..shapes.len()).map(|k| (names[k].as_str(), tensor(k))).collect();
    let y = crate::run(&graph, &inputs).0.output("y").expect("an output");
    (y.shape().to_vec(), y.to_f64())
}

fn numbers(k: usize, elements: usize) -> Vec<f64> {
    (0..elements).map(|i| (1000 * k + i) as f64).collect()
}

/// The indices of all elements of a shape, in row-major order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for size in shape {
        all = all
            .into_iter()
            .flat_map(|index| (0..*size).map(move |i| [&index[..], &[i]].concat()))
            .collect();
    }
    all
}

/// The position of an element in memory.
fn flat(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (size, i)| at * size + i)
}

/// The element of `from` that stands at `index` of a shape it broadcasts to.
fn stretched(from: &[usize], index: &[usize]) -> usize {
    let own: Vec<_> = from
        .iter()
        .zip(&index[index.len() - from.len()..])
        .map(|(size, i)| if *size == 1 { 0 } else { *i })
        .collect();
    flat(from, &own)
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..5, 0..=4)
}

/// A shape, and one that broadcasts to it: leading dimensions dropped, others
/// turned into 1.
fn shape_and_part() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    (shape(), 0usize..=4, prop::collection::vec(any::<bool>(), 4)).prop_map(|(to, drop, ones)| {
        let dropped = drop.min(to.len());
        let from = to[dropped..].iter().zip(ones).map(|(n, one)| if one { 1 } else { *n });
        (to.clone(), from.collect())
    })
}

/// A shape of at least one dimension, and one of its axes.
fn shape_and_axis() -> impl Strategy<Value = (Vec<usize>, usize)> {
    prop::collection::vec(0usize..5, 1..=4)
        .prop_flat_map(|shape| (Just(shape.clone()), 0..shape.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::CASES))]

    #[test]
    fn expand_repeats((to, from) in shape_and_part()) {
        let (shape, found) = apply(from_ref(&from), |g, x| g.expand(x[0], &to).expect("a node"));
        prop_assert_eq!(&shape, &to);
        let expected: Vec<_> =
            indices(&to).iter().map(|index| stretched(&from, index) as f64).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn sum_to_adds_what_expand_repeats((from, to) in shape_and_part()) {
        let (shape, found) = apply(from_ref(&from), |g, x| g.sum_to(x[0], &to).expect("a node"));
        prop_assert_eq!(&shape, &to);
        let mut expected = vec![0.0; to.iter().product()];
        for index in indices(&from) {
            expected[stretched(&to, &index)] += flat(&from, &index) as f64;
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn add_stretches_both(
        (to, a) in shape_and_part(),
        drop in 0usize..=4,
        ones in prop::collection::vec(any::<bool>(), 4),
    ) {
        let drop = drop.min(to.len());
        let b: Vec<_> =
            to[drop..].iter().zip(ones).map(|(n, one)| if one { 1 } else { *n }).collect();
        let shapes = [a.clone(), b.clone()];
        let (shape, found) = apply(&shapes, |g, x| g.add(x[0], x[1]).expect("a node"));
        prop_assert_eq!(Some(shape.clone()), broadcast(&a, &b));
        let sum = |index: &Vec<usize>| (1000 + stretched(&a, index) + stretched(&b, index)) as f64;
        prop_assert_eq!(found, indices(&shape).iter().map(sum).collect::<Vec<_>>());
    }

    #[test]
    fn select_stretches_all_three(
        (to, a) in shape_and_part(),
        ones in prop::collection::vec(any::<bool>(), 8),
    ) {
        let part = |ones: &[bool]| -> Vec<usize> {
            to.iter().zip(ones).map(|(n, one)| if *one { 1 } else { *n }).collect()
        };
        let shapes = [a, part(&ones[..4]), part(&ones[4..])];
        let (shape, found) = apply(&shapes, |g, x| {
            let two = g.scalar(2.0).expect("a node");
            let condition = g.greater(x[0], two).expect("a node");
            g.select(condition, x[1], x[2]).expect("a node")
        });
        let value = |index: &Vec<usize>| {
            let k = if stretched(&shapes[0], index) > 2 { 1 } else { 2 };
            (1000 * k + stretched(&shapes[k], index)) as f64
        };
        prop_assert_eq!(found, indices(&shape).iter().map(value).collect::<Vec<_>>());
    }

    #[test]
    fn permute_moves(shape in shape(), order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let axes: Vec<_> = order.into_iter().filter(|axis| *axis < shape.len()).collect();
        let (found_shape, found) =
            apply(from_ref(&shape), |g, x| g.permute(x[0], &axes).expect("a node"));
        let expected_shape: Vec<_> = axes.iter().map(|axis| shape[*axis]).collect();
        prop_assert_eq!(&found_shape, &expected_shape);
        for (index, value) in indices(&found_shape).iter().zip(found) {
            let mut source = vec![0; shape.len()];
            axes.iter().zip(index).for_each(|(axis, i)| source[*axis] = *i);
            prop_assert_eq!(value, flat(&shape, &source) as f64);
        }
    }

    #[test]
    fn narrow_picks(
        (mut shape, axis) in shape_and_axis(),
        start in 0usize..4, step in 1usize..4, length in 0usize..4, rest in 0usize..3,
    ) {
        shape[axis] = start + length.saturating_sub(1) * step + length.min(1) + rest;
        let (found_shape, found) = apply(from_ref(&shape), |g, x| {
            g.narrow(x[0], axis, start, step, length).expect("a node")
        });
        let mut expected_shape = shape.clone();
        expected_shape[axis] = length;
        prop_assert_eq!(&found_shape, &expected_shape);
        for (mut index, value) in indices(&found_shape).into_iter().zip(found) {
            index[axis] = start + step * index[axis];
            prop_assert_eq!(value, flat(&shape, &index) as f64);
        }
    }

    #[test]
    fn embed_puts_back_what_narrow_picks(
        (shape, axis) in shape_and_axis(),
        start in 0usize..4, step in 1usize..4, rest in 0usize..3,
    ) {
        let n = shape[axis];
        let size = start + n.saturating_sub(1) * step + n.min(1) + rest;
        let (found_shape, found) = apply(from_ref(&shape), |g, x| {
            // From 1 on, so that the zeros between can be told from an element.
            let x = g.offset(x[0], 1.0).expect("a node");
            g.embed(x, axis, start, step, size).expect("a node")
        });
        let mut expected = vec![0.0; found_shape.iter().product()];
        for mut index in indices(&shape) {
            let value = 1 + flat(&shape, &index);
            index[axis] = start + step * index[axis];
            expected[flat(&found_shape, &index)] = value as f64;
        }
        prop_assert_eq!(found_shape[axis], size);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn concat_lines_up(
        (shape, axis) in shape_and_axis(),
        sizes in prop::collection::vec(0usize..4, 1..40),
    ) {
        let part = |size: &usize| {
            let mut part = shape.clone();
            part[axis] = *size;
            part
        };
        let parts: Vec<_> = sizes.iter().map(part).collect();
        let (found_shape, found) =
            apply(&parts, |g, x| g.concat(x, axis).expect("a node"));
        prop_assert_eq!(found_shape[axis], sizes.iter().sum::<usize>());
        let owners: Vec<(usize, usize)> =
            sizes.iter().enumerate().flat_map(|(k, n)| (0..*n).map(move |i| (k, i))).collect();
        for (mut index, value) in indices(&found_shape).into_iter().zip(found) {
            let (k, i) = owners[index[axis]];
            index[axis] = i;
            prop_assert_eq!(value, (1000 * k + flat(&parts[k], &index)) as f64);
        }
    }

    #[test]
    fn gather_and_scatter_look_up((shape, axis) in shape_and_axis(), picks in 0usize..5) {
        let mut index_shape = shape.clone();
        index_shape[axis] = picks;
        // Index i picks 2i modulo one more than the size: some lie outside.
        let size = shape[axis];
        let pick = |i: usize| 2 * i % (size + 1);
        let (_, found) = apply(from_ref(&shape), |g, x| {
            let picked: Vec<_> = indices(&index_shape).iter().map(|i| pick(i[axis]) as i32).collect();
            let index = g.constant(Tensor::from_i32(&index_shape, picked)).expect("a node");
            let gathered = g.gather(x[0], axis, index).expect("a node");
            // NaN to -1, which no element is.
            let valid = g.equal(gathered, gathered).expect("a node");
            let outside = g.scalar(-1.0).expect("a node");
            g.select(valid, gathered, outside).expect("a node")
        });
        for (mut index, value) in indices(&index_shape).into_iter().zip(found) {
            index[axis] = pick(index[axis]);
            let inside = index[axis] < size;
            prop_assert_eq!(value, if inside { flat(&shape, &index) as f64 } else { -1.0 });
        }
    }
}
