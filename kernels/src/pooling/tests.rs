use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, poisoned, random};

/// Output length by the usual formula; with `ceil` rounded up, as long as the
/// last window starts inside the input or the padding in front of it.
fn output(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil: bool,
) -> usize {
    let reach = dilation * (kernel - 1) + 1;
    let Some(room) = (input + 2 * padding).checked_sub(reach) else {
        return 0;
    };
    let windows = (room + if ceil { stride - 1 } else { 0 }) / stride + 1;
    if ceil && (windows - 1) * stride >= input + padding { windows - 1 } else { windows }
}

fn shape(
    planes: usize,
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil: bool,
) -> PoolShape {
    let length = |a: usize| output(input[a], kernel[a], stride[a], padding[a], dilation[a], ceil);
    let output = [length(0), length(1)];
    PoolShape { planes, input, output, kernel, stride, padding, dilation }
}

fn shapes() -> Vec<PoolShape> {
    let mut all = Vec::new();
    let (one, two, none) = ([1, 1], [2, 2], [0, 0]);
    // 2×2 blocks around the widths of the vectors, odd edges included.
    for width in [0, 1, 2, 3, 4, 15, 16, 17, 31, 32, 33, 34, 47, 64, 65, 130] {
        for height in [2, 3, 6] {
            all.push(shape(3, [height, width], two, two, none, one, false));
        }
    }
    all.push(shape(0, [4, 4], two, two, none, one, false));
    all.push(shape(50, [64, 64], two, two, none, one, false));
    for ceil in [false, true] {
        all.push(shape(2, [5, 7], two, two, none, one, ceil));
        all.push(shape(2, [7, 6], [3, 3], two, one, one, ceil));
        all.push(shape(2, [7, 8], [3, 2], [1, 3], [1, 0], one, ceil));
        all.push(shape(2, [9, 8], [3, 3], two, one, two, ceil));
        all.push(shape(2, [6, 6], two, two, one, one, ceil));
        all.push(shape(2, [1, 1], [3, 3], two, one, one, ceil));
        all.push(shape(2, [8, 8], [8, 8], one, none, one, ceil));
    }
    // A window that lies in the padding alone.
    all.push(shape(2, [1, 4], [2, 2], one, [2, 1], [3, 1], false));
    all
}

/// Every tap looked at by itself, straight from the definition. `None` for
/// taps that are not inside the input, with whether they are inside padding.
fn taps(shape: &PoolShape, oh: usize, ow: usize) -> Vec<(Option<usize>, bool)> {
    let position = |axis: usize, o: usize, tap: usize| {
        (o * shape.stride[axis] + tap * shape.dilation[axis]) as i64 - shape.padding[axis] as i64
    };
    let mut all = Vec::new();
    for i in 0..shape.kernel[0] {
        for j in 0..shape.kernel[1] {
            let (h, w) = (position(0, oh, i), position(1, ow, j));
            let [height, width] = shape.input.map(|n| n as i64);
            let inside = (0..height).contains(&h) && (0..width).contains(&w);
            let padded =
                h < height + shape.padding[0] as i64 && w < width + shape.padding[1] as i64;
            all.push((inside.then_some((h * width + w) as usize), padded));
        }
    }
    all
}

fn windows(shape: &PoolShape) -> impl Iterator<Item = (usize, usize, usize)> {
    let [height, width] = shape.output;
    (0..shape.planes * height * width)
        .map(move |flat| (flat / (height * width), flat / width % height, flat % width))
}

fn max_by_definition<T: Real>(shape: &PoolShape, x: &[T]) -> Vec<i32> {
    let index = |(plane, oh, ow): (usize, usize, usize)| {
        let x = &x[plane * shape.input_plane()..];
        let inside: Vec<usize> = taps(shape, oh, ow).iter().filter_map(|tap| tap.0).collect();
        let last_nan = inside.iter().rev().find(|&&at| x[at].is_nan());
        let greatest = inside.iter().map(|&at| x[at]).fold(T::neg_infinity(), T::max);
        let first = || inside.iter().find(|&&at| x[at] == greatest);
        last_nan.or_else(first).map_or(-1, |&at| at as i32)
    };
    windows(shape).map(index).collect()
}

