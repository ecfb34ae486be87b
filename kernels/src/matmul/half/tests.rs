//! Every variant against `scalar`.

use super::super::MatmulShape;
use super::{MATMUL_HALF, Storage};
use crate::parallel::tests::on_one_and_two_threads;
use crate::testing::{assert_close, assert_same, poisoned, random};

const BOTH: [Storage; 2] = [Storage::F16, Storage::Bf16];

/// Holds every variant to a few roundings of `Σ |a| |b|`, at any alignment.
fn check(shape: &MatmulShape, storage: Storage) {
    let last = shape.batch.saturating_sub(1);
    let stored = |seed, length: usize, shift: usize| -> Vec<u16> {
        let values = random::<f32>(seed, length + shift, -1.0, 1.0);
        values.into_iter().map(|value| storage.store(value)).collect()
    };
    for shift in [0, 1] {
        let a = stored(1, last * shape.a_stride + shape.m * shape.k, shift);
        let b = stored(2, last * shape.b_stride + shape.k * shape.n, shift);
        let (a, b) = (&a[shift..], &b[shift..]);
        let run = |variant: &'static crate::Variant<super::Routine<f32>>, a: &[u16], b: &[u16]| {
            let mut out: Vec<f32> = poisoned(shape.elements());
            let mut scratch = poisoned((variant.run.scratch)(shape));
            // SAFETY: the machine supports the variant.
            unsafe { (variant.run.run)(shape, storage, a, b, &mut out, &mut scratch) };
            out
        };
        let scalar = MATMUL_HALF.f32.last().expect("a variant");
        let magnitude =
            |values: &[u16]| -> Vec<u16> { values.iter().map(|bits| bits & 0x7fff).collect() };
        let want = run(scalar, a, b);
        let bound = run(scalar, &magnitude(a), &magnitude(b));
        let roundings = f64::from(f32::EPSILON) * (8.0 + (shape.k as f64).sqrt());
        let unit = |values: &[f32]| -> Vec<f32> {
            values.iter().zip(&bound).map(|(x, bound)| x / (bound + 1e-30)).collect()
        };
        for variant in MATMUL_HALF.f32.iter().filter(|variant| variant.isa.supported().is_ok()) {
            let what = format!("{} {storage:?} {shape:?} from {shift}", variant.name);
            let [one, two] = on_one_and_two_threads(|| run(variant, a, b));
            assert_close(&unit(&one), &unit(&want), 0.0, roundings, &what);
            assert_same(&two, &one, &what);
        }
    }
}

#[test]
fn variants_agree() {
    for [transpose_a, transpose_b] in [[false, false], [true, false], [false, true], [true, true]] {
        for [batch, m, n, k] in [
            [1, 0, 3, 4],
            [1, 3, 4, 0],
            [1, 1, 1, 1],
            [1, 5, 7, 3],
            [3, 14, 32, 16],
            [2, 15, 33, 17],
            [1, 29, 65, 34],
            [1, 130, 40, 515],
            [1, 16, 8, 600],
            [1, 300, 260, 70],
            [1, 8, 9, 4099],
        ] {
            let (a_stride, b_stride) = (m * k, k * n);
            let full = MatmulShape { batch, m, n, k, transpose_a, transpose_b, a_stride, b_stride };
            for storage in BOTH {
                check(&full, storage);
                check(&MatmulShape { b_stride: 0, ..full }, storage);
                check(&MatmulShape { a_stride: 0, b_stride: b_stride + 3, ..full }, storage);
            }
        }
    }
}
