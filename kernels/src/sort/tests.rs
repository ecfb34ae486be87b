use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::hash;

/// Values with ties, both zeros, infinities and two kinds of NaN among them.
fn values<T: Real>(n: usize) -> Vec<T> {
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -1.5];
    let value = |i: usize| match hash(i as u64) % 5 {
        0 => special[(hash(i as u64 + 7) % 8) as usize],
        _ => (hash(i as u64 + 13) % 4001) as f64 / 100.0 - 20.0,
    };
    (0..n).map(|i| T::of(value(i))).collect()
}

fn shapes() -> Vec<Sorting> {
    let mut all = Vec::new();
    for (outer, length, inner) in [
        (1, 1, 1),
        (3, 7, 1),
        (2, 6, 5),
        (1, 300, 4),
        (9, 1000, 1),
        (0, 4, 2),
        (2, 0, 3),
        (2, 4, 0),
    ] {
        for count in [0, 1, length / 2, length] {
            for descending in [false, true] {
                if count <= length {
                    all.push(Sorting { outer, length, inner, count, descending });
                }
            }
        }
    }
    all
}

/// Repeated search for the first of what is left, by comparisons alone.
fn plain<T: Real>(shape: &Sorting, x: &[T]) -> Vec<i32> {
    let Sorting { outer, length, inner, count, descending } = *shape;
    let mut out = vec![-7; outer * count * inner];
    // Whether a comes strictly before b.
    let before = |a: T, b: T| match (a.is_nan(), b.is_nan()) {
        (true, true) => false,
        (true, false) => descending,
        (false, true) => !descending,
        _ => {
            if descending {
                a > b
            } else {
                a < b
            }
        }
    };
    for o in 0..outer {
        for i in 0..inner {
            let value = |index: usize| x[(o * length + index) * inner + i];
            let mut left: Vec<usize> = (0..length).collect();
            for rank in 0..count {
                let mut best = 0;
                for place in 1..left.len() {
                    if before(value(left[place]), value(left[best])) {
                        best = place;
                    }
                }
                out[(o * count + rank) * inner + i] = left.remove(best) as i32;
            }
        }
    }
    out
}

fn sorts<T: Real>() {
    for shape in shapes() {
        let x = values::<T>(shape.elements());
        let want = plain(&shape, &x);
        for variant in T::variants(&ARGSORT) {
            let (mut out, mut scratch) = (vec![-9; want.len()], vec![u64::MAX; x.len()]);
            (variant.run)(&shape, &x, &mut out, &mut scratch);
            assert_eq!(out, want, "{} {shape:?}", variant.name);
        }
    }
}

#[test]
fn every_variant_sorts_stably() {
    sorts::<f32>();
    sorts::<f64>();
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let shape = Sorting { outer: 20, length: 3000, inner: 3, count: 1000, descending: true };
    let x = values::<f32>(shape.elements());
    let [one, two] = on_one_and_two_threads(|| {
        let (mut out, mut scratch) = (vec![0; 60_000], vec![0; x.len()]);
        packed::argsort(&shape, &x, &mut out, &mut scratch);
        out
    });
    assert_eq!(one, two);
}