fn max_matches<T: Real>() {
    let mut tried = 0;
    for shape in shapes() {
        let n = shape.planes * shape.input_plane();
        let plain = random::<T>(1, n, -1.0, 1.0);
        // Few distinct values make ties; NaNs and infinities are strewn in.
        let ties: Vec<T> = plain.iter().map(|x| (*x * T::of(2.0)).round()).collect();
        let special = |i: usize, x: T| match i % 7 {
            1 => T::nan(),
            3 | 4 => T::neg_infinity(),
            5 => T::infinity(),
            _ => x,
        };
        let specials = plain.iter().enumerate().map(|(i, x)| special(i * i / 3, *x)).collect();
        let lowest = vec![T::neg_infinity(); n];
        for x in [plain, ties, specials, lowest] {
            let want = max_by_definition(&shape, &x);
            for variant in T::variants(&MAX_POOL2D_INDICES) {
                if variant.isa.supported().is_err() {
                    continue;
                }
                let mut out = vec![-77; want.len()];
                // SAFETY: the variant is supported.
                unsafe { (variant.run)(&shape, &x, &mut out) };
                assert_eq!(out, want, "{} {shape:?}", variant.name);
                tried += 1;
            }
        }
    }
    assert!(tried >= 8 * shapes().len());
}

#[test]
fn every_max_variant_follows_the_definition() {
    max_matches::<f32>();
    max_matches::<f64>();
}

#[test]
fn ties_go_to_the_first_and_nan_to_the_last() {
    let one = shape(1, [2, 2], [2, 2], [2, 2], [0, 0], [1, 1], false);
    let nan = f32::NAN;
    for (x, want) in [
        ([1.0, 1.0, 1.0, 1.0], 0),
        ([0.0, 1.0, 1.0, 0.0], 1),
        ([-0.0, 0.0, 0.0, -0.0], 0),
        ([nan, 9.0, 9.0, 9.0], 0),
        ([nan, 9.0, nan, 9.0], 2),
        ([f32::NEG_INFINITY; 4], 0),
    ] {
        for variant in MAX_POOL2D_INDICES.f32.iter().filter(|v| v.isa.supported().is_ok()) {
            let mut out = [-77];
            // SAFETY: the variant is supported.
            unsafe { (variant.run)(&one, &x, &mut out) };
            assert_eq!(out, [want], "{} {x:?}", variant.name);
        }
    }
}

fn pools() -> Vec<AveragePool> {
    let with = |shape: PoolShape| {
        [(false, None), (true, None), (true, Some(-3))]
            .map(|(count_padding, divisor)| AveragePool { shape, count_padding, divisor })
    };
    shapes().into_iter().flat_map(with).collect()
}

/// The weight of every tap inside the input, and those taps.
fn weights(pool: &AveragePool, oh: usize, ow: usize) -> (f64, Vec<usize>) {
    let taps = taps(&pool.shape, oh, ow);
    let inside: Vec<usize> = taps.iter().filter_map(|tap| tap.0).collect();
    let padded = taps.iter().filter(|tap| tap.1).count();
    let counted = if pool.count_padding { padded } else { inside.len() };
    (pool.divisor.unwrap_or(counted as i64) as f64, inside)
}

fn average_matches<T: Real>(tolerance: f64) {
    for pool in pools() {
        let (planes, input) = (pool.shape.planes, pool.shape.input_plane());
        let x = random::<T>(2, planes * input, -1.0, 1.0);
        let cotangent = random::<T>(3, planes * pool.shape.output_plane(), -1.0, 1.0);
        let (mut forward, mut backward) = (Vec::new(), vec![0.0; x.len()]);
        for ((plane, oh, ow), cotangent) in windows(&pool.shape).zip(&cotangent) {
            let (divisor, inside) = weights(&pool, oh, ow);
            let sum: f64 = inside.iter().map(|at| x[plane * input + at].wide()).sum();
            forward.push(T::of(if inside.is_empty() { 0.0 } else { sum / divisor }));
            for at in inside {
                backward[plane * input + at] += cotangent.wide() / divisor;
            }
        }
        let backward: Vec<T> = backward.into_iter().map(T::of).collect();
        let check = |kernel: &Kernel<AveragePooling>, x: &[T], want: &[T]| {
            let run = |variant: &Variant<<AveragePooling as Signature>::Run<T>>| {
                let mut out = poisoned::<T>(want.len());
                // SAFETY: portable variants.
                unsafe { (variant.run)(&pool, x, &mut out) };
                out
            };
            let scalar = run(T::variants(kernel).last().expect("a scalar variant"));
            assert_close(&scalar, want, tolerance, tolerance, &format!("{} {pool:?}", kernel.name));
            for variant in T::variants(kernel) {
                let what = format!("{} {} {pool:?}", kernel.name, variant.name);
                assert_same(&run(variant), &scalar, &what);
            }
        };
        check(&AVERAGE_POOL2D, &x, &forward);
        check(&AVERAGE_POOL2D_GRADIENT, &cotangent, &backward);
    }
}

