//! Initializations: sizes, shapes, and what each promises.

use speck_learners::gradient::initializers::{self, Weights};
use speck_models::settings::{Value, resolve};

fn values(name: &str, given: &[(&str, Value)], shape: &[usize]) -> Option<Vec<f64>> {
    let mut all = vec![("initialization".to_owned(), Value::Text(name.to_owned()))];
    all.extend(given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    let settings = resolve(speck_learners::find("gradient").unwrap().dimensions, &all).unwrap();
    initializers::make(&settings).values(&Weights { name: "layer.weight", shape, seed: 3 })
}

/// Mean square, fourth moment over its square, and the largest size.
fn moments(values: &[f64]) -> [f64; 3] {
    let mean = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / values.len() as f64;
    let largest = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    [mean(2), mean(4) / mean(2).powi(2), largest]
}

#[test]
fn every_initialization_fills_every_shape_or_leaves_it() {
    for entry in initializers::ALL {
        assert!(entry.source.len() > 5, "{}", entry.name);
        for shape in
            [&[5, 7][..], &[128, 64 * 64], &[8, 3, 3, 3], &[2, 4, 1, 5], &[0, 3], &[4, 2, 6]]
        {
            let Some(found) = values(entry.name, &[], shape) else { continue };
            assert_eq!(found.len(), shape.iter().product::<usize>(), "{}", entry.name);
            assert!(found.iter().all(|v| v.is_finite()), "{} {shape:?}", entry.name);
            assert_eq!(values(entry.name, &[], shape), Some(found), "{}", entry.name);
        }
    }
}

#[test]
fn drawn_weights_have_the_sizes_of_their_formulas() {
    let (one, gain) = ([200, 300], ("init_gain", Value::Float(2.0)));
    let number = Value::Float;
    let fan = ("init_fan", Value::Text("fan_out".to_owned()));
    for (name, given, variance, shape) in [
        ("normal", vec![("init_deviation", number(0.3))], 0.09, 'n'),
        ("uniform", vec![("init_bound", number(0.3))], 0.03, 'u'),
        ("xavier_normal", vec![gain.clone()], 4.0 * 2.0 / 500.0, 'n'),
        ("xavier_uniform", vec![gain.clone()], 4.0 * 2.0 / 500.0, 'u'),
        ("he_normal", vec![("init_slope", number(0.5))], 2.0 / 1.25 / 300.0, 'n'),
        ("he_uniform", vec![fan], 2.0 / 200.0, 'u'),
        ("lecun_normal", vec![gain.clone()], 4.0 / 300.0, 'n'),
        ("lecun_uniform", vec![gain], 4.0 / 300.0, 'u'),
    ] {
        let [found, tail, largest] = moments(&values(name, &given, &one).unwrap());
        assert!((found / variance - 1.0).abs() < 0.03, "{name}: {found} instead of {variance}");
        // Kurtosis 3, or 9/5 and a bound.
        let wanted = if shape == 'n' { 3.0 } else { 1.8 };
        assert!((tail - wanted).abs() < 0.1, "{name}: {tail}");
        assert!(shape == 'n' || largest <= (3.0 * variance).sqrt() * (1.0 + 1e-6), "{name}");
    }
    // Of a convolution the fans count the kernel.
    let [found, ..] = moments(&values("lecun_normal", &[], &[40, 30, 3, 3]).unwrap());
    assert!((found * 270.0 - 1.0).abs() < 0.06, "{found}");
    let given = [("init_deviation", number(0.1))];
    let [found, _, largest] = moments(&values("truncated_normal", &given, &one).unwrap());
    // The variance of a normal distribution within two deviations.
    assert!((found / 0.01 - 0.7737).abs() < 0.02 && largest <= 0.2, "{found} {largest}");
}

#[test]
fn orthogonal_weights_are_orthogonal_either_way() {
    for shape in [&[3, 8][..], &[8, 3], &[4, 4], &[6, 2, 1, 2], &[1, 5]] {
        let gain = [("init_gain", Value::Float(1.5))];
        let w = values("orthogonal", &gain, shape).unwrap();
        let (rows, columns) = (shape[0], w.len() / shape[0]);
        let count = rows.min(columns);
        for a in 0..count {
            for b in 0..count {
                let product: f64 = match rows <= columns {
                    true => (0..columns).map(|c| w[a * columns + c] * w[b * columns + c]).sum(),
                    false => (0..rows).map(|r| w[r * columns + a] * w[r * columns + b]).sum(),
                };
                let wanted = if a == b { 2.25 } else { 0.0 };
                assert!((product - wanted).abs() < 1e-12, "{shape:?} {a} {b}: {product}");
            }
        }
    }
}

#[test]
fn structured_weights_see_what_they_promise() {
    // The identity hands its input on, at the centre of a kernel.
    let w = values("identity", &[], &[3, 2, 3, 3]).unwrap();
    let ones: Vec<_> = (0..w.len()).filter(|at| w[*at] != 0.0).collect();
    assert_eq!(ones, [4, 18 + 9 + 4]);
    // Rows of the cosine transform are orthonormal.
    let w = values("dct", &[], &[6, 6]).unwrap();
    for a in 0..6 {
        for b in 0..6 {
            let product: f64 = (0..6).map(|c| w[a * 6 + c] * w[b * 6 + c]).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-12, "{a} {b}");
        }
    }
    // Kernels have the length asked for.
    for name in ["gabor", "dct"] {
        let w = values(name, &[("init_gain", Value::Float(2.0))], &[7, 3, 5, 5]).unwrap();
        for kernel in w.chunks(75) {
            let size = kernel.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!((size - 2.0).abs() < 1e-12, "{name}: {size}");
        }
    }
    // Detectors answer to a line through their middle and to nothing that is even.
    let w = values("lines", &[], &[2, 1, 3, 3]).unwrap();
    assert!((w[..9].iter().sum::<f64>()).abs() < 1e-12);
    assert!(w[3] > 0.5 && w[4] > 0.5 && w[1] < 0.0 && w[9 + 1] > 0.5 && w[9 + 3] < 0.0);
    // A speck at row 5, column 9 lights up its row and its column.
    let w = values("lines", &[], &[128, 2 * 4096]).unwrap();
    let lit: Vec<_> = (0..128).filter(|o| w[o * 8192 + 4096 + 5 * 64 + 9] > 0.0).collect();
    assert_eq!(lit, [5, 64 + 9]);
    // Neighbours see neighbours.
    let w = values("retinotopic", &[], &[10, 100]).unwrap();
    for output in 0..10 {
        let row = &w[output * 100..(output + 1) * 100];
        let most = (0..100).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        assert!(most.abs_diff(output * 10 + 5) <= 1, "{output}: {most}");
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
