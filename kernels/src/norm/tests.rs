//! Every variant this machine has, against the specification in `f64`.

use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, poisoned, random};

const ROWS: NormShape =
    NormShape { rows: 0, width: 0, centred: true, epsilon: 1e-5, run: 1, groups: 1 };

/// Poison, and where in it a line begins; a large output is written past the
/// caches only from there.
fn at_a_line<T: Real>(n: usize) -> (usize, Vec<T>) {
    let mut memory: Vec<T> = poisoned(n + 16);
    let first = memory.as_ptr().align_offset(64);
    memory.truncate(first + n);
    (first, memory)
}

struct Inputs<T> {
    x: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T>,
    c: Vec<T>,
}

fn run<T: Real>(
    shape: &NormShape,
    norm: <Norm as Signature>::Run<T>,
    gradient: <NormGradient as Signature>::Run<T>,
    inputs: &Inputs<T>,
) -> [Vec<T>; 2] {
    let Inputs { x, weight, bias, c } = inputs;
    let mut out = at_a_line(shape.elements() + 1);
    let last = shape.elements();
    // SAFETY: the slices have the lengths of the shape; the variant is supported.
    unsafe { norm(shape, x, weight, bias, &mut out.1[out.0..][..last]) };
    let mut out = out.1.split_off(out.0);
    assert!(out.pop().is_some_and(|value| value.is_nan()), "written past the end");
    let mut gradients = at_a_line(shape.gradients() + 1);
    let mut scratch = poisoned(gradient_scratch(shape));
    let last = shape.gradients();
    // SAFETY: as above.
    unsafe {
        gradient(shape, x, weight, c, &mut gradients.1[gradients.0..][..last], &mut scratch);
    }
    let mut gradients = gradients.1.split_off(gradients.0);
    assert!(gradients.pop().is_some_and(|value| value.is_nan()), "written past the end");
    [out, gradients]
}

fn check(shape: &NormShape, offset: f64) {
    let (n, weights) = (shape.elements(), shape.weights());
    // A mean far from 0, and one element in front, so that nothing is aligned.
    let make = |seed, n, low, high| random::<f32>(seed, n, low, high);
    let single = Inputs {
        x: make(1, n, offset - 1.0, offset + 1.0),
        weight: make(2, weights, 0.5, 1.5),
        bias: if shape.centred { make(3, weights, -1.0, 1.0) } else { Vec::new() },
        c: make(4, n, -1.0, 1.0),
    };
    let wide = |x: &[f32]| x.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let Inputs { x, weight, bias, c } = &single;
    let double = Inputs { x: wide(x), weight: wide(weight), bias: wide(bias), c: wide(c) };
    let [want, gradients] = run(shape, NORM.f64[0].run, NORM_GRADIENT.f64[0].run, &double);
    let narrow = |x: &[f64]| x.iter().map(|value| *value as f32).collect::<Vec<_>>();
    for (norm, gradient) in NORM.f32.iter().zip(NORM_GRADIENT.f32) {
        if norm.isa.supported().is_err() {
            continue;
        }
        let what = format!("{} {shape:?}", norm.name);
        let [one, two] = on_one_and_two_threads(|| run(shape, norm.run, gradient.run, &single));
        assert_same(&two[0], &one[0], &what);
        assert_same(&two[1], &one[1], &what);
        // Centring loses what the mean has more digits than the rest; and the
        // gradient of few values is a small difference of large ones.
        let few = (64.0 / shape.width.max(1) as f64).max(1.0);
        let tolerance = 4e-6 * (1.0 + offset) * few;
        assert_close(&one[0], &narrow(&want), 1e-5, tolerance, &what);
        let largest = gradients.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        let what = format!("{what} gradients");
        assert_close(&one[1], &narrow(&gradients), 1e-5, tolerance * largest, &what);
    }
}

