//! Every variant against `scalar`, the gradients against the convolution, and
//! the promises of the family.

use super::{
    CONV2D, CONV2D_INPUT_GRADIENT, CONV2D_WEIGHT_GRADIENT, ConvShape, Convolution, Routine,
};
use crate::parallel::{Shared, tests::on_one_and_two_threads};
use crate::real::Real;
use crate::testing::{assert_close, assert_same, cases, poisoned, random};
use crate::variant::Kernel;
use proptest::prelude::*;

static ALL: [&Kernel<Convolution>; 3] = [&CONV2D, &CONV2D_INPUT_GRADIENT, &CONV2D_WEIGHT_GRADIENT];

/// A square shape without groups.
fn square(batch: usize, channels: [usize; 2], size: usize, kernel: usize) -> ConvShape {
    ConvShape {
        batch,
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        input: [size; 2],
        kernel: [kernel; 2],
        stride: [1; 2],
        padding: [kernel / 2; 2],
        dilation: [1; 2],
    }
}

/// Lengths of input, weight and output.
fn sizes(s: &ConvShape) -> [usize; 3] {
    [
        s.batch * s.in_channels * s.input_pixels(),
        s.weight_size(),
        s.batch * s.out_channels * s.output_pixels(),
    ]
}

/// Which of input, weight and output a kernel reads, and writes.
fn roles(kernel: &Kernel<Convolution>) -> ([usize; 2], usize) {
    match kernel.name {
        "conv2d" => ([0, 1], 2),
        "conv2d_input_gradient" => ([2, 1], 0),
        _ => ([0, 2], 1),
    }
}

/// The result, from poisoned memory.
fn result<T: Real>(
    kernel: &Kernel<Convolution>,
    routine: &Routine<T>,
    shape: &ConvShape,
    operands: [&[T]; 2],
) -> Vec<T> {
    let mut out = poisoned(sizes(shape)[roles(kernel).1]);
    let mut scratch = poisoned((routine.scratch)(shape));
    // SAFETY: callers pass routines of variants that this machine supports.
    unsafe { (routine.run)(shape, operands[0], operands[1], &mut out, &mut scratch) };
    out
}

fn scalar<T: Real>(kernel: &Kernel<Convolution>) -> &'static Routine<T> {
    &T::variants(kernel).last().expect("a kernel has a scalar variant").run
}

fn operands<T: Real>(kernel: &Kernel<Convolution>, shape: &ConvShape) -> [Vec<T>; 2] {
    roles(kernel).0.map(|role| random(role as u64, sizes(shape)[role], -1.0, 1.0))
}

/// Holds every variant of every kernel to an error of a few roundings of the
/// sum of the products' magnitudes, the bound that any order of summation
/// keeps.
fn check(shape: &ConvShape) {
    for kernel in ALL {
        check_operands(kernel, shape, operands(kernel, shape), |_| true);
    }
}

fn check_operands(
    kernel: &Kernel<Convolution>,
    shape: &ConvShape,
    [a, b]: [Vec<f32>; 2],
    wanted: impl Fn(&str) -> bool,
) {
    let want = result(kernel, scalar(kernel), shape, [&a, &b]);
    let magnitudes = [&a, &b].map(|values| values.iter().map(|x| x.abs()).collect::<Vec<_>>());
    let bound = result(kernel, scalar(kernel), shape, [&magnitudes[0], &magnitudes[1]]);
    let products = shape.products().max(1) as f64 / want.len().max(1) as f64;
    let roundings = f64::from(f32::EPSILON) * (8.0 + products.sqrt());
    for variant in kernel.f32.iter().filter(|variant| wanted(variant.name)) {
        if variant.isa.supported().is_err() {
            continue;
        }
        let got = result(kernel, &variant.run, shape, [&a, &b]);
        // In units of each element's own bound; where transforms mix the
        // taps of a kernel, of the largest of its bounds.
        let mixed = variant.name.starts_with("winograd") && roles(kernel).1 == 1;
        let taps = if mixed { shape.taps() } else { 1 };
        let unit = |values: &[f32]| -> Vec<f32> {
            let in_units = |(values, bounds): (&[f32], &[f32])| {
                let bound = bounds.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(*x));
                values.iter().map(|x| x / bound).collect::<Vec<_>>()
            };
            values.chunks(taps).zip(bound.chunks(taps)).flat_map(in_units).collect()
        };
        let what = format!("{}:{} {shape:?}", kernel.name, variant.name);
        let allowed = roundings * allowance(variant.name);
        assert_close(&unit(&got), &unit(&want), 0.0, allowed, &what);
    }
}