#[test]
fn every_average_variant_follows_the_definition() {
    average_matches::<f32>(1e-6);
    average_matches::<f64>(1e-14);
}

#[test]
fn the_gradient_is_the_adjoint() {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for pool in pools() {
        let x = random::<f64>(4, pool.shape.planes * pool.shape.input_plane(), -1.0, 1.0);
        let y = random::<f64>(5, pool.shape.planes * pool.shape.output_plane(), -1.0, 1.0);
        for (forward, backward) in AVERAGE_POOL2D.f64.iter().zip(AVERAGE_POOL2D_GRADIENT.f64) {
            let (mut pooled, mut spread) = (poisoned(y.len()), poisoned(x.len()));
            // SAFETY: portable variants.
            unsafe {
                (forward.run)(&pool, &x, &mut pooled);
                (backward.run)(&pool, &y, &mut spread);
            }
            let (got, want) = (dot(&x, &spread), dot(&pooled, &y));
            assert_close(&[got], &[want], 1e-11, 1e-11, &format!("{} {pool:?}", forward.name));
        }
    }
}

#[test]
fn padding_counts_as_pytorch_counts_it() {
    // avg_pool2d of ones, 3 wide with padding 1, kernel 2, stride 2, ceil_mode:
    // windows at −1, 1 and none at 3; then kernel 3, stride 3, whose last
    // window, at 2, sticks out beyond the padding by one.
    let ones = |n| vec![1.0f64; n];
    let line = |kernel, stride, count_padding| {
        let shape = shape(1, [1, 3], [1, kernel], [1, stride], [0, 1], [1, 1], true);
        let pool = AveragePool { shape, count_padding, divisor: None };
        let mut out = poisoned::<f64>(shape.output_plane());
        scalar::average(&pool, &ones(3), &mut out);
        out
    };
    assert_eq!(line(2, 2, true), [0.5, 1.0]);
    assert_eq!(line(2, 2, false), [1.0, 1.0]);
    assert_eq!(line(3, 3, true), [2.0 / 3.0, 0.5]);
    assert_eq!(line(3, 3, false), [1.0, 1.0]);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let quads = shape(60, [64, 64], [2, 2], [2, 2], [0, 0], [1, 1], false);
    let padded = shape(60, [64, 64], [3, 3], [2, 2], [1, 1], [1, 1], true);
    let work = || {
        let mut results: Vec<Vec<f32>> = Vec::new();
        let mut winners = Vec::new();
        for shape in [quads, padded] {
            let x = random::<f32>(6, shape.planes * shape.input_plane(), -1.0, 1.0);
            let y = random::<f32>(7, shape.planes * shape.output_plane(), -1.0, 1.0);
            let pool = AveragePool { shape, count_padding: true, divisor: None };
            let mut indices = vec![-77; y.len()];
            let (mut pooled, mut spread) = (poisoned(y.len()), poisoned(x.len()));
            quads::max_indices(&shape, &x, &mut indices);
            quads::average(&pool, &x, &mut pooled);
            quads::average_gradient(&pool, &y, &mut spread);
            winners.push(indices);
            results.extend([pooled, spread]);
        }
        (results, winners)
    };
    let [one, two] = on_one_and_two_threads(work);
    assert_eq!(one.1, two.1);
    for (one, two) in one.0.iter().zip(&two.0) {
        assert_same(two, one, "2 threads");
    }
}
