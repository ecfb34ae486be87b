//! Compositions that move, pick, pad and sort: against loops that look up one
//! element at a time, and what they refuse.

use crate::run;
use proptest::prelude::*;
use speck_engine::{DType, Embedding, Graph, GraphError, NodeId, Padding, Tensor};

/// The value of a composition of the numbers 0, 1, … in a shape.
fn apply(
    shape: &[usize],
    build: impl Fn(&Graph, NodeId) -> Result<NodeId, GraphError>,
) -> (Vec<usize>, Vec<f64>) {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, shape).expect("an input");
    graph.output("y", build(&graph, x).expect("a node")).expect("an output");
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
    let y = run(&graph, &[("x", Tensor::from_f32(shape, numbers))]).0.output("y");
    let y = y.expect("an output");
    (y.shape().to_vec(), y.to_f64())
}

/// The indices of all elements of a shape, in row-major order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, size| {
        let longer = |index: Vec<usize>| (0..*size).map(move |i| [&index[..], &[i]].concat());
        all.into_iter().flat_map(longer).collect()
    })
}

/// The number that stands at an index of a shape.
fn number(shape: &[usize], index: &[usize]) -> f64 {
    shape.iter().zip(index).fold(0, |at, (size, i)| at * size + i) as f64
}

/// What a composition should give: `shape`, and at each index the number that
/// stands at `from(index)` of the shape `own`.
fn expected(
    own: &[usize],
    shape: Vec<usize>,
    from: impl Fn(&[usize]) -> Vec<usize>,
) -> (Vec<usize>, Vec<f64>) {
    let values = indices(&shape).iter().map(|index| number(own, &from(index))).collect();
    (shape, values)
}

fn shape(rank: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..5, rank)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn roll_turns_around(own in shape(2..=3), shifts in [-9i64..9, -9..9]) {
        let found = apply(&own, |g, x| g.roll(x, &[(0, shifts[0]), (1, shifts[1])]));
        let back = |i: usize, axis: usize| {
            (i as i64 - shifts[axis]).rem_euclid(own[axis] as i64) as usize
        };
        let want = expected(&own, own.clone(), |index| {
            [&[back(index[0], 0), back(index[1], 1)], &index[2..]].concat()
        });
        prop_assert_eq!(found, want);
    }

    #[test]
    fn flip_reverses(own in shape(2..=3)) {
        let found = apply(&own, |g, x| g.flip(x, &[1, 0]));
        let want = expected(&own, own.clone(), |index| {
            [&[own[0] - 1 - index[0], own[1] - 1 - index[1]], &index[2..]].concat()
        });
        prop_assert_eq!(found, want);
    }

    #[test]
    fn repeat_counts_from_the_last_dimension(own in shape(0..=2), counts in shape(2..=3)) {
        let found = apply(&own, |g, x| g.repeat(x, &counts));
        let missing = counts.len() - own.len();
        let size = |i: usize| i.checked_sub(missing).map_or(1, |axis| own[axis]);
        let shape = counts.iter().enumerate().map(|(i, count)| count * size(i)).collect();
        let want = expected(&own, shape, |index| {
            index[missing..].iter().zip(&own).map(|(i, size)| i % size).collect()
        });
        prop_assert_eq!(found, want);
    }

    #[test]
    fn diagonal_walks_down_the_matrix(own in shape(3..=3), offset in -5i64..6, turned: bool) {
        let (row, column) = if turned { (2, 0) } else { (0, 2) };
        let found = apply(&own, |g, x| g.diagonal(x, offset, row, column));
        let (down, right) = ((-offset).max(0) as usize, offset.max(0) as usize);
        let left = |size: usize, start: usize| size.saturating_sub(start);
        let length = left(own[row], down).min(left(own[column], right));
        let want = expected(&own, vec![own[1], length], |index| {
            let mut place = vec![index[0]; 3];
            (place[row], place[column]) = (index[1] + down, index[1] + right);
            place
        });
        prop_assert_eq!(found, want);
    }

    #[test]
    fn shuffling_pixels_moves_blocks(
        batch in shape(0..=2), small in [0usize..3, 0..3, 0..3], factor in 1usize..4,
    ) {
        let [channels, height, width] = small;
        let shape = |sizes: [usize; 3]| [&batch[..], &sizes].concat();
        let many = shape([channels * factor * factor, height, width]);
        let large = shape([channels, height * factor, width * factor]);
        let rank = batch.len();
        let found = apply(&many, |g, x| g.pixel_shuffle(x, factor));
        let want = expected(&many, large.clone(), |index| {
            let [c, i, j] = [index[rank], index[rank + 1], index[rank + 2]];
            let channel = (c * factor + i % factor) * factor + j % factor;
            [&index[..rank], &[channel, i / factor, j / factor]].concat()
        });
        prop_assert_eq!(found, want);
        // The other way round, and back.
        let (back, values) = apply(&large, |g, x| g.pixel_unshuffle(x, factor));
        prop_assert_eq!(&back, &many);
        let again = apply(&large, |g, x| {
            let apart = g.pixel_unshuffle(x, factor)?;
            g.pixel_shuffle(apart, factor)
        });
        prop_assert_eq!(again.1, (0..values.len()).map(|i| i as f64).collect::<Vec<_>>());
    }

    #[test]
    fn pads_mirror_and_wrap(size in 1usize..6, wide in 0usize..9, other in 0usize..9, mode in 0usize..3) {
        // As PyTorch allows them: mirrored up to one less than the size.
        let most = [size - 1, 100, size][mode];
        let (before, after) = (wide.min(most), other.min(most));
        let padding = [Padding::Reflect, Padding::Replicate, Padding::Circular][mode];
        let borders = [(0, 0), (before as i64, after as i64), (0, 0)];
        let own = [2, size, 3];
        let found = apply(&own, |g, x| g.pad(x, &borders, padding));
        let last = size as i64 - 1;
        let want = expected(&own, vec![2, before + size + after, 3], |index| {
            let i = index[1] as i64 - before as i64;
            let i = match padding {
                Padding::Reflect => last - (last - i.abs()).abs(),
                Padding::Replicate => i.max(0).min(last),
                _ => (i + size as i64) % size as i64,
            };
            vec![index[0], i as usize, index[2]]
        });
        prop_assert_eq!(found, want);
    }
}