/// How many times the error of a plain sum a variant may have.
fn allowance(variant: &str) -> f64 {
    if variant.starts_with("winograd4") { 8.0 } else { 1.0 }
}

/// Zeros here and there, whole rows of them, and nothing else. (The bound of an
/// element says nothing about `winograd` where its neighbours are not zero.)
#[test]
fn zeros_are_skipped_and_nothing_else() {
    let widths = [[32, 48], [70, 16], [1, 9]];
    for (kernel, channels) in ALL.iter().flat_map(|k| widths.map(|channels| (k, channels))) {
        for (window, size) in [(3, [9, 21]), (5, [17, 6]), (1, [5, 33])] {
            let shape = ConvShape { input: size, ..square(3, channels, 0, window) };
            for share in [0.1, 0.5, 0.9, 1.0] {
                let [mut a, b] = operands::<f32>(kernel, &shape);
                let draw: Vec<f64> = random(7, a.len(), 0.0, 1.0);
                let at_random = |i: usize| draw[i] < share || (i / size[1]).is_multiple_of(4);
                (0..a.len()).filter(|i| at_random(*i)).for_each(|i| a[i] = [0.0, -0.0][i % 2]);
                check_operands(kernel, &shape, [a, b], |name| !name.starts_with("winograd"));
            }
        }
    }
}

/// What `skip` states: a product with zero is none, even if the other factor is
/// infinite; what is not a number is no zero.
#[cfg(target_arch = "x86_64")]
#[test]
fn skip_takes_a_product_with_zero_for_none() {
    let shape = square(1, [20, 20], 5, 3);
    for kernel in ALL {
        let variant = kernel.f32.iter().find(|variant| variant.name == "skip");
        let variant = variant.expect("a variant of that name");
        if variant.isa.supported().is_err() {
            continue;
        }
        let [a, b] = operands::<f32>(kernel, &shape);
        let infinite = vec![f32::INFINITY; b.len()];
        let got = result(kernel, &variant.run, &shape, [&vec![0.0; a.len()], &infinite]);
        assert!(got.iter().all(|x| *x == 0.0), "{}", kernel.name);
        let got = result(kernel, &variant.run, &shape, [&vec![f32::NAN; a.len()], &b]);
        assert!(got.iter().all(|x| x.is_nan()), "{}", kernel.name);
    }
}

