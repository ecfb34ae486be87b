//! Every variant against `scalar` in `f64`, bit for bit at one and two threads.

use super::super::ConvShape;
use super::*;
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, poisoned, random};
use proptest::prelude::*;

static ALL: [&Kernel<ConvolutionHalf>; 3] =
    [&CONV2D_HALF, &CONV2D_INPUT_GRADIENT_HALF, &CONV2D_WEIGHT_GRADIENT_HALF];

fn result<T: Real>(
    pass: usize,
    routine: &Routine<T>,
    shape: &ConvShape,
    storage: Storage,
    [a, b]: [&[u16]; 2],
) -> Vec<T> {
    let input = shape.batch * shape.in_channels * shape.input_pixels();
    let output = shape.batch * shape.out_channels * shape.output_pixels();
    let mut out: Vec<T> = poisoned([output, input, shape.weight_size()][pass]);
    let mut scratch = poisoned((routine.scratch)(shape));
    // SAFETY: callers pass routines of variants that this machine supports.
    unsafe { (routine.run)(shape, storage, a, b, &mut out, &mut scratch) };
    out
}

/// Holds every variant of every kernel to a few roundings of the sum of the
/// products' magnitudes.
fn check(shape: &ConvShape) {
    for (pass, kernel) in ALL.iter().enumerate() {
        for storage in [Storage::F16, Storage::Bf16] {
            let stored = |seed, length: usize| -> Vec<u16> {
                let values = random::<f32>(seed, length, -1.0, 1.0);
                values.into_iter().map(|value| storage.store(value)).collect()
            };
            let [first, second] = operands(shape, pass);
            let (a, b) = (stored(1, first), stored(2, second));
            let reference = &kernel.f64.last().expect("a variant").run;
            let want = result(pass, reference, shape, storage, [&a, &b]);
            let magnitude =
                |values: &[u16]| -> Vec<u16> { values.iter().map(|x| x & 0x7fff).collect() };
            let magnitudes = [&magnitude(&a)[..], &magnitude(&b)];
            let bound = result(pass, reference, shape, storage, magnitudes);
            let products = shape.products().max(1) as f64 / want.len().max(1) as f64;
            let roundings = f64::from(f32::EPSILON) * (8.0 + products.sqrt());
            for variant in kernel.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
                let what = format!("{}:{} {storage:?} {shape:?}", kernel.name, variant.name);
                let [one, two] =
                    on_one_and_two_threads(|| result(pass, &variant.run, shape, storage, [&a, &b]));
                let wide: Vec<f64> = one.iter().map(|x| f64::from(*x)).collect();
                let unit = |values: &[f64]| -> Vec<f64> {
                    values.iter().zip(&bound).map(|(x, bound)| x / (bound + 1e-30)).collect()
                };
                assert_close(&unit(&wide), &unit(&want), 0.0, roundings, &what);
                assert_same(&two, &one, &what);
            }
        }
    }
}

#[test]
fn variants_agree() {
    let plain = ConvShape {
        batch: 2,
        in_channels: 4,
        out_channels: 8,
        groups: 1,
        input: [9, 17],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
    };
    for shape in [
        plain,
        // Odd numbers of what is paired.
        ConvShape { batch: 1, in_channels: 1, out_channels: 1, ..plain },
        ConvShape { batch: 3, in_channels: 3, out_channels: 9, ..plain },
        ConvShape { in_channels: 6, out_channels: 10, groups: 2, ..plain },
        ConvShape { in_channels: 5, out_channels: 5, groups: 5, ..plain },
        // A kernel of one tap, whose image is read in place, and one of five.
        ConvShape { kernel: [1, 1], padding: [0, 0], input: [8, 16], ..plain },
        ConvShape { kernel: [5, 5], padding: [2, 2], input: [16, 16], batch: 5, ..plain },
        ConvShape { stride: [2, 2], input: [16, 16], ..plain },
        ConvShape { stride: [3, 2], dilation: [2, 1], padding: [2, 0], ..plain },
        ConvShape { batch: 17, in_channels: 33, out_channels: 18, input: [16, 16], ..plain },
        ConvShape { batch: 0, ..plain },
        ConvShape { in_channels: 0, ..plain },
    ] {
        check(&shape);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn variants_agree_on_any_shape(
        batch in 1usize..5,
        channels in (1usize..7, 1usize..7),
        groups in 1usize..3,
        input in (1usize..20, 1usize..36),
        kernel in (1usize..4, 1usize..4),
        stride in (1usize..3, 1usize..3),
        padding in (0usize..3, 0usize..3),
    ) {
        let shape = ConvShape {
            batch,
            in_channels: channels.0 * groups,
            out_channels: channels.1 * groups,
            groups,
            input: [input.0, input.1],
            kernel: [kernel.0, kernel.1],
            stride: [stride.0, stride.1],
            padding: [padding.0, padding.1],
            dilation: [1, 1],
        };
        if !shape.output().contains(&0) {
            check(&shape);
        }
    }
}