#[test]
fn what_cannot_be_is_refused_at_the_callers_line() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[2, 6]).expect("an input");
    let v = graph.input("v", DType::F32, &[3]).expect("an input");
    let n = graph.input("n", DType::F32, &[]).expect("an input");
    let i = graph.input("i", DType::I32, &[2]).expect("an input");
    let m = graph.input("m", DType::I32, &[3, 9]).expect("an input");
    let nothing = graph.input("nothing", DType::F32, &[0, 6]).expect("an input");
    let huge = i64::MAX;
    let start = line!();
    let errors = [
        graph.roll(x, &[(2, 1)]),
        graph.flip(x, &[2]),
        graph.flip(x, &[0, 0]),
        graph.repeat(x, &[usize::MAX, usize::MAX]),
        graph.diagonal(x, 0, 0, 0),
        graph.diagonal(x, 0, 0, 2),
        graph.tril(v, 0),
        graph.triu(n, 0),
        graph.stack(&[x, v], 0),
        graph.stack(&[x, x], 3),
        graph.stack(&[], 0),
        graph.concat_any(&[], 0),
        graph.concat_any(&[x, x], 2),
        graph.concat_any(&[x, x], -3),
        graph.concat_any(&[n, n], 0),
        graph.concat_any(&[x, v], 0),
        graph.squeeze(x, &[2]),
        graph.unsqueeze(x, 3),
        graph.transpose(x, 0, 2),
        graph.transpose(n, 0, 1),
        graph.expand_to(v, &[-1, 3]),
        graph.expand_to(v, &[-2]),
        graph.expand_to(x, &[3, 6]),
        graph.reshape_to(x, &[-1, -1]),
        graph.reshape_to(x, &[-1, 5]),
        graph.reshape_to(nothing, &[-1, 0]),
        graph.reshape_to(x, &[-12]),
        graph.reshape_to(x, &[huge, huge, -1]),
        graph.pixel_shuffle(x, 1),
        graph.pixel_unshuffle(x, 1),
        graph.take_fixed(x, 2, &[0]),
        graph.take_fixed(x, 1, &[usize::MAX]),
        graph.narrow_at(x, 2, n, 1),
        graph.narrow_at(x, 1, n, 1),
        graph.take_along(x, 0, i),
        graph.take_along(x, 1, m),
        graph.take_along(x, 2, m),
        graph.scatter_add_to(x, 0, m, x),
        graph.scatter_add_to(x, 2, m, x),
        graph.index_add_to(x, 0, i, v, 1.0),
        graph.index_add_to(x, 2, i, x, 1.0),
        graph.select_slices(x, 2, i),
        graph.select_slices(x, 0, m),
        graph.select_slices(n, 0, i),
        graph.embedding(n, i, &Embedding::default()),
        graph.embedding(x, v, &Embedding::default()),
        graph.embedding(x, i, &Embedding { padding: Some(2), ..Embedding::default() }),
        graph.pick(x, 1, m),
        graph.pick(x, 9, i),
        graph.one_hot(v, 3),
        graph.pad(x, &[(1, 1)], Padding::Reflect),
        graph.pad(x, &[(0, 0), (6, 0)], Padding::Reflect),
        graph.pad(x, &[(0, 0), (0, 7)], Padding::Circular),
        graph.pad(x, &[(-1, 2), (0, 0)], Padding::Circular),
        graph.pad(x, &[(-2, -1), (0, 0)], Padding::Replicate),
        graph.pad(x, &[(-2, -1), (0, 0)], Padding::Constant(0.0)),
        graph.pad(x, &[(i64::MIN, i64::MIN), (0, 0)], Padding::Constant(1.0)),
        graph.pad(x, &[(huge, huge), (0, 0)], Padding::Replicate),
        graph.pad(x, &[(i64::MIN, huge), (0, 0)], Padding::Reflect),
        graph.pad(nothing, &[(1, 0), (0, 0)], Padding::Replicate),
        graph.pad(nothing, &[(1, 0), (0, 0)], Padding::Circular),
        graph.sort(x, 2, false).map(|sorted| sorted.values),
        graph.sort(n, 1, false).map(|sorted| sorted.values),
        graph.topk(x, 1, 7, true).map(|sorted| sorted.values),
        graph.topk(x, 2, 1, true).map(|sorted| sorted.values),
        graph.kth_smallest(x, 0, 2),
        graph.median(x, 2),
        graph.median(nothing, 0),
        graph.winners(x, 2, 1),
        graph.k_winners(x, 0, 3),
        graph.segment_count(m, 3),
        graph.segment_mean(x, 2, i, 3),
        graph.segment_mean(x, 1, i, 3),
        graph.segment_softmax(x, 1, i, 3),
        graph.index_add(m, 0, i, 3),
        graph.segment_max(x, 0, v, 3),
        graph.cumulative_sum(n, 0, false),
        graph.argsort(i, 0, false, 1),
        graph.to_index(i),
    ];
    for (offset, error) in errors.iter().enumerate() {
        let line = start + 2 + offset as u32;
        let error = error.as_ref().expect_err(&format!("a refusal at line {line}"));
        assert_eq!((error.location.file(), error.location.line()), (file!(), line), "{error}");
    }
}

