//! Every variant against `scalar`, and the promises of the family.

use super::{MATMUL, MatmulShape, Routine, Taker};
use crate::parallel::{Shared, tests::on_one_and_two_threads};
use crate::real::Real;
use crate::testing::{assert_close, assert_same, cases, poisoned, random};
use crate::variant::Variant;
use proptest::prelude::*;

fn shape(batch: usize, [m, n, k]: [usize; 3], [ta, tb]: [bool; 2]) -> MatmulShape {
    let (a_stride, b_stride) = (m * k, k * n);
    MatmulShape { batch, m, n, k, transpose_a: ta, transpose_b: tb, a_stride, b_stride }
}

fn operands<T: Real>(shape: &MatmulShape) -> [Vec<T>; 2] {
    let MatmulShape { batch, m, n, k, a_stride, b_stride, .. } = *shape;
    let last = batch.saturating_sub(1);
    [random(1, last * a_stride + m * k, -1.0, 1.0), random(2, last * b_stride + k * n, -1.0, 1.0)]
}

/// The product, from poisoned memory.
fn product<T: Real>(routine: &Routine<T>, shape: &MatmulShape, a: &[T], b: &[T]) -> Vec<T> {
    let mut out = poisoned(shape.batch * shape.m * shape.n);
    let mut scratch = poisoned((routine.scratch)(shape));
    // SAFETY: callers pass routines of variants that this machine supports.
    unsafe { (routine.run)(shape, a, b, &mut out, &mut scratch) };
    out
}

fn supported<T: Real>() -> impl Iterator<Item = &'static Variant<Routine<T>>> {
    T::variants(&MATMUL).iter().filter(|variant| variant.isa.supported().is_ok())
}

fn scalar<T: Real>() -> &'static Routine<T> {
    &T::variants(&MATMUL).last().expect("a kernel has a scalar variant").run
}

/// Holds every variant to an error of a few roundings of `Σ |a| |b|`, the
/// bound that any order of summation keeps.
fn check<T: Real>(shape: &MatmulShape) {
    let [a, b] = operands::<T>(shape);
    let want = product(scalar(), shape, &a, &b);
    let magnitudes = [&a, &b].map(|values| values.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let bound = product(scalar(), shape, &magnitudes[0], &magnitudes[1]);
    let roundings = T::epsilon().wide() * (8.0 + (shape.k as f64).sqrt());
    for variant in supported::<T>() {
        let got = product(&variant.run, shape, &a, &b);
        let what = format!("{} {shape:?}", variant.name);
        // In units of each element's own bound.
        let unit = |values: &[T]| -> Vec<T> {
            let in_units = |(x, bound): (&T, &T)| *x / (*bound + T::min_positive_value());
            values.iter().zip(&bound).map(in_units).collect()
        };
        assert_close(&unit(&got), &unit(&want), 0.0, roundings, &what);
    }
}

const TRANSPOSES: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

#[test]
fn scalar_is_the_definition() {
    let plain = shape(1, [2, 2, 3], [false, false]);
    let got = product(
        scalar(),
        &plain,
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0f64],
        &[1.0, 0.5, -1.0, 2.0, 0.0, 4.0],
    );
    assert_eq!(got, [-1.0, 16.5, -1.0, 36.0]);
    let both = shape(1, [2, 2, 3], [true, true]);
    let got = product(
        scalar(),
        &both,
        &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0f64],
        &[1.0, -1.0, 0.0, 0.5, 2.0, 4.0],
    );
    assert_eq!(got, [-1.0, 16.5, -1.0, 36.0]);
}

/// Sizes around the edges of tiles and vectors, with 0 and 1.
#[test]
fn variants_agree_at_tile_edges() {
    let rows = [0, 1, 2, 5, 6, 7, 8, 13, 14, 15, 28, 29];
    let columns = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65];
    for transposes in TRANSPOSES {
        for m in rows {
            for n in columns {
                for k in [0, 1, 7, 8, 9, 15, 16, 17, 33] {
                    check::<f32>(&shape(1, [m, n, k], transposes));
                }
            }
        }
    }
}

