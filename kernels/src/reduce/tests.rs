//! Every variant this machine has, against plain sums in `f64`.

use super::*;
use crate::testing::{RAGGED, assert_close, assert_same, hash, poisoned, random};

type Run = <Reduce as Signature>::Run<f32>;

fn here(kernel: &'static Kernel<Reduce>) -> impl Iterator<Item = &'static Variant<Run>> {
    assert_eq!(kernel.f32.last().map(|v| v.name), Some("scalar"));
    kernel.f32.iter().filter(|v| v.isa.supported().is_ok())
}

fn dim(size: usize, reduced: bool) -> Dim {
    Dim { size, reduced }
}

fn sizes(dims: &[Dim]) -> (usize, usize) {
    let all = dims.iter().map(|d| d.size).product();
    (all, dims.iter().filter(|d| !d.reduced).map(|d| d.size).product())
}

/// Runs into poison and checks that nothing behind the end was touched.
fn run(variant: &Variant<Run>, dims: &[Dim], x: &[f32]) -> Vec<f32> {
    let (all, kept) = sizes(dims);
    assert_eq!(x.len(), all);
    let mut out = poisoned(kept);
    out.extend([12345.0; 16]);
    // SAFETY: the slices have the lengths of the shapes; the variant is supported.
    unsafe { (variant.run)(dims, x, &mut out[..kept]) };
    assert_eq!(out.split_off(kept), [12345.0; 16], "written past the end");
    out
}

/// An independent reference: walks every element by its coordinates.
fn plain(dims: &[Dim], x: &[f32], start: f64, step: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let mut out = vec![start; sizes(dims).1];
    for (i, &value) in x.iter().enumerate() {
        let (mut rest, mut o, mut stride) = (i, 0, 1);
        for d in dims.iter().rev() {
            if !d.reduced {
                o += rest % d.size * stride;
                stride *= d.size;
            }
            rest /= d.size;
        }
        out[o] = step(out[o], f64::from(value));
    }
    out.iter().map(|&total| total as f32).collect()
}

fn check(dims: &[Dim]) {
    let x: Vec<f32> = random(dims.len() as u64, sizes(dims).0, -1.0, 1.0);
    let sum = plain(dims, &x, 0.0, |a, b| a + b);
    let max = plain(dims, &x, f64::NEG_INFINITY, f64::max);
    for variant in here(&SUM) {
        let what = format!("sum:{} of {dims:?}", variant.name);
        let got = run(variant, dims, &x);
        let terms = x.len() as f64 / sum.len().max(1) as f64;
        assert_close(&got, &sum, 1e-6, 1e-6 * terms.sqrt().max(1.0), &what);
        assert_same(&run(variant, &collapse(dims), &x), &got, &format!("{what}, collapsed"));
    }
    for variant in here(&MAX) {
        let what = format!("max:{} of {dims:?}", variant.name);
        assert_same(&run(variant, dims, &x), &max, &what);
    }
}

#[test]
fn rows_and_columns_of_ragged_sizes() {
    for n in crate::testing::RAGGED {
        check(&[dim(n, true)]);
        check(&[dim(n, false)]);
        for m in [0, 1, 3, 16, 65, 130] {
            check(&[dim(m, false), dim(n, true)]);
            check(&[dim(m, true), dim(n, false)]);
            check(&[dim(2, true), dim(m, false), dim(n, true)]);
            check(&[dim(2, false), dim(m, true), dim(n, false)]);
        }
    }
}

#[test]
fn any_mixture_of_dimensions() {
    check(&[]);
    for case in 0..300u64 {
        let rank = 1 + hash(case) as usize % 6;
        let axis = |i: usize| {
            let bits = hash(case * 100 + i as u64 + 1);
            dim([1, 2, 3, 5, 9, 17][bits as usize % 6], bits >> 32 & 1 == 1)
        };
        check(&(0..rank).map(axis).collect::<Vec<_>>());
    }
}

/// Long enough for several blocks a lane and several parts a kernel.
#[test]
fn long_reductions_stay_accurate() {
    for dims in [
        &[dim(1_000_003, true)][..],
        &[dim(3, false), dim(100_001, true)],
        &[dim(100_001, true), dim(7, false)],
        &[dim(1500, true), dim(130, false)],
        &[dim(40, true), dim(5, false), dim(1025, true)],
    ] {
        let x = vec![0.1f32; sizes(dims).0];
        let want = plain(dims, &x, 0.0, |a, b| a + b);
        for variant in here(&SUM) {
            let what = format!("sum:{} of {dims:?}", variant.name);
            assert_close(&run(variant, dims, &x), &want, 2e-6, 0.0, &what);
        }
    }
}

#[test]
fn infinities_and_nan() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for dims in [[dim(200, true), dim(1, false)], [dim(1, false), dim(200, true)]] {
        let with = |values: &[(usize, f32)]| {
            let mut x: Vec<f32> = random(5, 200, -1.0, 1.0);
            values.iter().for_each(|&(i, value)| x[i] = value);
            x
        };
        for i in [0, 17, 100, 199] {
            for variant in here(&SUM) {
                let sum = |values: &[_]| run(variant, &dims, &with(values))[0];
                assert_eq!(sum(&[(i, inf)]), inf);
                assert_eq!(sum(&[(i, -inf)]), -inf);
                assert!(sum(&[(i, inf), ((i + 9) % 200, -inf)]).is_nan());
                assert!(sum(&[(i, nan)]).is_nan());
            }
            for variant in here(&MAX) {
                let max = |values: &[_]| run(variant, &dims, &with(values))[0];
                assert_eq!(max(&[(i, inf)]), inf);
                assert!(max(&[(i, nan)]).is_nan() && max(&[(i, nan), (150, inf)]).is_nan());
            }
        }
    }
    for variant in here(&MAX) {
        let none = run(variant, &[dim(20, false), dim(0, true)], &[]);
        assert_eq!(none, [-inf; 20]);
    }
    for variant in here(&SUM) {
        let none = run(variant, &[dim(0, true), dim(20, false)], &[]);
        assert_eq!(none, [0.0; 20]);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let pool = |threads| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().expect("a thread pool")
    };
    let (one, three) = (pool(1), pool(3));
    for dims in [
        &[dim(300, false), dim(1001, true)][..],
        &[dim(1001, true), dim(300, false)],
        &[dim(64, true), dim(9, false), dim(500, true)],
    ] {
        let x: Vec<f32> = random(6, sizes(dims).0, -1.0, 1.0);
        for variant in here(&SUM) {
            let alone = one.install(|| run(variant, dims, &x));
            let shared = three.install(|| run(variant, dims, &x));
            assert_same(&alone, &shared, variant.name);
        }
    }
}

