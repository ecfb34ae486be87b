//! Optimizers, and what is done around them, against their formulas written out
//! here in f64.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Graph, GraphError, NodeId, Tensor};
use speck_learners::gradient::optimizers;
use speck_learners::gradient::{Minimizer, Recorded};
use speck_models::settings::{Kind, Settings, Value, resolve};

fn settings(given: &[(&str, Value)]) -> Settings {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    resolve(speck_learners::find("gradient").unwrap().dimensions, &given).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn number(value: f64) -> Value {
    Value::Float(value)
}

/// A number in (-1, 1) that depends on its place.
fn noise(seed: u64, at: usize) -> f64 {
    let mut bits = (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn draws(seed: u64, n: usize) -> Vec<f64> {
    (0..n).map(|at| noise(seed, at)).collect()
}

const STEPS: u64 = 12;

/// Parameters after each step, of one parameter `w` of a shape, beside what a
/// formula says: it is given the step from 1, the parameter and the gradient.
fn holds(
    given: &[(&str, Value)],
    shape: &[usize],
    mut formula: impl FnMut(u64, &mut Vec<f64>, &[f64]),
) {
    let n = shape.iter().product();
    let mut wanted = draws(99, n);
    let start = [("w".to_owned(), Tensor::from_f64(shape, wanted.clone()))];
    let mut found = Recorded::new(&settings(given), &start, DType::F64, Choice::default()).unwrap();
    for step in 1..=STEPS {
        let gradient = draws(step, n);
        formula(step, &mut wanted, &gradient);
        found.step(&[gradient]).unwrap();
        let found = found.state().get("w").unwrap().to_f64();
        for (found, wanted) in found.iter().zip(&wanted) {
            let error = (found - wanted).abs();
            assert!(error <= 1e-11 * (1.0 + wanted.abs()), "{given:?} {step}: {found}, {wanted}");
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn descend(w: &mut [f64], g: &[f64], rate: f64) {
    w.iter_mut().zip(g).for_each(|(w, g)| *w -= rate * g);
}

#[test]
fn lars_scales_each_tensor() {
    let given = [
        ("optimizer", text("lars")),
        ("rate", number(0.5)),
        ("weight_decay", number(0.1)),
        ("momentum", number(0.8)),
        ("trust_coefficient", number(0.02)),
    ];
    for shape in [&[2, 3][..], &[6]] {
        let mut velocity = vec![0.0; 6];
        holds(&given, shape, |_, w, g| {
            let trust = 0.02 * norm(w) / (norm(g) + 0.1 * norm(w));
            for i in 0..6 {
                let own = if shape.len() > 1 { trust * (g[i] + 0.1 * w[i]) } else { g[i] };
                velocity[i] = 0.8 * velocity[i] + own;
            }
            descend(w, &velocity, 0.5);
        });
    }
}

#[test]
fn adafactor_factors_matrices_only() {
    let given = [
        ("optimizer", text("adafactor")),
        ("rate", number(0.05)),
        ("weight_decay", number(0.2)),
        ("epsilon1", number(1e-3)),
    ];
    let (mut rows, mut columns) = ([0.0; 2], [0.0; 3]);
    let mut each = [0.0; 6];
    for shape in [&[2, 3][..], &[6]] {
        holds(&given, shape, |t, w, g| {
            let share = (t as f64).powf(-0.8);
            for r in 0..2 {
                let mean = (0..3).map(|c| g[r * 3 + c].powi(2)).sum::<f64>() / 3.0;
                rows[r] += share * (mean - rows[r]);
            }
            for c in 0..3 {
                let mean = (0..2).map(|r| g[r * 3 + c].powi(2)).sum::<f64>() / 2.0;
                columns[c] += share * (mean - columns[c]);
            }
            (0..6).for_each(|i| each[i] += share * (g[i] * g[i] - each[i]));
            let mean = (rows[0] + rows[1]) / 2.0;
            let variance = |i: usize| match shape.len() {
                1 => each[i],
                _ => rows[i / 3] * columns[i % 3] / mean.max(1e-3),
            };
            let u: Vec<f64> = (0..6).map(|i| g[i] / variance(i).max(1e-6).sqrt()).collect();
            let size = (norm(&u) / 6f64.sqrt()).max(1.0);
            let weight = (norm(w) / 6f64.sqrt()).max(1e-3);
            let rate = weight * 0.05f64.min(1.0 / (t as f64).sqrt()) / size;
            w.iter_mut().for_each(|w| *w *= 1.0 - 0.05 * 0.2);
            descend(w, &u, rate);
        });
    }
}

/// a b, of [n, k] and [k, m].
fn product(a: &[f64], b: &[f64], [n, k, m]: [usize; 3]) -> Vec<f64> {
    let cell = |i: usize| (0..k).map(|j| a[i / m * k + j] * b[j * m + i % m]).sum();
    (0..n * m).map(cell).collect()
}

fn transposed(a: &[f64], [n, m]: [usize; 2]) -> Vec<f64> {
    (0..n * m).map(|i| a[i % n * m + i / n]).collect()
}

#[test]
fn muon_makes_momentum_orthogonal() {
    // Higher than wide, so the iteration runs on the transposed matrix.
    let given = [
        ("optimizer", text("muon")),
        ("rate", number(0.1)),
        ("weight_decay", number(0.3)),
        ("momentum", number(0.7)),
    ];
    let mut buffer = [0.0; 6];
    holds(&given, &[3, 2], |_, w, g| {
        for i in 0..6 {
            buffer[i] = 0.7 * buffer[i] + 0.3 * g[i];
        }
        let u: Vec<f64> = (0..6).map(|i| 0.7 * buffer[i] + 0.3 * g[i]).collect();
        let size = norm(&u);
        let mut x = transposed(&u, [3, 2]);
        x.iter_mut().for_each(|x| *x /= size);
        for _ in 0..5 {
            let s = product(&x, &transposed(&x, [2, 3]), [2, 3, 2]);
            let square = product(&s, &s, [2, 2, 2]);
            let inner: Vec<f64> =
                s.iter().zip(&square).map(|(s, q)| -4.775 * s + 2.0315 * q).collect();
            let moved = product(&inner, &x, [2, 2, 3]);
            x = x.iter().zip(&moved).map(|(x, m)| 3.4445 * x + m).collect();
        }
        w.iter_mut().for_each(|w| *w *= 1.0 - 0.1 * 0.3);
        descend(w, &transposed(&x, [2, 3]), 0.1 * 1.5f64.sqrt());
    });
}

/// The eigenvectors of a symmetric [2, 2] matrix as rows, by the angle.
fn eigenvectors(a: &[f64]) -> Vec<f64> {
    let angle = 0.5 * (2.0 * a[1]).atan2(a[0] - a[3]);
    let (sine, cosine) = angle.sin_cos();
    // Of the smaller eigenvalue first.
    vec![-sine, cosine, cosine, sine]
}

#[test]
fn soap_is_adam_in_turned_coordinates() {
    let given = [
        ("optimizer", text("soap")),
        ("rate", number(0.1)),
        ("beta1", number(0.8)),
        ("beta2", number(0.9)),
        // In the first update the turned gradient is diagonal: beside the diagonal
        // stands rounding over rounding, but for this.
        ("epsilon", number(1e-3)),
        ("weight_decay", number(0.2)),
        ("precondition_frequency", Value::Int(3)),
    ];
    let mut gg = [vec![0.0; 4], vec![0.0; 4]];
    let mut q = [vec![0.0; 4], vec![0.0; 4]];
    let (mut m, mut v) = (vec![0.0; 4], vec![0.0; 4]);
    const SQUARE: [usize; 3] = [2, 2, 2];
    holds(&given, &[2, 2], |t, w, g| {
        let turn = transposed(g, [2, 2]);
        let outer = [product(g, &turn, SQUARE), product(&turn, g, SQUARE)];
        for axis in 0..2 {
            for i in 0..4 {
                gg[axis][i] = 0.9 * gg[axis][i] + 0.1 * outer[axis][i];
            }
            if t % 3 == 1 {
                q[axis] = eigenvectors(&gg[axis]);
            }
        }
        let into =
            |x: &[f64]| product(&product(&q[0], x, SQUARE), &transposed(&q[1], [2, 2]), SQUARE);
        let back =
            |x: &[f64]| product(&product(&transposed(&q[0], [2, 2]), x, SQUARE), &q[1], SQUARE);
        let seen = into(g);
        for i in 0..4 {
            m[i] = 0.8 * m[i] + 0.2 * g[i];
            v[i] = 0.9 * v[i] + 0.1 * seen[i] * seen[i];
        }
        let (first, second) = (1.0 - 0.8f64.powi(t as i32), 1.0 - 0.9f64.powi(t as i32));
        let mean = into(&m);
        let u: Vec<f64> =
            (0..4).map(|i| mean[i] / first / ((v[i] / second).sqrt() + 1e-3)).collect();
        w.iter_mut().for_each(|w| *w *= 1.0 - 0.1 * 0.2);
        descend(w, &back(&u), 0.1);
    });
}

#[test]
fn gradients_are_clipped_by_norm_value_and_unit() {
    let sgd = [("optimizer", text("sgd")), ("rate", number(1.0))];
    let with = |key: &'static str, value: f64| [&sgd[..], &[(key, number(value))]].concat();
    holds(&with("clip_norm", 0.7), &[2, 3], |_, w, g| {
        let share = (0.7 / (norm(g) + 1e-6)).min(1.0);
        descend(w, g, share);
    });
    holds(&with("clip_value", 0.3), &[2, 3], |_, w, g| {
        let cut: Vec<f64> = g.iter().map(|g| g.clamp(-0.3, 0.3)).collect();
        descend(w, &cut, 1.0);
    });
    holds(&with("clip_adaptive", 0.2), &[2, 3], |_, w, g| {
        for r in 0..2 {
            let unit = r * 3..r * 3 + 3;
            let most = 0.2 * norm(&w[unit.clone()]).max(1e-3);
            let share = (most / norm(&g[unit.clone()]).max(1e-6)).min(1.0);
            descend(&mut w[unit.clone()], &g[unit], share);
        }
    });
}

#[test]
fn batches_are_gathered_for_one_update() {
    let given = [("optimizer", text("adam")), ("rate", number(0.1)), ("accumulate", Value::Int(3))];
    let (mut m, mut v, mut sum) = ([0.0; 4], [0.0; 4], [0.0; 4]);
    holds(&given, &[4], |step, w, g| {
        (0..4).for_each(|i| sum[i] += g[i] / 3.0);
        if step % 3 != 0 {
            return;
        }
        let t = (step / 3) as i32;
        for i in 0..4 {
            m[i] = 0.9 * m[i] + 0.1 * sum[i];
            v[i] = 0.999 * v[i] + 0.001 * sum[i] * sum[i];
            let below = (v[i] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8;
            w[i] -= 0.1 * m[i] / (1.0 - 0.9f64.powi(t)) / below;
        }
        sum = [0.0; 4];
    });
}

#[test]
fn lookahead_goes_back_part_of_the_way() {
    let given = [
        ("optimizer", text("sgd")),
        ("rate", number(0.1)),
        ("lookahead", Value::Int(4)),
        ("lookahead_alpha", number(0.3)),
    ];
    let mut slow = Vec::new();
    holds(&given, &[4], |step, w, g| {
        if step == 1 {
            slow.clone_from(w);
        }
        descend(w, g, 0.1);
        if step % 4 == 0 {
            (0..4).for_each(|i| slow[i] += 0.3 * (w[i] - slow[i]));
            w.clone_from(&slow);
        }
    });
}

#[test]
fn weights_are_averaged_beside_training() {
    for (kind, start, every) in [("ema", 0, 1), ("ema", 3, 2), ("swa", 0, 1), ("swa", 4, 3)] {
        let given = [
            ("optimizer", text("sgd")),
            ("rate", number(0.1)),
            ("average", text(kind)),
            ("average_decay", number(0.8)),
            ("average_start", Value::Int(start)),
            ("average_every", Value::Int(every)),
        ];
        let mut w = draws(99, 4);
        let tensor = [("w".to_owned(), Tensor::from_f64(&[4], w.clone()))];
        let mut found =
            Recorded::new(&settings(&given), &tensor, DType::F64, Choice::default()).unwrap();
        let (mut mean, mut count) = (vec![0.0; 4], 0);
        for step in 1..=STEPS {
            let g = draws(step, 4);
            descend(&mut w, &g, 0.1);
            found.step(&[g]).unwrap();
            let since = step as i64 - start.max(1);
            if since < 0 || since % every != 0 {
                continue;
            }
            count += 1;
            let share = match (kind, count) {
                ("ema", 1) => 1.0,
                ("ema", _) => 0.2,
                _ => 1.0 / f64::from(count),
            };
            (0..4).for_each(|i| mean[i] += share * (w[i] - mean[i]));
            let slot = found.state().get("learner/average/w").unwrap().to_f64();
            for (found, wanted) in slot.iter().zip(&mean) {
                assert!((found - wanted).abs() < 1e-13, "{kind} {start} {every} {step}");
            }
        }
        assert!(count > 1);
    }
}

#[test]
fn groups_have_rates_and_decay_of_their_own() {
    let groups = ["a.*: rate=0.5, weight_decay=0", "*.bias: frozen", "c*: ascend"];
    let given = [
        ("optimizer", text("sgd")),
        ("rate", number(0.1)),
        ("weight_decay", number(0.2)),
        ("groups", Value::List(groups.iter().map(|group| text(group)).collect())),
    ];
    let names = ["a.weight", "a.bias", "b.bias", "c.weight", "d.weight"];
    let start = |name: &str| (name.to_owned(), Tensor::from_f64(&[1], vec![1.0]));
    let start: Vec<_> = names.iter().map(|name| start(name)).collect();
    let mut found =
        Recorded::new(&settings(&given), &start, DType::F64, Choice::default()).unwrap();
    found.step(&[vec![0.4], vec![0.4], vec![0.4], vec![0.4], vec![0.4]]).unwrap();
    let wanted = [0.8, 0.8, 1.0, 1.0 + 0.1 * (0.4 - 0.2), 1.0 - 0.1 * (0.4 + 0.2)];
    for (name, wanted) in names.iter().zip(wanted) {
        let found = found.state().get(name).unwrap().to_f64()[0];
        assert!((found - wanted).abs() < 1e-15, "{name}: {found} instead of {wanted}");
    }
    for (group, message) in [
        ("z*: frozen", "no parameter is called \"z*\"; there are a.weight"),
        ("a*", "expected \"PATTERN: KEY=VALUE"),
        ("a*: cold", "\"cold\" is none of frozen, ascend, KEY=VALUE"),
        ("a*: batch=3", "`batch` is no setting of the optimizer, schedule or initialization"),
        ("a*: rate=-1", "`rate`: expected a number from 0 to 1000000, found the number -1"),
        ("a*: beta1=0.5", "`beta1`"),
    ] {
        let given = [("optimizer", text("sgd")), ("groups", Value::List(vec![text(group)]))];
        let made = Recorded::new(&settings(&given), &start, DType::F64, Choice::default());
        let error = made.err().unwrap().to_string();
        assert!(error.contains("`groups`") && error.contains(message), "{group}: {error}");
    }
}

/// Σ aᵢ xᵢ² / 2 + x₀ x₁ + Σ xᵢ, convex.
fn bowl(graph: &Graph, x: NodeId) -> Result<NodeId, GraphError> {
    let a = graph.constant(Tensor::new(&graph.ty(x), &CURVATURE))?;
    let square = graph.sum_all(graph.mul(a, graph.square(x)?)?)?;
    let mixed = graph.mul(graph.narrow(x, 0, 0, 1, 1)?, graph.narrow(x, 0, 1, 1, 1)?)?;
    let linear = graph.add(graph.sum_all(mixed)?, graph.sum_all(x)?)?;
    graph.add(graph.scale(square, 0.5)?, linear)
}

const CURVATURE: [f64; 3] = [2.0, 3.0, 0.5];
/// Where its gradient is 0: of 2 x + y = -1 and x + 3 y = -1.
const LOWEST: [f64; 3] = [-0.4, -0.2, -2.0];

fn slope(x: &[f64]) -> Vec<f64> {
    let mixed = [x[1], x[0], 0.0];
    (0..3).map(|i| CURVATURE[i] * x[i] + mixed[i] + 1.0).collect()
}

fn minimized(given: &[(&str, Value)], steps: usize, mut look: impl FnMut(usize, &Minimizer<'_>)) {
    let start = Tensor::from_f64(&[3], vec![1.0, -2.0, 0.5]);
    let kernels = Choice::default();
    let mut minimizer =
        Minimizer::new(&settings(given), &start, &bowl, DType::F64, &kernels).unwrap();
    for step in 1..=steps {
        minimizer.step().unwrap();
        look(step, &minimizer);
    }
}

#[test]
fn second_order_methods_find_the_bottom_of_a_bowl() {
    let far = |minimizer: &Minimizer<'_>| {
        let pairs = minimizer.x().into_iter().zip(LOWEST);
        pairs.map(|(x, wanted)| (x - wanted).abs()).fold(0.0, f64::max)
    };
    // As many iterations as there are dimensions solve the system; a residual of
    // half the gradient does not, so it takes some steps.
    minimized(&[("optimizer", text("newton_cg"))], 8, |step, minimizer| {
        assert!(step < 8 || far(minimizer) < 1e-6, "{}", far(minimizer));
    });
    for (damping, within) in [(0.0, 1e-9), (0.1, 1e-3)] {
        let given = [
            ("optimizer", text("levenberg_marquardt")),
            ("damping", number(damping)),
            ("cg_tolerance", number(1e-12)),
        ];
        minimized(&given, 5, |step, minimizer| {
            assert!(step < 5 || far(minimizer) < within, "{damping}: {}", far(minimizer));
        });
    }
    for line in ["strong_wolfe", "none"] {
        let given = [
            ("optimizer", text("lbfgs")),
            ("line_search_fn", text(line)),
            ("max_iter", Value::Int(5)),
        ];
        minimized(&given, 6, |step, minimizer| {
            // It stops where the loss changes by less than 1e-9.
            assert!(step < 6 || far(minimizer) < 1e-4, "{line}: {}", far(minimizer));
        });
    }
}

#[test]
fn sharpness_aware_gradients_are_taken_uphill() {
    for adaptive in [false, true] {
        let given = [
            ("optimizer", text("sgd")),
            ("rate", number(0.1)),
            ("sam", number(0.3)),
            ("sam_adaptive", Value::Bool(adaptive)),
        ];
        let mut x = vec![1.0, -2.0, 0.5];
        minimized(&given, 5, |_, minimizer| {
            let g = slope(&x);
            let unit = |i: usize| if adaptive { x[i] } else { 1.0 };
            let measured: Vec<f64> = (0..3).map(|i| unit(i) * g[i]).collect();
            let step = 0.3 / (norm(&measured) + 1e-12);
            let there: Vec<f64> = (0..3).map(|i| x[i] + step * unit(i) * unit(i) * g[i]).collect();
            descend(&mut x, &slope(&there), 0.1);
            for (found, wanted) in minimizer.x().iter().zip(&x) {
                assert!((found - wanted).abs() < 1e-12, "{adaptive}: {found}, {wanted}");
            }
        });
    }
}

#[test]
fn sophia_divides_by_an_estimate_of_the_curvature() {
    let given = [
        ("optimizer", text("sophia")),
        ("rate", number(1e-3)),
        ("beta1", number(0.9)),
        ("beta2", number(0.995)),
        ("clip", number(0.4)),
        ("update_period", Value::Int(2)),
        ("weight_decay", number(0.1)),
    ];
    let mut x = vec![1.0, -2.0, 0.5];
    let mut m = [0.0; 3];
    let mut last = vec![f64::NAN; 3];
    minimized(&given, 3000, |step, minimizer| {
        let diagonal = minimizer.state().get("learner/hessian/x").unwrap().to_f64();
        // New in every other step only.
        assert_eq!(step % 2 == 0, diagonal == last, "{step}");
        let g = slope(&x);
        for i in 0..3 {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            let u = (m[i] / diagonal[i].max(1e-12)).clamp(-0.4, 0.4);
            x[i] = x[i] * (1.0 - 1e-3 * 0.1) - 1e-3 * u;
            let found = minimizer.x()[i];
            assert!((found - x[i]).abs() < 1e-10, "{step}: {found}, {}", x[i]);
        }
        last = diagonal;
    });
    // E u ⊙ (H u) is the diagonal; the mean is over some 200 draws.
    for (found, wanted) in last.iter().zip(CURVATURE) {
        assert!((found / wanted - 1.0).abs() < 0.5, "{found} instead of {wanted}");
    }
}

#[test]
fn impossible_hyper_parameters_are_refused_with_their_range() {
    let dimensions = speck_learners::find("gradient").unwrap().dimensions;
    for entry in optimizers::ALL {
        assert!(entry.dimensions.iter().any(|known| known.name == "rate"), "{}", entry.name);
        assert!(entry.source.len() > 10, "{}", entry.name);
        for known in entry.dimensions {
            let (bad, range) = match known.kind {
                Kind::Float { max, .. } => (number(max * 2.0 + 1.0), known.kind.to_string()),
                Kind::Int { max, .. } => (Value::Int(max + 1), known.kind.to_string()),
                _ => (number(0.5), known.kind.to_string()),
            };
            let given =
                [("optimizer".to_owned(), text(entry.name)), (known.name.to_owned(), bad.clone())];
            let error = resolve(dimensions, &given).unwrap_err().to_string();
            let named = error.starts_with(&format!("`{}`: expected {range}", known.name));
            assert!(named && error.ends_with(&bad.describe()), "{}: {error}", entry.name);
            // And the default passes.
            let given = [given[0].clone(), (known.name.to_owned(), known.default.value())];
            assert!(resolve(dimensions, &given).is_ok(), "{} {}", entry.name, known.name);
        }
    }
    let given = [("optimizer".to_owned(), text("adam")), ("rho".to_owned(), number(0.5))];
    let error = resolve(dimensions, &given).unwrap_err().to_string();
    assert_eq!(error, "`rho`: goes with `optimizer` = adadelta only, which is not chosen");
}

#[test]
fn searches_go_with_nothing_around_them() {
    for (key, value) in [
        ("clip_norm", number(1.0)),
        ("accumulate", Value::Int(2)),
        ("maximize", Value::Bool(true)),
        ("lookahead", Value::Int(2)),
    ] {
        let given = settings(&[("optimizer", text("lbfgs")), (key, value)]);
        let start = Tensor::from_f64(&[3], vec![0.0; 3]);
        let kernels = Choice::default();
        let made = Minimizer::new(&given, &start, &bowl, DType::F64, &kernels);
        let error = made.err().unwrap().to_string();
        assert!(error.contains("`optimizer`") && error.contains("clip_*"), "{key}: {error}");
    }
}
