//! Losses against their formulas, written out here in f64, and their gradients
//! against finite differences.

use speck_engine::{DType, Graph, Options, Program, State, Tensor};
use speck_learners::gradient::losses;
use speck_models::Settings;
use speck_models::settings::{Value, resolve};

const SAMPLES: usize = 5;
const AXIS: usize = 64;
const WIDTH: usize = 2 * AXIS;

fn settings(loss: &str, given: &[(&str, Value)]) -> Settings {
    let mut all = vec![("loss".to_owned(), Value::Text(loss.to_owned()))];
    all.extend(given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    resolve(speck_learners::find("gradient").unwrap().dimensions, &all).unwrap()
}

/// A number in (-1, 1) that depends on its place.
fn noise(at: usize) -> f64 {
    let mut bits = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn outputs() -> Vec<f64> {
    (0..SAMPLES * WIDTH).map(|at| 3.0 * noise(at)).collect()
}

/// One speck; two of them; the first again; none; soft targets.
fn targets() -> Vec<f64> {
    let mut all = vec![0.0; SAMPLES * WIDTH];
    let mut set = |sample: usize, row: usize, column: usize| {
        all[sample * WIDTH + row] = 1.0;
        all[sample * WIDTH + AXIS + column] = 1.0;
    };
    set(0, 3, 60);
    set(1, 0, 5);
    set(1, 63, 6);
    set(2, 3, 17);
    for at in 0..WIDTH {
        all[4 * WIDTH + at] = (0.03 * noise(7000 + at)).abs();
    }
    all
}

/// The loss and its gradient by the outputs.
fn found(settings: &Settings, outputs: &[f64], targets: &[f64]) -> (f64, Vec<f64>) {
    let graph = Graph::new(DType::F64);
    let y = graph.input("outputs", DType::F64, &[SAMPLES, WIDTH]).unwrap();
    let t = graph.input("targets", DType::F64, &[SAMPLES, WIDTH]).unwrap();
    let entry = losses::find(settings.text("loss")).unwrap();
    let loss = (entry.build)(settings, &graph, y, t).unwrap();
    graph.output("loss", loss).unwrap();
    graph.output("gradient", graph.gradient(loss, &[y]).unwrap()[0]).unwrap();
    let mut program = Program::compile(&graph, &Options::default()).unwrap();
    for (name, values) in [("outputs", outputs), ("targets", targets)] {
        let values = Tensor::from_f64(&[SAMPLES, WIDTH], values.to_vec());
        program.set_input(name, &values).unwrap();
    }
    program.run(&mut State::initialise(&graph, 0)).unwrap();
    let read = |name| program.output(name).unwrap().to_f64();
    (read("loss")[0], read("gradient"))
}

/// Holds a loss to a formula of all outputs and targets.
fn holds(loss: &str, given: &[(&str, Value)], formula: impl Fn(&[f64], &[f64]) -> f64) {
    let settings = settings(loss, given);
    let (y, t) = (outputs(), targets());
    let (value, gradient) = found(&settings, &y, &t);
    let wanted = formula(&y, &t);
    assert!((value - wanted).abs() <= 1e-10 * wanted.abs(), "{loss} {given:?}: {value}, {wanted}");
    // Differences of the formula along two directions that touch every output.
    for seed in [40_000, 50_000] {
        let direction: Vec<f64> = (0..y.len()).map(|at| noise(seed + at)).collect();
        let moved = |h: f64| {
            let there: Vec<f64> = y.iter().zip(&direction).map(|(y, d)| y + h * d).collect();
            formula(&there, &t)
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let own: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let error = (own - slope).abs();
        assert!(error <= 1e-6 * slope.abs().max(1e-3), "{loss} {given:?}: {own}, {slope}");
    }
}

/// The sum over samples and axes of a formula of an axis, by the samples.
fn by_axis(y: &[f64], t: &[f64], formula: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
    let axes = y.chunks(AXIS).zip(t.chunks(AXIS));
    axes.map(|(y, t)| formula(y, t)).sum::<f64>() / SAMPLES as f64
}

fn by_output(y: &[f64], t: &[f64], formula: impl Fn(f64, f64) -> f64) -> f64 {
    y.iter().zip(t).map(|(y, t)| formula(*y, *t)).sum::<f64>() / y.len() as f64
}

fn sigmoid(y: f64) -> f64 {
    1.0 / (1.0 + (-y).exp())
}

fn softmax(y: &[f64]) -> Vec<f64> {
    let sum: f64 = y.iter().map(|y| y.exp()).sum();
    y.iter().map(|y| y.exp() / sum).collect()
}

fn number(value: f64) -> Value {
    Value::Float(value)
}

#[test]
fn of_each_axis() {
    holds("cross-entropy", &[], |y, t| {
        by_axis(y, t, |y, t| {
            let (p, mass) = (softmax(y), t.iter().sum::<f64>());
            let sum: f64 = p.iter().zip(t).map(|(p, t)| t * p.ln()).sum();
            if mass == 0.0 { 0.0 } else { -sum / mass }
        })
    });
    for power in [1, 2] {
        holds("wasserstein", &[("wasserstein_power", Value::Int(power))], |y, t| {
            by_axis(y, t, |y, t| {
                let (p, mass) = (softmax(y), t.iter().sum::<f64>());
                let (mut carried, mut cost): (f64, f64) = (0.0, 0.0);
                for (p, t) in p.iter().zip(t) {
                    carried += p - t / mass;
                    cost += carried.abs().powi(power as i32);
                }
                if mass == 0.0 { 0.0 } else { cost }
            })
        });
    }
    let smoothing = ("overlap_smoothing", number(0.5));
    let overlap = |y: &[f64], t: &[f64]| {
        let p: Vec<f64> = y.iter().map(|y| sigmoid(*y)).collect();
        let sum =
            |f: &dyn Fn(f64, f64) -> f64| p.iter().zip(t).map(|(p, t)| f(*p, *t)).sum::<f64>();
        [sum(&|p, t| p * t), sum(&|p, t| p * (1.0 - t)), sum(&|p, t| (1.0 - p) * t)]
    };
    holds("dice", std::slice::from_ref(&smoothing), |y, t| {
        by_axis(y, t, |y, t| {
            let [hit, alarm, miss] = overlap(y, t);
            1.0 - (2.0 * hit + 0.5) / (2.0 * hit + alarm + miss + 0.5)
        })
    });
    let given = [smoothing, ("tversky_alpha", number(0.2)), ("tversky_beta", number(0.9))];
    holds("tversky", &given, |y, t| {
        by_axis(y, t, |y, t| {
            let [hit, alarm, miss] = overlap(y, t);
            1.0 - (hit + 0.5) / (hit + 0.2 * alarm + 0.9 * miss + 0.5)
        })
    });
}

#[test]
fn of_each_output() {
    for weight in [1.0, 20.0] {
        holds("bce", &[("positive_weight", number(weight))], |y, t| {
            by_output(y, t, |y, t| {
                -weight * t * sigmoid(y).ln() - (1.0 - t) * (1.0 - sigmoid(y)).ln()
            })
        });
    }
    let given = [("focal_alpha", number(0.7)), ("focal_gamma", number(1.5))];
    holds("focal", &given, |y, t| {
        by_output(y, t, |y, t| {
            let (p, n) = (sigmoid(y), 1.0 - sigmoid(y));
            // Between two labels the factors are mixed, as the loss itself is.
            let likely = t * p + (1.0 - t) * n;
            let weight = t * 0.7 + (1.0 - t) * 0.3;
            -weight * (1.0 - likely).powf(1.5) * (t * p.ln() + (1.0 - t) * n.ln())
        })
    });
    holds("mse", &[], |y, t| by_output(y, t, |y, t| (y - t) * (y - t)));
    holds("huber", &[("huber_delta", number(0.8))], |y, t| {
        by_output(y, t, |y, t| {
            let size = (y - t).abs();
            if size <= 0.8 { 0.5 * size * size } else { 0.8 * (size - 0.4) }
        })
    });
    for squared in [false, true] {
        let given = [("hinge_margin", number(1.3)), ("hinge_squared", Value::Bool(squared))];
        holds("hinge", &given, |y, t| {
            by_output(y, t, |y, t| {
                let missing = (1.3 - (2.0 * t - 1.0) * y).max(0.0);
                if squared { missing * missing } else { missing }
            })
        });
    }
    holds("heat-map", &[("heat_map_deviation", number(1.7))], |y, t| {
        let mut sum = 0.0;
        for (y, t) in y.chunks(AXIS).zip(t.chunks(AXIS)) {
            for (i, y) in y.iter().enumerate() {
                let bump = |(j, t): (usize, &f64)| {
                    t * (-(i.abs_diff(j) as f64).powi(2) / (2.0 * 1.7 * 1.7)).exp()
                };
                let height = t.iter().enumerate().map(bump).fold(0.0, f64::max);
                sum += (y - height).powi(2);
            }
        }
        sum / y.len() as f64
    });
}

#[test]
fn against_the_other_samples() {
    holds("contrastive", &[("contrastive_temperature", number(0.3))], |y, t| {
        let mut total = 0.0;
        for axis in 0..2 {
            let unit = |all: &[f64], sample: usize| {
                let start = sample * WIDTH + axis * AXIS;
                let own = &all[start..start + AXIS];
                let size = own.iter().map(|v| v * v).sum::<f64>();
                own.iter().map(|v| v / (size + 1e-12).sqrt()).collect::<Vec<_>>()
            };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let cell = |i: usize, j: usize| dot(&unit(y, i), &unit(t, j)) / 0.3;
            let right = |i: usize, j: usize| dot(&unit(t, i), &unit(t, j));
            for i in 0..SAMPLES {
                let all = 0..SAMPLES;
                let mass = all.clone().map(|j| right(i, j)).sum::<f64>().max(1e-12);
                let rows = all.clone().map(|j| cell(i, j).exp()).sum::<f64>().ln();
                let columns = all.clone().map(|j| cell(j, i).exp()).sum::<f64>().ln();
                for j in all {
                    let share = right(i, j) / mass;
                    total -= 0.5 * share * (cell(i, j) - rows + cell(j, i) - columns);
                }
            }
        }
        total / SAMPLES as f64
    });
}

#[test]
fn of_the_expected_position() {
    let pixel = 2.0 / AXIS as f64;
    let place = |i: usize| (2.0 * i as f64 + 1.0) / AXIS as f64 - 1.0;
    let given =
        [("heat_regularizer", Value::Text("variance".to_owned())), ("heat_weight", number(0.7))];
    for (given, weight) in [(&given[..0], 0.0), (&given[..], 0.7)] {
        holds("coordinate", given, |y, t| {
            by_axis(y, t, |y, t| {
                let mass: f64 = t.iter().sum();
                let mean = |p: &[f64]| (0..AXIS).map(|i| p[i] * place(i)).sum::<f64>();
                let p = softmax(y);
                let found = mean(&p);
                let spread: f64 = (0..AXIS).map(|i| p[i] * (place(i) - found).powi(2)).sum();
                let cost =
                    (found - mean(t) / mass).powi(2) + weight * (spread - pixel * pixel).powi(2);
                if mass == 0.0 { 0.0 } else { cost }
            })
        });
    }
}

#[test]
fn each_has_a_source_and_settings_of_its_own() {
    let dimensions = speck_learners::find("gradient").unwrap().dimensions;
    for entry in losses::ALL {
        assert!(entry.source.len() > 5 && entry.summary.len() > 5, "{}", entry.name);
        for dimension in entry.dimensions {
            let given = |loss: &str| {
                let loss = ("loss".to_owned(), Value::Text(loss.to_owned()));
                let own = (dimension.name.to_owned(), dimension.default.value());
                resolve(dimensions, &[loss, own])
            };
            assert!(given(entry.name).is_ok(), "{}", dimension.name);
            let error = given("mse").unwrap_err().to_string();
            assert!(error.contains("goes with `loss`") && error.contains(entry.name), "{error}");
        }
    }
    // A part of a part.
    let text = |key: &str, value: &str| (key.to_owned(), Value::Text(value.to_owned()));
    let weight = ("heat_weight".to_owned(), number(2.0));
    let chosen = [text("loss", "coordinate"), text("heat_regularizer", "variance"), weight.clone()];
    assert!(resolve(dimensions, &chosen).is_ok());
    for given in [vec![weight.clone()], vec![text("loss", "coordinate"), weight]] {
        let error = resolve(dimensions, &given).unwrap_err().to_string();
        assert!(error.contains("goes with `heat_regularizer` = variance or"), "{error}");
    }
    // Numbers that cannot be.
    for (loss, key, value) in [
        ("huber", "huber_delta", 0.0),
        ("bce", "positive_weight", -1.0),
        ("focal", "focal_alpha", 1.5),
        ("dice", "overlap_smoothing", 0.0),
        ("contrastive", "contrastive_temperature", 0.0),
        ("heat-map", "heat_map_deviation", f64::NAN),
    ] {
        let given = [text("loss", loss), (key.to_owned(), number(value))];
        let error = resolve(dimensions, &given).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("expected a number from"), "{error}");
    }
}
