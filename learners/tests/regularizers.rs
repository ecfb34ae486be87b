//! Regularizers against their formulas, written out here in f64, and in training:
//! the same in both modes, and to the bit after a resumption.

use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_engine::{DType, Graph, NodeId, Options, Program, State, Tensor};
use speck_learners::gradient::Recorded;
use speck_learners::gradient::regularizers::{self, Learned, Regularizer, Scene};
use speck_learners::screen::{self, Screen};
use speck_learners::{BatchShape, Batches, Learner, LearnerError, Setup, SpeckBatch};
use speck_models::Settings;
use speck_models::settings::{Value, resolve};

type Given<'a> = &'a [(&'a str, Value)];

fn settings(given: Given<'_>) -> Settings {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    resolve(speck_learners::find("gradient").unwrap().dimensions, &given).unwrap()
}

fn made(name: &str, given: Given<'_>) -> Box<dyn Regularizer> {
    let entry = regularizers::find(name).unwrap();
    (entry.make)(&settings(given)).unwrap().unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn number(value: f64) -> Value {
    Value::Float(value)
}

/// A number in (-1, 1) that depends on its place.
fn noise(seed: usize, at: usize) -> f64 {
    let mut bits = ((seed as u64) << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// A graph in f64 with a seed and a step.
fn scene(graph: &Graph) -> Scene<'_> {
    let seed = graph.constant(Tensor::from_i32(&[2], vec![3, 9])).unwrap();
    let step = graph.input("step", DType::I32, &[]).unwrap();
    Scene { graph, random: [seed, step] }
}

fn compiled(graph: &Graph) -> Program {
    Program::compile(graph, &Options::default()).unwrap()
}

fn run(program: &mut Program, graph: &Graph, step: i32) {
    if let Ok(input) = program.input_mut::<i32>("step") {
        input[0] = step;
    }
    program.run(&mut State::initialise(graph, 0)).unwrap();
}

fn read(program: &Program, name: &str) -> Vec<f64> {
    program.output(name).unwrap().to_f64()
}

#[test]
fn targets_are_spread_and_keep_their_sums() {
    let values: Vec<f64> = (0..3 * 128)
        .map(|at| if [2, 64 + 63, 128 + 9, 128 + 12].contains(&at) { 1.0 } else { 0.0 })
        .collect();
    let spread = |name: &str, value: f64| {
        let graph = Graph::new(DType::F64);
        let t = graph.constant(Tensor::from_f64(&[3, 128], values.clone())).unwrap();
        let out = made(name, &[(name, number(value))]).targets(&graph, t).unwrap();
        graph.output("t", out).unwrap();
        let mut program = compiled(&graph);
        run(&mut program, &graph, 0);
        read(&program, "t")
    };
    let smooth = spread("label_smoothing", 0.3);
    let blurred = spread("label_blur", 1.5);
    for (start, own) in values.chunks(64).enumerate() {
        let mass: f64 = own.iter().sum();
        for i in 0..64 {
            let found = smooth[start * 64 + i];
            assert!((found - (0.7 * own[i] + 0.3 * mass / 64.0)).abs() < 1e-15);
            let mut wanted = 0.0;
            for (j, t) in own.iter().enumerate().filter(|(_, t)| **t > 0.0) {
                let height = |i: usize| (-(i.abs_diff(j) as f64).powi(2) / 4.5).exp();
                wanted += t * height(i) / (0..64).map(height).sum::<f64>();
            }
            let found = blurred[start * 64 + i];
            assert!((found - wanted).abs() < 1e-15, "{start} {i}: {found}, {wanted}");
        }
        let sum: f64 = blurred[start * 64..(start + 1) * 64].iter().sum();
        assert!((sum - mass).abs() < 1e-12);
    }
}

const MIXED: BatchShape =
    BatchShape { samples: 3, specks: 2, backgrounds: 3, size: 3, falloff: 0.0 };

/// Specks at known places, of known colours.
fn mixed() -> SpeckBatch {
    let mut batch = SpeckBatch::new(MIXED);
    batch.positions.copy_from_slice(&[3, 50, 20, 21, 60, 5, -1, -1, 30, 30, 31, 31]);
    batch.colours.iter_mut().enumerate().for_each(|(i, c)| *c = 0.5 + 0.5 * noise(1, i) as f32);
    batch.background.iter_mut().enumerate().for_each(|(i, c)| *c = i as f32 / 16.0);
    batch
}

/// Own and mixed images and targets of steps.
fn mixings(name: &str, given: Given<'_>, steps: i32) -> Vec<[Vec<f64>; 4]> {
    let graph = Graph::new(DType::F64);
    let scene = scene(&graph);
    let own = screen::declare(&graph, MIXED).unwrap();
    graph.output("own", own.image).unwrap();
    graph.output("own targets", own.targets).unwrap();
    let Screen { image, targets, .. } = made(name, given).screen(&scene, own).unwrap();
    graph.output("image", image).unwrap();
    graph.output("targets", targets).unwrap();
    let mut program = compiled(&graph);
    screen::feed(&mut program, &mixed()).unwrap();
    let mut all = Vec::new();
    for step in 0..steps {
        run(&mut program, &graph, step);
        all.push(["own", "own targets", "image", "targets"].map(|name| read(&program, name)));
    }
    all
}

#[test]
fn mixup_takes_shares_of_neighbours() {
    let steps = 4000;
    let (mut sum, mut square) = (0.0, 0.0);
    for [own, own_targets, image, targets] in mixings("mixup", &[("mixup", number(0.4))], steps) {
        // Only the first sample has a speck whose centre is in row 4.
        let share = targets[4];
        assert!((0.0..=1.0).contains(&share));
        for (own, mixed) in [(&own, &image), (&own_targets, &targets)] {
            let length = own.len() / 3;
            for (at, mixed) in mixed.iter().enumerate() {
                let other = own[(at + length) % own.len()];
                let wanted = share * own[at] + (1.0 - share) * other;
                assert!((mixed - wanted).abs() < 1e-12, "{at}: {mixed}, {wanted}");
            }
        }
        sum += share - 0.5;
        square += (share - 0.5).powi(2);
    }
    // Beta(α, α): mean ½, variance 1 / (8 α + 4).
    let n = f64::from(steps);
    let (mean, variance) = (sum / n, square / n);
    assert!(mean.abs() < 0.025 && (variance * 7.2 - 1.0).abs() < 0.06, "{mean} {variance}");
}

#[test]
fn cutmix_takes_a_rectangle_of_neighbours_and_the_targets_that_are_seen() {
    for how in ["seen", "area"] {
        let given = [("cutmix", number(1.0)), ("cutmix_targets", text(how))];
        let mut total = 0.0;
        for [own, own_targets, image, targets] in mixings("cutmix", &given, 60) {
            let length = own.len() / 3;
            let other = |at: usize| own[(at + length) % own.len()];
            // Backgrounds differ, so a pixel of the first sample says whose it is.
            let taken: Vec<bool> =
                (0..64 * 64).map(|at| image[at] != own[at] && image[at] == other(at)).collect();
            for (at, value) in image.iter().enumerate() {
                let wanted = if taken[at % 4096] { other(at) } else { own[at] };
                assert_eq!(*value, wanted, "{at}");
            }
            let rows: Vec<_> = (0..64).filter(|r| (0..64).any(|c| taken[r * 64 + c])).collect();
            let columns: Vec<_> = (0..64).filter(|c| (0..64).any(|r| taken[r * 64 + c])).collect();
            let count = taken.iter().filter(|t| **t).count();
            assert_eq!(count, rows.len() * columns.len(), "one rectangle");
            let area = count as f64 / 4096.0;
            total += area;
            let mut wanted = vec![0.0; 3 * 128];
            if how == "area" {
                for (at, wanted) in wanted.iter_mut().enumerate() {
                    let other = own_targets[(at + 128) % 384];
                    *wanted = (1.0 - area) * own_targets[at] + area * other;
                }
            } else {
                let batch = mixed();
                for sample in 0..3 {
                    for (from, cut) in [(sample, false), ((sample + 1) % 3, true)] {
                        for (row, column) in batch.targets(from) {
                            if taken[row * 64 + column] == cut {
                                wanted[sample * 128 + row] = 1.0;
                                wanted[sample * 128 + 64 + column] = 1.0;
                            }
                        }
                    }
                }
            }
            for (found, wanted) in targets.iter().zip(&wanted) {
                assert!((found - wanted).abs() < 1e-12, "{how}: {found}, {wanted}");
            }
        }
        // Of λ uniform half the screen; less, for rectangles are cut at the border.
        assert!((0.15..0.5).contains(&(total / 60.0)), "{total}");
    }
}

#[test]
fn noise_has_the_size_asked_for() {
    let given = [("input_noise", number(0.25))];
    for [own, _, image, _] in mixings("input_noise", &given, 2) {
        let n = own.len() as f64;
        let square: f64 = own.iter().zip(&image).map(|(a, b)| (a - b).powi(2)).sum();
        assert!((square / n / 0.0625 - 1.0).abs() < 0.03, "{}", square / n);
    }
    for (name, value, formula) in [
        ("weight_noise", 0.5, (|w, _| (w - 1.0f64).powi(2) / 0.25) as fn(f64, f64) -> f64),
        ("drop_connect", 0.3, |w, _| if w == 0.0 || w == 1.0 / 0.7 { w } else { f64::NAN }),
    ] {
        let graph = Graph::new(DType::F64);
        let scene = scene(&graph);
        let ones = graph.expand(graph.scalar(1.0).unwrap(), &[200, 300]).unwrap();
        let weight = made(name, &[(name, number(value))]).weight(&scene, ones).unwrap();
        graph.output("w", weight).unwrap();
        let mut program = compiled(&graph);
        run(&mut program, &graph, 1);
        let found = read(&program, "w");
        let mean = found.iter().map(|w| formula(*w, value)).sum::<f64>() / 6e4;
        assert!((mean - 1.0).abs() < 0.02, "{name}: {mean}");
        run(&mut program, &graph, 2);
        assert_ne!(read(&program, "w"), found, "each step draws");
    }
}

/// A loss of a weight matrix and a vector, with three outputs.
struct Small<'a> {
    scene: Scene<'a>,
    weight: NodeId,
    image: NodeId,
    outputs: NodeId,
    value: NodeId,
}

/// y = x Wᵀ of x [2, 4] and W [128, 4]; the loss is the mean of y³.
fn small(graph: &Graph) -> Small<'_> {
    let scene = scene(graph);
    let weight = graph.input("w", DType::F64, &[128, 4]).unwrap();
    let x = graph.input("x", DType::F64, &[2, 4]).unwrap();
    let image = graph.scale(x, 1.0).unwrap();
    let outputs = graph.matmul_with(image, weight, false, true).unwrap();
    let cube = graph.mul(graph.square(outputs).unwrap(), outputs).unwrap();
    let value = graph.mean_all(cube).unwrap();
    Small { scene, weight, image, outputs, value }
}

fn weights() -> Vec<f64> {
    (0..512).map(|at| noise(5, at)).collect()
}

const X: [f64; 8] = [0.01, 0.99, 0.52, 0.3, 0.98, 0.02, 0.4, 0.6];

fn product(w: &[f64], x: &[f64]) -> Vec<f64> {
    let row = |at: usize| (0..4).map(|k| x[at / 128 * 4 + k] * w[at % 128 * 4 + k]).sum();
    (0..256).map(row).collect()
}

fn cubes(w: &[f64], x: &[f64]) -> f64 {
    product(w, x).iter().map(|y| y.powi(3)).sum::<f64>() / 256.0
}

/// The slope of the mean cube by x.
fn slopes(w: &[f64], x: &[f64]) -> Vec<f64> {
    let y = product(w, x);
    let slope = |at: usize| {
        let (sample, k) = (at / 4, at % 4);
        (0..128).map(|o| 3.0 * y[sample * 128 + o].powi(2) * w[o * 4 + k]).sum::<f64>() / 256.0
    };
    (0..8).map(slope).collect()
}

/// The value that a regularizer makes, and its gradient by the weights.
fn of_the_loss(name: &str, given: Given<'_>) -> (f64, Vec<f64>) {
    let graph = Graph::new(DType::F64);
    let Small { scene, weight, image, outputs, value } = small(&graph);
    let parameters = [("w".to_owned(), weight)];
    let of = Learned { image, outputs, branches: 1, parameters: &parameters };
    let value = made(name, given).value(&scene, &of, value).unwrap();
    graph.output("value", value).unwrap();
    graph.output("gradient", graph.gradient(value, &[weight]).unwrap()[0]).unwrap();
    let mut program = compiled(&graph);
    program.set_input("w", &Tensor::from_f64(&[128, 4], weights())).unwrap();
    program.set_input("x", &Tensor::from_f64(&[2, 4], X.to_vec())).unwrap();
    run(&mut program, &graph, 0);
    (read(&program, "value")[0], read(&program, "gradient"))
}

/// Holds value and gradient to a formula of the weights.
fn holds(name: &str, given: Given<'_>, formula: impl Fn(&[f64]) -> f64) {
    let (value, gradient) = of_the_loss(name, given);
    let w = weights();
    let wanted = formula(&w);
    assert!((value - wanted).abs() <= 1e-11 * (1.0 + wanted.abs()), "{name}: {value}, {wanted}");
    let direction: Vec<f64> = (0..w.len()).map(|at| noise(8, at)).collect();
    let moved =
        |h: f64| formula(&w.iter().zip(&direction).map(|(w, d)| w + h * d).collect::<Vec<_>>());
    let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
    let found: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    assert!((found - slope).abs() <= 1e-7 * (1.0 + slope.abs()), "{name}: {found}, {slope}");
}

#[test]
fn penalties_are_their_formulas() {
    holds("l1", &[("l1", number(0.3))], |w| {
        cubes(w, &X) + 0.3 * w.iter().map(|w| w.abs()).sum::<f64>()
    });
    holds("l2", &[("l2", number(0.3))], |w| {
        cubes(w, &X) + 0.15 * w.iter().map(|w| w * w).sum::<f64>()
    });
    let weight = ("confidence_penalty", number(0.4));
    holds("confidence_penalty", std::slice::from_ref(&weight), |w| {
        let entropies = product(w, &X)
            .chunks(64)
            .map(|y| {
                let sum: f64 = y.iter().map(|y| y.exp()).sum();
                -y.iter().map(|y| y.exp() / sum * (y.exp() / sum).ln()).sum::<f64>()
            })
            .sum::<f64>();
        cubes(w, &X) - 0.4 * entropies / 2.0
    });
    holds("confidence_penalty", &[weight.clone(), ("loss", text("bce"))], |w| {
        let entropy = |y: &f64| {
            let p = 1.0 / (1.0 + (-y).exp());
            -p * p.ln() - (1.0 - p) * (1.0 - p).ln()
        };
        cubes(w, &X) - 0.4 * product(w, &X).iter().map(entropy).sum::<f64>() / 256.0
    });
    let entry = regularizers::find("confidence_penalty").unwrap();
    let error = (entry.make)(&settings(&[weight, ("loss", text("mse"))])).err().unwrap();
    assert!(error.to_string().contains("the loss mse are no probabilities"), "{error}");
}

#[test]
fn screens_are_changed_uphill_within_their_bounds() {
    let step = |x: &[f64], from: &[f64], size: f64, most: f64| -> Vec<f64> {
        let slopes = slopes(&weights(), x);
        let moved = |at: usize| {
            let near = (x[at] + size * slopes[at].signum()).clamp(from[at] - most, from[at] + most);
            near.clamp(0.0, 1.0)
        };
        (0..8).map(moved).collect()
    };
    let fgsm = [("adversarial", text("fgsm")), ("adversarial_epsilon", number(0.1))];
    let changed = step(&X, &X, 0.1, 0.1);
    assert!(changed.contains(&0.0) || changed.contains(&1.0), "the border is tried");
    // The changed screen does not depend on the weights.
    holds("adversarial", &fgsm, |w| 0.5 * cubes(w, &X) + 0.5 * cubes(w, &changed));
    let mut pgd = vec![
        ("adversarial", text("pgd")),
        ("adversarial_epsilon", number(0.1)),
        ("adversarial_step", number(0.06)),
        ("adversarial_iterations", Value::Int(3)),
        ("adversarial_weight", number(0.8)),
        ("adversarial_start", Value::Bool(false)),
    ];
    let mut there = X.to_vec();
    (0..3).for_each(|_| there = step(&there, &X, 0.06, 0.1));
    holds("adversarial", &pgd, |w| 0.2 * cubes(w, &X) + 0.8 * cubes(w, &there));
    // From a random place it goes elsewhere, and also up.
    pgd[5].1 = Value::Bool(true);
    let (drawn, _) = of_the_loss("adversarial", &pgd);
    assert!(drawn > cubes(&weights(), &X));
}

/// A parameter after each of some updates of plain descent with rate 1.
fn constrained(given: Given<'_>, shape: &[usize], steps: usize) -> Vec<Vec<f64>> {
    let n: usize = shape.iter().product();
    let mut all = vec![("optimizer", text("sgd")), ("rate", number(1.0))];
    all.extend(given.iter().cloned());
    let start: Vec<f64> = (0..n).map(|at| noise(11, at)).collect();
    let start = [("w".to_owned(), Tensor::from_f64(shape, start))];
    let mut found = Recorded::new(&settings(&all), &start, DType::F64, Choice::default()).unwrap();
    let mut weights = Vec::new();
    for step in 0..steps {
        let gradient = (0..n).map(|at| 0.1 * noise(20 + step, at)).collect();
        found.step(&[gradient]).unwrap();
        weights.push(found.state().get("w").unwrap().to_f64());
    }
    weights
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn weights_of_a_unit_stay_within_their_norm() {
    let mut wanted: Vec<f64> = (0..24).map(|at| noise(11, at)).collect();
    let found = constrained(&[("max_norm", number(1.6))], &[3, 2, 2, 2], 6);
    let mut cut = 0;
    for (step, found) in found.iter().enumerate() {
        wanted.iter_mut().enumerate().for_each(|(at, w)| *w -= 0.1 * noise(20 + step, at));
        for unit in wanted.chunks_mut(8) {
            let size = norm(unit);
            if size > 1.6 {
                unit.iter_mut().for_each(|w| *w *= 1.6 / size);
                cut += 1;
            }
        }
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-14, "{step}: {found}, {wanted}");
        }
    }
    assert!(cut > 0 && cut < 18, "some units are cut, some are not: {cut}");
    // Biases are no weights of units.
    let free = constrained(&[("max_norm", number(0.01))], &[24], 1);
    assert!(norm(&free[0]) > 1.0);
}

#[test]
fn the_largest_singular_value_stays_within_its_bound() {
    let given = [("spectral_norm", number(0.7)), ("spectral_iterations", Value::Int(200))];
    for shape in [&[3, 2, 2, 1][..], &[4, 3], &[2, 6]] {
        let (rows, mut reached) = (shape[0], false);
        for w in constrained(&given, shape, 4) {
            // The largest eigenvalue of W Wᵀ by powers of it.
            let columns = w.len() / rows;
            let mut u = vec![1.0; rows];
            let mut largest = 0.0;
            for _ in 0..2000 {
                let v: Vec<f64> = (0..columns)
                    .map(|c| (0..rows).map(|r| w[r * columns + c] * u[r]).sum())
                    .collect();
                u = (0..rows)
                    .map(|r| (0..columns).map(|c| w[r * columns + c] * v[c]).sum())
                    .collect();
                largest = norm(&u).sqrt();
                let size = norm(&u);
                u.iter_mut().for_each(|u| *u /= size);
            }
            assert!(largest < 0.7 + 1e-9, "{shape:?}: {largest}");
            reached |= largest > 0.7 - 1e-9;
        }
        assert!(reached, "{shape:?}: the bound is tried");
    }
    // One that is small enough stays as it is, and zeros stay zeros.
    let free = constrained(&[("spectral_norm", number(1e3))], &[4, 3], 3);
    assert_eq!(free, constrained(&[], &[4, 3], 3));
}

#[test]
fn gradient_noise_falls_with_the_updates() {
    let given = [("gradient_noise", number(0.09)), ("gradient_noise_decay", number(1.0))];
    let (noisy, plain) = (constrained(&given, &[400, 100], 3), constrained(&[], &[400, 100], 3));
    let mut before = vec![0.0; 40_000];
    for (step, (noisy, plain)) in noisy.iter().zip(&plain).enumerate() {
        let away: Vec<f64> = noisy.iter().zip(plain).map(|(a, b)| a - b).collect();
        let moved: f64 = away.iter().zip(&before).map(|(a, b)| (a - b).powi(2)).sum();
        let wanted = 0.09 / (step as f64 + 1.0);
        assert!((moved / 4e4 / wanted - 1.0).abs() < 0.03, "{step}: {}", moved / 4e4);
        before = away;
    }
}

const SHAPE: BatchShape =
    BatchShape { samples: 6, specks: 2, backgrounds: 1, size: 1, falloff: 0.0 };

struct Specks;

impl Batches for Specks {
    fn shape(&self) -> BatchShape {
        SHAPE
    }
    fn fill(&self, step: u64, batch: &mut SpeckBatch) {
        batch.clear();
        batch.background.fill(0.25);
        let places = batch.positions.iter_mut().enumerate();
        places.for_each(|(i, at)| *at = ((step as usize * 31 + i * 17 + i * i) % 64) as i32);
        let colours = batch.colours.iter_mut().enumerate();
        colours.for_each(|(i, c)| *c = ((step as usize + i) % 5) as f32 / 5.0);
    }
}

fn learner(
    given: Given<'_>,
    (model, of_model): (&str, Given<'_>),
    float: DType,
    mode: Mode,
) -> Result<Box<dyn Learner>, LearnerError> {
    let entry = speck_models::find(model).unwrap();
    let of_model: Vec<_> = of_model.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let model = (entry.make)(&resolve(entry.dimensions, &of_model).unwrap()).unwrap();
    let setup = Setup {
        model: model.into(),
        shape: SHAPE,
        seed: 5,
        kernels: Choice::default(),
        float,
        mode,
    };
    (speck_learners::find("gradient").unwrap().make)(&settings(given), setup)
}

/// Every regularizer, with the model that it is tried on.
fn variants() -> Vec<(Vec<(&'static str, Value)>, (&'static str, Vec<(&'static str, Value)>))> {
    let list = |values: &[i64]| Value::List(values.iter().map(|v| Value::Int(*v)).collect());
    let cnn = || ("cnn", vec![("channels", list(&[3])), ("dropout", number(0.2))]);
    let resnet = || ("resnet", vec![("width", Value::Int(3)), ("blocks", Value::Int(1))]);
    let mut all: Vec<_> = [
        ("mixup", 0.4),
        ("cutmix", 1.0),
        ("label_smoothing", 0.1),
        ("label_blur", 1.0),
        ("input_noise", 0.1),
        ("weight_noise", 0.01),
        ("drop_connect", 0.2),
        ("l1", 1e-3),
        ("l2", 1e-2),
        ("confidence_penalty", 0.1),
        ("gradient_noise", 1e-4),
        ("max_norm", 0.5),
        ("spectral_norm", 0.5),
    ]
    .map(|(name, value)| (vec![(name, number(value))], cnn()))
    .into();
    all.push((vec![("drop_path", number(0.3))], resnet()));
    all.push((vec![("adversarial", text("fgsm"))], cnn()));
    let iterations = ("adversarial_iterations", Value::Int(2));
    all.push((vec![("adversarial", text("pgd")), iterations], cnn()));
    all.push((vec![("dropped", text("maps"))], cnn()));
    all.push((vec![("dropped", text("alpha"))], cnn()));
    let names = |given: &Vec<(&'static str, Value)>| given[0].0;
    for entry in regularizers::ALL {
        assert!(all.iter().any(|(given, _)| names(given) == entry.name), "{}", entry.name);
    }
    all
}

fn state(learner: &mut dyn Learner) -> Vec<(String, Tensor)> {
    let all = learner.state().unwrap().iter();
    all.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

#[test]
fn training_is_the_same_in_both_modes() {
    for (given, (model, of_model)) in variants() {
        let made = |mode| learner(&given, (model, &of_model), DType::F64, mode).unwrap();
        let (mut dense, mut structured) = (made(Mode::Dense), made(Mode::Structured));
        let plain = learner(&[], (model, &of_model), DType::F64, Mode::Dense);
        let (mut plain, mut differs) = (plain.unwrap(), false);
        for step in 0..4 {
            let wanted = dense.learn(&Specks, 1).unwrap();
            let found = structured.learn(&Specks, 1).unwrap();
            assert!((found - wanted).abs() <= 1e-9, "{given:?} {step}: {found}, {wanted}");
            differs |= (plain.learn(&Specks, 1).unwrap() - wanted).abs() > 1e-9;
        }
        assert!(differs, "{given:?} does something");
        for ((name, a), (_, b)) in state(&mut *dense).iter().zip(state(&mut *structured)) {
            for (a, b) in a.to_f64().iter().zip(b.to_f64()) {
                assert!((a - b).abs() <= 1e-8, "{given:?} {name}: {b}, {a}");
            }
        }
    }
}

#[test]
fn training_goes_on_to_the_same_bits() {
    for (given, (model, of_model)) in variants() {
        let made = || learner(&given, (model, &of_model), DType::F32, Mode::Structured).unwrap();
        let mut whole = made();
        whole.learn(&Specks, 3).unwrap();
        let saved = state(&mut *whole);
        whole.learn(&Specks, 3).unwrap();
        let mut resumed = made();
        resumed.restore(saved).unwrap();
        resumed.learn(&Specks, 3).unwrap();
        assert_eq!(state(&mut *resumed), state(&mut *whole), "{given:?}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |given: Given<'_>, model: (&str, Given<'_>)| {
        learner(given, model, DType::F32, Mode::Dense).err().unwrap().to_string()
    };
    let linear = ("linear", &[][..]);
    let both = [("mixup", number(0.2)), ("cutmix", number(1.0))];
    assert!(refused(&both, linear).contains("one of them must be 0"));
    let path = [("drop_path", number(0.2))];
    assert!(refused(&path, linear).contains("no residual branch"));
    let search = [("optimizer", text("lbfgs")), ("max_norm", number(1.0))];
    assert!(refused(&search, linear).contains("searches for the loss's minimum by itself"));
    let instead = [("pretext", text("autoencoder")), ("l1", number(0.1))];
    assert!(refused(&instead, linear).starts_with("`l1`"), "{}", refused(&instead, linear));
    let dimensions = speck_learners::find("gradient").unwrap().dimensions;
    for (key, value) in [
        ("mixup", -0.1),
        ("label_smoothing", 1.5),
        ("drop_connect", 1.0),
        ("drop_path", 1.0),
        ("l1", -1.0),
        ("max_norm", f64::NAN),
        ("spectral_norm", -0.5),
        ("adversarial_epsilon", 0.1),
    ] {
        let error = resolve(dimensions, &[(key.to_owned(), number(value))]).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
    for entry in regularizers::ALL {
        assert!(entry.source.len() > 5 && entry.summary.len() > 5, "{}", entry.name);
        assert_eq!(entry.name, entry.dimensions[0].name);
        assert!((entry.make)(&settings(&[])).unwrap().is_none(), "{} is off", entry.name);
    }
}