/// Sizes around the edges of blocks and parts.
#[test]
fn variants_agree_at_block_edges() {
    for transposes in TRANSPOSES {
        for sizes in [
            [1, 600, 257],
            [600, 1, 257],
            [7, 1100, 255],
            [1100, 9, 256],
            [340, 70, 40],
            [130, 530, 513],
            [20, 40, 9000],
            [337, 257, 30],
            // Several blocks of rows and of depth, with panels kept for all.
            [113, 70, 1025],
            [225, 2090, 1030],
            // More blocks of rows than have panels at a time.
            [2130, 40, 1024],
            // Either operand, or both, in place; whole vectors and not.
            [16, 16, 600],
            [8, 48, 530],
            [9, 2000, 300],
            [112, 96, 520],
            [29, 41, 513],
            // One tile of rows, read from memory: in parts of depth, or of columns.
            [1, 1030, 1201],
            [9, 2050, 600],
            [2, 35000, 17],
        ] {
            check::<f32>(&shape(1, sizes, transposes));
        }
        check::<f64>(&shape(2, [13, 17, 19], transposes));
    }
}

#[test]
fn variants_agree_on_batches_with_shared_operands() {
    for transposes in TRANSPOSES {
        for (batch, sizes) in [(0, [3, 4, 5]), (3, [5, 9, 7]), (11, [33, 40, 70]), (9, [2, 0, 3])] {
            let full = shape(batch, sizes, transposes);
            check::<f32>(&full);
            check::<f32>(&MatmulShape { a_stride: 0, ..full });
            check::<f32>(&MatmulShape { b_stride: 0, ..full });
            check::<f32>(&MatmulShape { a_stride: 0, b_stride: 0, ..full });
            let gaps = MatmulShape { a_stride: full.a_stride + 5, ..full };
            check::<f32>(&MatmulShape { b_stride: full.b_stride + 3, ..gaps });
            check::<f32>(&MatmulShape { b_stride: 0, ..gaps });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(200)))]
    #[test]
    fn variants_agree_on_any_shape(
        batch in 0usize..4, m in 0usize..80, n in 0usize..80, k in 0usize..80,
        transposes in 0usize..4, shared in 0usize..4,
    ) {
        let full = shape(batch, [m, n, k], TRANSPOSES[transposes]);
        check::<f32>(&MatmulShape {
            a_stride: if shared & 1 == 0 { full.a_stride } else { 0 },
            b_stride: if shared & 2 == 0 { full.b_stride } else { 0 },
            ..full
        });
    }
}

/// All ways of splitting: over the batch, rows, columns, depth, and a mixture.
#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let shapes = [
        shape(12, [40, 50, 60], [false, true]),
        shape(1, [1200, 40, 60], [false, false]),
        shape(1, [40, 1200, 60], [true, false]),
        shape(1, [30, 40, 9000], [false, true]),
        shape(3, [256, 300, 130], [false, false]),
        shape(1, [2130, 300, 1024], [false, false]),
    ];
    for shape in shapes {
        let [a, b] = operands::<f32>(&shape);
        for variant in supported::<f32>() {
            let with_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.expect("threads").install(|| product(&variant.run, &shape, &a, &b))
            };
            let alone = with_threads(1);
            for threads in [2, 5] {
                let what = format!("{} on {threads} threads, {shape:?}", variant.name);
                assert_same(&with_threads(threads), &alone, &what);
            }
        }
    }
}