/// The loss that `winograd` states, as the root mean square of the error over
/// that of the result, and as the largest error over the same.
#[cfg(target_arch = "x86_64")]
#[test]
fn winograd_loses_accuracy_within_what_it_states() {
    let shape = square(3, [64, 48], 26, 3);
    for kernel in ALL {
        let [a, b] = operands::<f64>(kernel, &shape);
        let [a, b] = [a, b].map(|x| x.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let wide = [&a, &b].map(|x| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        let want = result(kernel, scalar(kernel), &shape, [&wide[0], &wide[1]]);
        let square_mean = |values: &[f64]| {
            (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
        };
        let unit = square_mean(&want);
        for variant in kernel.f32 {
            let name = variant.name;
            let (mean, most) = match name.trim_end_matches("-avx2") {
                "avx512" | "avx2" => (6e-7, 7e-6),
                "winograd2" => (4e-7, 3e-6),
                "winograd4" => (2.5e-6, 4e-5),
                _ => continue,
            };
            if variant.isa.supported().is_err() {
                continue;
            }
            let got = result(kernel, &variant.run, &shape, [&a, &b]);
            let errors: Vec<_> =
                got.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want) / unit).collect();
            let largest = errors.iter().fold(0.0f64, |most, error| most.max(error.abs()));
            let found = square_mean(&errors);
            println!("{}:{name}: mean {found:.1e}, most {largest:.1e}", kernel.name);
            // So written, NaN fails.
            assert!(found <= mean && largest <= most, "{name}: {found:e}, {largest:e}");
            assert!(found > mean / 8.0, "{name} states a loss that is not there: {found:e}");
        }
    }
}

/// Sizes around the tiles, blocks and registers of Winograd's forms, with all
/// paddings that they take.
#[test]
fn winograd_agrees_at_its_edges() {
    for (size, padding) in [([5, 1], 1), ([1, 5], 2), ([8, 9], 0), ([31, 64], 1), ([66, 3], 1)] {
        for channels in [[32, 32], [33, 45], [40, 57]] {
            let shape = square(2, channels, 7, 3);
            check(&ConvShape { input: size, padding: [padding; 2], ..shape });
        }
    }
    check(&ConvShape { groups: 2, padding: [2, 0], ..square(3, [64, 70], 14, 3) });
}

#[test]
fn scalar_is_the_definition() {
    let shape = ConvShape { padding: [1, 0], ..square(1, [1, 1], 3, 2) };
    assert_eq!(shape.output(), [4, 2]);
    let input: Vec<f64> = (1..=9).map(f64::from).collect();
    let weight = [1.0, 10.0, 100.0, 1000.0];
    let output = result(&CONV2D, scalar(&CONV2D), &shape, [&input, &weight]);
    assert_eq!(output, [2100.0, 3200.0, 5421.0, 6532.0, 8754.0, 9865.0, 87.0, 98.0]);
}

/// `⟨conv(x, w), c⟩ = ⟨x, input gradient(c, w)⟩ = ⟨w, weight gradient(x, c)⟩`.
fn check_adjoint(shape: &ConvShape) {
    let [x, w, c] = [0, 1, 2].map(|i| random::<f64>(i as u64, sizes(shape)[i], -1.0, 1.0));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let forward = dot(&result(&CONV2D, scalar(&CONV2D), shape, [&x, &w]), &c);
    for (kernel, of, at) in
        [(&CONV2D_INPUT_GRADIENT, [&c, &w], &x), (&CONV2D_WEIGHT_GRADIENT, [&x, &c], &w)]
    {
        let gradient = result(kernel, scalar(kernel), shape, of.map(|v| v.as_slice()));
        let what = format!("{} {shape:?}", kernel.name);
        assert_close(&[dot(&gradient, at)], &[forward], 1e-12, 1e-11, &what);
    }
}

#[test]
fn kernels_that_do_not_fit_give_nothing() {
    let shape = ConvShape { padding: [0, 0], ..square(2, [2, 3], 3, 4) };
    assert_eq!(shape.output(), [0, 0]);
    check(&shape);
    check(&square(0, [2, 3], 5, 3));
    check(&ConvShape { input: [0, 0], padding: [2, 2], ..square(2, [2, 3], 5, 3) });
}

/// Paddings beyond the kernel: bands of rows that begin below the image.
#[test]
fn variants_agree_on_rows_of_nothing_but_padding() {
    for (kernel, padding) in [([1, 3], [3, 1]), ([3, 1], [7, 0]), ([2, 2], [3, 1])] {
        for channels in [[3, 8], [16, 16]] {
            let shape = ConvShape { kernel, padding, ..square(2, channels, 70, 3) };
            check(&shape);
            check(&ConvShape { input: [9, 200], ..shape });
        }
    }
}

/// Images without a border whose rows are whole vectors, which some kernels read
/// where they are. The operands are allocations of their own: a checker of memory
/// sees a vector that leaves them.
#[test]
fn variants_agree_where_there_is_no_border() {
    for width in [8, 16, 32] {
        for kernel in [[1, 1], [3, 1], [1, 2], [3, 3], [5, 5]] {
            let shape = ConvShape { input: [9, width], kernel, ..square(2, [3, 5], 9, 1) };
            check(&ConvShape { padding: [0, 0], ..shape });
            check(&ConvShape { padding: [0, 0], stride: [1, 2], ..shape });
            let padding = kernel.map(|size| size - 1);
            check(&ConvShape { padding, ..shape });
            // The input's gradient has the result's width for its source.
            let input = [9, width + 1 - kernel[1].min(width)];
            check(&ConvShape { padding, input, ..shape });
        }
    }
}

/// Widths around whole vectors, and channels around whole tiles.
#[test]
fn variants_agree_at_tile_edges() {
    for size in [1, 2, 4, 7, 8, 9, 13, 15, 16, 17, 24, 31, 32, 33] {
        check(&square(2, [3, 5], size, 3));
        check(&square(1, [2, 9], size, 1));
    }
    for out_channels in [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17] {
        check(&square(1, [3, out_channels], 12, 3));
        check(&square(1, [out_channels, 2], 6, 5));
    }
}

#[test]
fn variants_agree_on_the_shapes_of_the_laboratory() {
    check(&square(5, [3, 8], 64, 3));
    check(&square(9, [8, 16], 32, 3));
    check(&square(33, [16, 16], 16, 3));
    check(&square(3, [32, 64], 8, 3));
    let patches = ConvShape { stride: [8, 8], padding: [0, 0], ..square(3, [3, 24], 64, 8) };
    check(&patches);
}

/// Parts whose images do not all fit into one walk of the weight's gradient.
#[test]
fn variants_agree_on_long_walks() {
    check(&square(20, [8, 4], 64, 3));
    check(&ConvShape { groups: 4, ..square(40, [16, 16], 32, 3) });
}

fn any_shape() -> impl Strategy<Value = ConvShape> {
    let pair = |low: usize, high: usize| [low..=high, low..=high];
    let grouping = (1usize..=3, 1usize..=9, 1usize..=9, 0usize..3);
    let window = (pair(1, 5), pair(1, 3), pair(0, 3), pair(1, 3));
    (0usize..4, grouping, pair(1, 40), window).prop_map(
        |(batch, (groups, i, o, kind), input, (kernel, stride, padding, dilation))| {
            let (groups, in_channels, out_channels) = match kind {
                0 => (1, i, o),
                1 => (groups, groups * i, groups * o),
                // Depthwise, with a multiplier.
                _ => (i, i, i * groups),
            };
            ConvShape {
                batch,
                in_channels,
                out_channels,
                groups,
                input,
                kernel,
                stride,
                padding,
                dilation,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]
    #[test]
    fn variants_agree_on_any_shape(shape in any_shape()) {
        check(&shape);
    }

    #[test]
    fn gradients_are_adjoint_to_the_convolution(shape in any_shape()) {
        check_adjoint(&shape);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let shapes = [
        square(20, [3, 8], 32, 3),
        square(64, [16, 16], 16, 3),
        square(12, [32, 32], 12, 3),
        ConvShape { stride: [2, 2], groups: 2, ..square(30, [8, 8], 32, 3) },
    ];
    for (shape, kernel) in shapes.iter().flat_map(|shape| ALL.map(|kernel| (shape, kernel))) {
        let [a, b] = operands::<f32>(kernel, shape);
        for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            let with_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let run = || result(kernel, &variant.run, shape, [&a, &b]);
                pool.expect("threads").install(run)
            };
            let alone = with_threads(1);
            for threads in [2, 5] {
                let what = format!("{}:{} on {threads} threads", kernel.name, variant.name);
                assert_same(&with_threads(threads), &alone, &what);
            }
        }
    }
}

#[test]
fn short_slices_are_refused() {
    let shape = square(2, [2, 3], 8, 3);
    for kernel in ALL {
        let [a, b] = operands::<f32>(kernel, &shape);
        for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            let short = || result(kernel, &variant.run, &shape, [&a, &b[1..]]);
            assert!(std::panic::catch_unwind(short).is_err(), "{}", variant.name);
        }
    }
}

/// Every image is handed over once, when it is done.
#[test]
fn what_is_reported_is_finished() {
    let plain = ConvShape {
        batch: 5,
        in_channels: 4,
        out_channels: 6,
        groups: 2,
        input: [9, 17],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
    };
    for shape in [
        plain,
        ConvShape { batch: 0, ..plain },
        ConvShape { in_channels: 0, ..plain },
        ConvShape { stride: [2, 3], ..plain },
        // Winograd's, in several parts.
        ConvShape { batch: 7, in_channels: 33, out_channels: 34, groups: 1, ..plain },
    ] {
        let input = shape.batch * shape.in_channels * shape.input_pixels();
        let output = shape.batch * shape.out_channels * shape.output_pixels();
        let weight = random::<f32>(3, shape.weight_size(), -1.0, 1.0);
        for (kernel, from, to) in
            [(&CONV2D, input, output), (&CONV2D_INPUT_GRADIENT, output, input)]
        {
            let source = random::<f32>(4, from, -1.0, 1.0);
            for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
                let Some(report) = variant.run.report else { continue };
                let mut want: Vec<f32> = poisoned(to);
                let mut scratch = poisoned((variant.run.scratch)(&shape));
                // SAFETY: the machine supports the variant.
                unsafe { (variant.run.run)(&shape, &source, &weight, &mut want, &mut scratch) };
                for taken in on_one_and_two_threads(|| {
                    let (mut out, mut taken): (Vec<f32>, Vec<f32>) = (poisoned(to), poisoned(to));
                    let mut scratch = poisoned((variant.run.scratch)(&shape));
                    let (from, to) = (Shared::new(&mut out), Shared::new(&mut taken));
                    let take = |range: std::ops::Range<usize>, values: *mut u8| {
                        assert_eq!(values, from.get().wrapping_add(range.start).cast());
                        // SAFETY: ranges are reported once.
                        let (from, to) = unsafe { (from.part(range.clone()), to.part(range)) };
                        assert!(to.iter().all(|value| value.is_nan()), "reported twice");
                        to.copy_from_slice(from);
                        from.fill(f32::NAN);
                    };
                    // SAFETY: as above; the result is touched where it is reported.
                    unsafe { report(&shape, &source, &weight, from.get(), &mut scratch, &take) };
                    assert!(out.iter().all(|value| value.is_nan()), "touched after that");
                    taken
                }) {
                    assert_same(&taken, &want, &format!("{} {shape:?}", variant.name));
                }
            }
        }
    }
}
