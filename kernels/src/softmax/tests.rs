//! Every variant this machine has, against the `f64` specification.

use super::*;
use crate::testing::{RAGGED, assert_close, assert_same, poisoned, random};

type Run = <Softmax as Signature>::Run<f32>;

fn here(kernel: &'static Kernel<Softmax>) -> impl Iterator<Item = &'static Variant<Run>> {
    assert_eq!(kernel.f32.last().map(|v| v.name), Some("scalar"));
    kernel.f32.iter().filter(|v| v.isa.supported().is_ok())
}

/// Runs into poison and checks that nothing behind the end was touched.
fn run(variant: &Variant<Run>, [outer, len, inner]: [usize; 3], x: &[f32]) -> Vec<f32> {
    let n = outer * len * inner;
    assert_eq!(x.len(), n);
    // At a line: from there a large output is written past the caches.
    let mut memory: Vec<f32> = poisoned(n + 16 + 16);
    let first = memory.as_ptr().align_offset(64);
    let out = &mut memory[first..first + n + 16];
    out[n..].fill(12345.0);
    // SAFETY: the slices have the lengths of the shape; the variant is supported.
    unsafe { (variant.run)(outer, len, inner, x, &mut out[..n]) };
    let mut out = out.to_vec();
    assert_eq!(out.split_off(n), [12345.0; 16], "written past the end");
    out
}

fn check(shape: [usize; 3], spread: f64) {
    let [outer, len, inner] = shape;
    let x: Vec<f32> = random(11, outer * len * inner, -spread, spread);
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for kernel in [&SOFTMAX, &LOG_SOFTMAX] {
        let mut want: Vec<f64> = poisoned(x.len());
        // SAFETY: the slices have the lengths of the shape; scalar runs everywhere.
        unsafe { (kernel.f64[0].run)(outer, len, inner, &wide, &mut want) };
        let want: Vec<f32> = want.iter().map(|&y| y as f32).collect();
        // `x - m`, up to 2·spread in size, is rounded before anything else.
        let relative = 5e-7 + 2.0 * spread * 6e-8;
        let absolute = if kernel.name == "softmax" { 1e-44 } else { 3e-7 };
        for variant in here(kernel) {
            let what = format!("{}:{} of {shape:?}", kernel.name, variant.name);
            assert_close(&run(variant, shape, &x), &want, relative, absolute, &what);
        }
    }
}

#[test]
fn ragged_shapes() {
    for n in RAGGED {
        for m in [1, 2, 16, 37] {
            check([m, n, 1], 3.0);
            check([1, n, m], 3.0);
            check([2, m, n], 3.0);
        }
        check([0, n, 1], 3.0);
    }
}

#[test]
fn large_and_long() {
    check([3, 64, 1], 80.0);
    check([3, 30, 20], 80.0);
    check([2, 20_011, 1], 5.0);
    check([1 << 13, 512, 1], 5.0);
    check([1, 20_011, 3], 5.0);
}

/// Shifting a slice changes nothing, however far; equal values share equally.
#[test]
fn no_overflow() {
    for (value, len) in [(3e38, 40), (-3e38, 40), (1000.0, 7)] {
        for inner in [1, 5] {
            let shape = [2, len, inner];
            let x = vec![value; 2 * len * inner];
            let share = 1.0 / len as f32;
            for variant in here(&SOFTMAX) {
                assert_close(
                    &run(variant, shape, &x),
                    &vec![share; x.len()],
                    2e-7,
                    0.0,
                    variant.name,
                );
            }
            for variant in here(&LOG_SOFTMAX) {
                let want = vec![share.ln(); x.len()];
                assert_close(&run(variant, shape, &x), &want, 2e-7, 0.0, variant.name);
            }
        }
    }
}

#[test]
fn infinities_and_nan() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for len in [3, 16, 21, 100] {
        for inner in [1, 3] {
            let shape = [1, len, inner];
            // Masked: -∞ beside finite values has probability 0.
            let mut masked = vec![0.5f32; len * inner];
            masked[inner..2 * inner].fill(-inf);
            for variant in here(&SOFTMAX) {
                let got = run(variant, shape, &masked);
                assert_eq!(&got[inner..2 * inner], &vec![0.0; inner], "{}", variant.name);
                let want = vec![1.0 / (len as f32 - 1.0); inner];
                assert_close(&got[..inner], &want, 2e-7, 0.0, variant.name);
            }
            for variant in here(&LOG_SOFTMAX) {
                let got = run(variant, shape, &masked);
                assert_eq!(&got[inner..2 * inner], &vec![-inf; inner], "{}", variant.name);
                assert!(got[..inner].iter().all(|y| y.is_finite()));
            }
            // All -∞, a NaN, and for softmax also a +∞: nothing but NaN.
            for (at_one, rest) in [(-inf, -inf), (nan, 0.5), (inf, 0.5)] {
                let mut x = vec![rest; len * inner];
                x[inner..2 * inner].fill(at_one);
                for variant in here(&SOFTMAX).chain(here(&LOG_SOFTMAX)) {
                    let got = run(variant, shape, &x);
                    assert!(got.iter().all(|y| y.is_nan()), "{}: {at_one}", variant.name);
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let pool = |threads| {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build().expect("a thread pool")
    };
    let (one, three) = (pool(1), pool(3));
    for shape in [[500, 64, 1], [3, 100, 300]] {
        let x: Vec<f32> = random(12, shape.iter().product(), -4.0, 4.0);
        for variant in here(&SOFTMAX).chain(here(&LOG_SOFTMAX)) {
            let alone = one.install(|| run(variant, shape, &x));
            let shared = three.install(|| run(variant, shape, &x));
            assert_same(&alone, &shared, variant.name);
        }
    }
}