#[test]
fn nodes_carry_their_callers_line() {
    let graph = Graph::new(DType::F32);
    let x = graph.input("x", DType::F32, &[4, 6]).expect("an input");
    let i = graph.input("i", DType::I32, &[4]).expect("an input");
    let n = graph.input("n", DType::I32, &[]).expect("an input");
    let before = graph.len();
    let options =
        Embedding { padding: Some(0), mean_gradient: true, largest_norm: Some((1.0, 2.0)) };
    let built = [
        graph.roll(x, &[(1, 1)]),
        graph.roll_all(x, 1),
        graph.repeat(x, &[2, 2]),
        graph.diagonal(x, 1, 1, 0),
        graph.tril(x, 0),
        graph.stack(&[x, x], 1),
        graph.narrow_at(x, 0, n, 2),
        graph.index_add_to(x, 0, i, x, 2.0),
        graph.embedding(x, i, &options),
        graph.pick(x, 1, i),
        graph.one_hot(i, 3),
        graph.pad(x, &[(1, 1), (-1, 1)], Padding::Constant(3.0)),
        graph.pad(x, &[(1, 1), (-1, 1)], Padding::Reflect),
        graph.median(x, 1),
        graph.k_winners(x, 1, 2),
        graph.segment_mean(x, 0, i, 3),
        graph.segment_softmax(x, 0, i, 3),
    ];
    assert!(built.iter().all(Result::is_ok));
    let printed = graph.to_string();
    let nodes: Vec<_> = printed.lines().filter(|line| line.starts_with('%')).collect();
    assert!(nodes.len() > before + built.len());
    for line in nodes.iter().skip(before) {
        assert!(line.contains(file!()), "{line}");
    }
}