/// Every element is reported once, and is what it will stay: the report takes it
/// away, and nothing is left behind.
#[test]
fn what_is_reported_is_finished() {
    let shapes = [
        shape(1, [0, 5, 7], [false, false]),
        shape(2, [5, 3, 0], [false, false]),
        shape(12, [40, 50, 60], [false, true]),
        shape(1, [700, 500, 70], [true, false]),
        shape(1, [500, 9, 60], [false, false]),
        shape(1, [30, 40, 9000], [false, true]),
        shape(1, [40, 1200, 530], [false, false]),
        shape(1, [2130, 30, 1100], [false, false]),
        shape(1, [260, 4500, 520], [false, false]),
        MatmulShape { b_stride: 0, ..shape(5, [70, 300, 130], [false, false]) },
        // Handed over bit by bit.
        shape(1, [90, 3001, 70], [true, false]),
        shape(1, [128, 2048, 33], [false, true]),
        shape(2, [127, 2100, 256], [false, false]),
    ];
    for shape in shapes {
        let [a, b] = operands::<f32>(&shape);
        for variant in supported::<f32>() {
            let Some(report) = variant.run.report else { continue };
            let want = product(&variant.run, &shape, &a, &b);
            let [one, two] = on_one_and_two_threads(|| {
                let mut out: Vec<f32> = poisoned(want.len());
                let mut taken: Vec<f32> = poisoned(want.len());
                let mut scratch = poisoned((variant.run.scratch)(&shape));
                let (from, to) = (Shared::new(&mut out), Shared::new(&mut taken));
                let take = |range: std::ops::Range<usize>, values: *mut u8| {
                    assert_eq!(values, from.get().wrapping_add(range.start).cast());
                    // SAFETY: ranges are reported once.
                    let (from, to) = unsafe { (from.part(range.clone()), to.part(range)) };
                    assert!(to.iter().all(|value| value.is_nan()));
                    to.copy_from_slice(from);
                    from.fill(f32::NAN);
                };
                // SAFETY: the machine supports the variant; the product is
                // touched where it is reported.
                unsafe { report(&shape, &a, &b, from.get(), &mut scratch, &take) };
                assert!(out.iter().all(|value| value.is_nan()));
                taken
            });
            for taken in [one, two] {
                assert_same(&taken, &want, &format!("{} {shape:?}", variant.name));
            }
        }
    }
}

/// A product that is handed over and kept nowhere is the one that is kept, also
/// where the taker names arrays that it reads.
#[test]
fn what_is_passed_on_is_the_product() {
    struct Summing<'a>(Shared<f32>, &'a [Shared<u8>]);
    impl Taker for Summing<'_> {
        fn take(&self, range: std::ops::Range<usize>, values: *mut u8) {
            // SAFETY: ranges are handed over once; the values are as many.
            let (values, to) = unsafe {
                (std::slice::from_raw_parts(values.cast::<f32>(), range.len()), self.0.part(range))
            };
            assert!(to.iter().all(|value| value.is_nan()));
            to.copy_from_slice(values);
        }
        fn reads(&self) -> &[Shared<u8>] {
            self.1
        }
    }
    let shapes = [
        shape(1, [90, 3001, 70], [true, false]),
        shape(1, [128, 2048, 33], [false, true]),
        shape(1, [300, 2500, 1], [true, true]),
        shape(1, [512, 2100, 256], [true, false]),
        shape(2, [127, 2100, 256], [false, false]),
    ];
    for shape in shapes {
        let [a, b] = operands::<f32>(&shape);
        for variant in supported::<f32>() {
            let Some(report) = variant.run.report else { continue };
            assert!((variant.run.passes)(&shape), "{} {shape:?}", variant.name);
            let want = product(&variant.run, &shape, &a, &b);
            let other: Vec<f32> = poisoned(want.len());
            for reads in [0, 1, 3, 5] {
                let reads = vec![Shared::from_ptr(other.as_ptr().cast_mut().cast()); reads];
                let [one, two] = on_one_and_two_threads(|| {
                    let mut taken: Vec<f32> = poisoned(want.len());
                    let mut scratch = poisoned((variant.run.scratch)(&shape));
                    let taker = Summing(Shared::new(&mut taken), &reads);
                    // SAFETY: the machine supports the variant, which passes this on.
                    unsafe {
                        report(&shape, &a, &b, std::ptr::null_mut(), &mut scratch, &taker);
                    }
                    taken
                });
                for taken in [one, two] {
                    assert_same(&taken, &want, &format!("{} {shape:?}", variant.name));
                }
            }
        }
    }
    let small = shape(1, [90, 300, 70], [false, false]);
    assert!(supported::<f32>().all(|variant| !(variant.run.passes)(&small)));
}

#[test]
fn short_slices_are_refused() {
    let shape = shape(2, [3, 4, 5], [false, false]);
    let [a, b] = operands::<f32>(&shape);
    for variant in supported::<f32>() {
        let short = || product(&variant.run, &shape, &a, &b[1..]);
        assert!(std::panic::catch_unwind(short).is_err(), "{}", variant.name);
    }
}