#[test]
fn collapse_merges_and_drops() {
    let dims =
        [dim(1, true), dim(2, false), dim(1, true), dim(3, false), dim(4, true), dim(5, true)];
    assert_eq!(collapse(&dims), [dim(6, false), dim(20, true)]);
    assert_eq!(collapse(&[dim(1, true), dim(1, false)]), []);
    assert_eq!(collapse(&[dim(0, true), dim(2, true)]), [dim(0, true)]);
}

#[test]
fn argmax_takes_the_first_largest_and_nan_before_all() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let argmax = |outer, len, inner, x: &[f32]| {
        let mut out = vec![-7; outer * inner];
        scalar::argmax(outer, len, inner, x, &mut out);
        out
    };
    assert_eq!(argmax(1, 4, 1, &[1.0, 3.0, 3.0, 2.0]), [1]);
    assert_eq!(argmax(1, 4, 1, &[inf, nan, nan, inf]), [1]);
    assert_eq!(argmax(1, 3, 1, &[-inf; 3]), [0]);
    assert_eq!(argmax(1, 2, 1, &[-0.0, 0.0]), [0]);
    assert_eq!(argmax(2, 3, 2, &[1., 9., 2., 8., 3., 7., 6., 1., 5., 2., 4., 3.]), [2, 0, 0, 2]);
    assert_eq!(argmax(2, 0, 1, &[]), [0, 0]);
    assert_eq!(argmax(0, 3, 4, &[]), []);
    let x: Vec<f32> = random(9, 700 * 64, -1.0, 1.0);
    for (row, got) in x.chunks(64).zip(argmax(700, 64, 1, &x)) {
        assert!(row.iter().all(|&value| value <= row[got as usize]));
    }
}

/// Ties, NaN and infinities in rows and columns of all lengths.
#[test]
fn every_argmax_finds_what_the_reference_finds() {
    let here = || ARGMAX.f32.iter().filter(|variant| variant.isa.supported().is_ok());
    for [outer, inner] in [[1, 1], [3, 1], [70, 1], [1, 5], [2, 16], [3, 37], [0, 4], [4, 0]] {
        for len in RAGGED {
            for kind in 0..4u64 {
                let seed = (outer * 1000 + len * 10 + inner) as u64 + kind;
                let mut x: Vec<f32> = random(seed, outer * len * inner, -1.0, 1.0);
                for (i, value) in x.iter_mut().enumerate() {
                    let pick = hash(seed * 7919 + i as u64);
                    match kind {
                        // Many ties, of zeros of either sign too.
                        1 => *value = (*value * 2.0).round(),
                        2 if pick.is_multiple_of(50) => *value = f32::NAN,
                        2 if pick % 50 == 1 => *value = f32::INFINITY,
                        3 => *value = f32::NEG_INFINITY,
                        _ => {}
                    }
                }
                let mut want = vec![-7; outer * inner];
                scalar::argmax(outer, len, inner, &x, &mut want);
                for variant in here() {
                    let mut got = vec![-7; outer * inner + 1];
                    let outputs = outer * inner;
                    // SAFETY: the slices are as long as the sizes say.
                    unsafe { (variant.run)(outer, len, inner, &x, &mut got[..outputs]) };
                    assert_eq!(got.pop(), Some(-7));
                    assert_eq!(got, want, "{} {outer} {len} {inner} {kind}", variant.name);
                }
            }
        }
    }
}