#[test]
fn ragged_rows_agree_with_the_specification() {
    for width in [1, 2, 15, 16, 17, 31, 33, 64, 65, 128, 200, 1000] {
        for rows in [0, 1, 3, 130] {
            for centred in [false, true] {
                let shape = NormShape { rows, width, centred, ..ROWS };
                check(&shape, 0.0);
                check(&shape, 3.0);
            }
        }
    }
}

#[test]
fn channels_that_share_a_weight() {
    for [examples, groups, channels, run] in
        [[1, 1, 1, 7], [3, 2, 3, 17], [2, 4, 1, 64], [5, 1, 5, 33], [3, 3, 2, 100], [2, 1, 1, 9000]]
    {
        for centred in [false, true] {
            let (rows, width) = (examples * groups, channels * run);
            check(&NormShape { rows, width, centred, run, groups, ..ROWS }, 0.5);
        }
    }
}

/// Rows longer than a block, more rows than one block of a part, many parts.
#[test]
fn long_rows_and_many_of_them() {
    check(&NormShape { rows: 2, width: 20_001, ..ROWS }, 1.0);
    check(&NormShape { rows: 5000, width: 40, ..ROWS }, 1.0);
    check(&NormShape { rows: 70_000, width: 16, ..ROWS }, 0.0);
}

/// Large enough to be written past the caches.
#[test]
fn outputs_beyond_the_caches() {
    check(&NormShape { rows: 1 << 13, width: 512, ..ROWS }, 0.0);
    check(&NormShape { rows: 1 << 9, width: 1 << 13, run: 1 << 12, groups: 2, ..ROWS }, 0.0);
}

#[test]
fn a_row_of_equals_gives_the_bias_and_nan_stays_in_its_row() {
    let shape = NormShape { rows: 2, width: 40, ..ROWS };
    let mut x = vec![3.0f32; 80];
    x[50] = f32::NAN;
    for variant in NORM.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
        let mut out = poisoned(80);
        // SAFETY: the slices have the lengths of the shape; the variant is supported.
        unsafe { (variant.run)(&shape, &x, &[2.0; 40], &[0.25; 40], &mut out) };
        assert_eq!(out[..40], [0.25; 40], "{}", variant.name);
        assert!(out[40..].iter().all(|value| value.is_nan()), "{}", variant.name);
    }
}

#[test]
fn moments_of_channels_are_those_of_two_passes() {
    for [samples, channels, pixels] in [
        [1, 1, 1],
        [3, 2, 5],
        [7, 3, 64],
        [2, 5, 1000],
        [40, 4, 33],
        [2, 2, 20_001],
        [600, 3, 17],
        [5, 0, 4],
        [300, 2, 8192],
    ] {
        let shape = MomentsShape { samples, channels, pixels };
        for offset in [0.0, 100.0] {
            let x: Vec<f32> = random(samples as u64, shape.elements(), offset - 1.0, offset + 1.0);
            let count = (samples * pixels) as f64;
            let mut want = vec![0.0f32; 2 * channels];
            for channel in 0..channels {
                let run = |sample: usize| &x[(sample * channels + channel) * pixels..][..pixels];
                let values = || (0..samples).flat_map(run).map(|value| f64::from(*value));
                let mean = values().sum::<f64>() / count;
                want[channel] = mean as f32;
                let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
                want[channels + channel] = (squares / count) as f32;
            }
            for variant in MOMENTS.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
                let results = on_one_and_two_threads(|| {
                    let mut out = poisoned(2 * channels);
                    let mut scratch = poisoned(shape.scratch());
                    // SAFETY: the slices have the lengths of the shape.
                    unsafe { (variant.run)(&shape, &x, &mut out, &mut scratch) };
                    out
                });
                let what = format!("{} {shape:?} around {offset}", variant.name);
                assert_same(&results[1], &results[0], &what);
                assert_close(&results[0], &want, 2e-6, 1e-6, &what);
            }
        }
    }
}
