use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_same, poisoned, random};

fn shapes() -> Vec<Scanning> {
    let mut all = Vec::new();
    for outer in [0, 1, 3, 4, 9] {
        for length in [0, 1, 2, 50] {
            for inner in [0, 1, 5, 63, 64, 65, 200] {
                for reverse in [false, true] {
                    all.push(Scanning { outer, length, inner, reverse });
                }
            }
        }
    }
    all.push(Scanning { outer: 3, length: 5000, inner: 1, reverse: false });
    all
}

/// Every total from its terms anew.
fn plain<T: Real>(shape: &Scanning, x: &[T]) -> Vec<T> {
    let Scanning { length, inner, reverse, .. } = *shape;
    let total = |at: usize| {
        let (o, l, i) = (at / inner / length, at / inner % length, at % inner);
        let term = |k: usize| x[(o * length + k) * inner + i].wide();
        let sum: f64 = if reverse {
            (l..length).rev().fold(0.0, |sum, k| sum + term(k))
        } else {
            (0..=l).fold(0.0, |sum, k| sum + term(k))
        };
        T::of(sum)
    };
    (0..x.len()).map(total).collect()
}

fn scans<T: Real>() {
    for shape in shapes() {
        let x = random::<T>(1, shape.outer * shape.length * shape.inner, -1.0, 1.0);
        let want = plain(&shape, &x);
        for variant in T::variants(&CUMULATIVE_SUM) {
            let mut out = poisoned(x.len());
            (variant.run)(&shape, &x, &mut out);
            assert_same(&out, &want, &format!("{} {shape:?}", variant.name));
        }
    }
}

#[test]
fn every_variant_adds_up_in_order() {
    scans::<f32>();
    scans::<f64>();
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = random::<f32>(2, 240_000, -1.0, 1.0);
    for [outer, inner] in [[4, 200], [800, 1]] {
        let shape = Scanning { outer, length: 300, inner, reverse: true };
        let [one, two] = on_one_and_two_threads(|| {
            let mut out = poisoned(x.len());
            columns::cumulative_sum(&shape, &x, &mut out);
            out
        });
        assert_same(&two, &one, "2 threads");
    }
}
