//! Learning to learn against steps of plain gradient descent, and the gradient
//! through inner steps against differences.

use speck_engine::kernels::Choice;
use speck_engine::{DType, Tensor, structure};
use speck_learners::{BatchShape, Batches, Learner, Setup, SpeckBatch};
use speck_models::settings::{Value, resolve};

const RATE: f64 = 0.2;
const INNER: f64 = 0.3;
const SAMPLES: usize = 12;

/// Samples `from..from + samples` of one batch.
struct Part {
    from: usize,
    samples: usize,
}

impl Batches for Part {
    fn shape(&self) -> BatchShape {
        let samples = self.samples;
        BatchShape { samples, specks: 1, backgrounds: 1, size: 1, falloff: 0.0 }
    }
    fn fill(&self, _: u64, batch: &mut SpeckBatch) {
        batch.clear();
        for i in 0..self.samples {
            let number = self.from + i;
            batch.positions[i * 2] = (number * 29 % 64) as i32;
            batch.positions[i * 2 + 1] = (number * 17 % 64) as i32;
            let colour = [0.2, 0.5, 1.0].map(|part| part * (1.0 + number as f32) / 12.0);
            batch.colours[i * 3..i * 3 + 3].copy_from_slice(&colour);
        }
    }
}

const WHOLE: Part = Part { from: 0, samples: SAMPLES };

fn learner(samples: usize, rate: f64, given: &[(&str, Value)]) -> Box<dyn Learner> {
    let entry = speck_models::find("mlp").expect("a model");
    let text = |value: &str| Value::Text(value.to_owned());
    let hidden = ("hidden".to_owned(), Value::List(vec![Value::Int(4)]));
    let smooth = ("activation".to_owned(), text("tanh"));
    let model = resolve(entry.dimensions, &[hidden, smooth]).expect("settings");
    let model = (entry.make)(&model).expect("a model").into();
    let mut all =
        vec![("optimizer".to_owned(), text("sgd")), ("rate".to_owned(), Value::Float(rate))];
    all.extend(given.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let entry = speck_learners::find("gradient").expect("a learner");
    let settings = resolve(entry.dimensions, &all).expect("settings");
    let shape = Part { from: 0, samples }.shape();
    let (kernels, float, mode) = (Choice::default(), DType::F64, structure::Mode::Auto);
    let setup = Setup { model, shape, seed: 2, kernels, float, mode };
    (entry.make)(&settings, setup).expect("a learner")
}

type Weights = Vec<(String, Tensor)>;

fn weights(learner: &mut dyn Learner) -> Weights {
    let state = learner.state().expect("a state").iter();
    let own = state.filter(|(name, _)| !name.starts_with("learner/"));
    own.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

fn flat(weights: &Weights) -> Vec<f64> {
    weights.iter().flat_map(|(_, tensor)| tensor.to_f64()).collect()
}

/// One plain step on some samples: the weights after it, and the loss before it.
fn stepped(from: &Weights, part: &Part, rate: f64) -> (Weights, f64) {
    let mut plain = learner(part.samples, rate, &[]);
    plain.adopt(from).expect("the same model");
    let loss = plain.learn(part, 1).expect("a step");
    (weights(&mut *plain), loss)
}

/// The loss of the tasks, and the weights after one step, from some weights.
fn meta(from: &Weights, given: &[(&str, Value)]) -> (Weights, f64) {
    let mut learner = learner(SAMPLES, RATE, given);
    learner.adopt(from).expect("the same model");
    let loss = learner.learn(&WHOLE, 1).expect("a step");
    (weights(&mut *learner), loss)
}

fn settings(way: &str, tasks: i64, steps: i64) -> Vec<(&'static str, Value)> {
    vec![
        ("meta", Value::Text(way.to_owned())),
        ("tasks", Value::Int(tasks)),
        ("inner_steps", Value::Int(steps)),
        ("inner_rate", Value::Float(INNER)),
    ]
}

fn beginning() -> Weights {
    let mut learner = learner(SAMPLES, RATE, &[]);
    weights(&mut *learner)
}

#[track_caller]
fn assert_close(found: &[f64], wanted: &[f64], within: f64) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() <= within * (1.0 + wanted.abs()), "{found} not {wanted}");
    }
}

/// The gradient that a step of plain descent was made with.
fn gradient(before: &Weights, after: &Weights, rate: f64) -> Vec<f64> {
    flat(before).iter().zip(flat(after)).map(|(b, a)| (b - a) / rate).collect()
}

#[test]
fn the_loss_is_that_of_the_query_samples_after_the_inner_steps() {
    let begin = beginning();
    for (tasks, steps) in [(1, 1), (2, 1), (3, 2)] {
        let size = SAMPLES / (2 * tasks);
        let (mut loss, mut first_order) = (0.0, vec![0.0; flat(&begin).len()]);
        for task in 0..tasks {
            let support = Part { from: 2 * task * size, samples: size };
            let query = Part { from: (2 * task + 1) * size, samples: size };
            let mut adapted = begin.clone();
            for _ in 0..steps {
                adapted = stepped(&adapted, &support, INNER).0;
            }
            let (after, value) = stepped(&adapted, &query, RATE);
            loss += value / tasks as f64;
            for (sum, g) in first_order.iter_mut().zip(gradient(&adapted, &after, RATE)) {
                *sum += g / tasks as f64;
            }
        }
        let (_, found) = meta(&begin, &settings("maml", tasks as i64, steps));
        assert_close(&[found], &[loss], 1e-12);
        let (after, found) = meta(&begin, &settings("first_order_maml", tasks as i64, steps));
        assert_close(&[found], &[loss], 1e-12);
        assert_close(&gradient(&begin, &after, RATE), &first_order, 1e-10);
    }
}

#[test]
fn the_gradient_goes_through_the_inner_steps() {
    let begin = beginning();
    let given = settings("maml", 2, 2);
    let (after, _) = meta(&begin, &given);
    let second = gradient(&begin, &after, RATE);
    let (after, _) = meta(&begin, &settings("first_order_maml", 2, 2));
    let first = gradient(&begin, &after, RATE);
    for direction in 0..3 {
        let along: Vec<f64> =
            (0..second.len()).map(|i| ((i * 13 + direction * 7) as f64).sin()).collect();
        let moved = |by: f64| -> f64 {
            let mut at = 0;
            let shift = |(name, tensor): &(String, Tensor)| {
                let values: Vec<_> = tensor
                    .to_f64()
                    .iter()
                    .map(|value| {
                        at += 1;
                        value + by * along[at - 1]
                    })
                    .collect();
                (name.clone(), Tensor::new(tensor.ty(), &values))
            };
            let from: Weights = begin.iter().map(shift).collect();
            meta(&from, &given).1
        };
        let step = 1e-5;
        let wanted = (moved(step) - moved(-step)) / (2.0 * step);
        let slope = |g: &[f64]| g.iter().zip(&along).map(|(g, a)| g * a).sum::<f64>();
        assert!((slope(&second) - wanted).abs() < 1e-6 * (1.0 + wanted.abs()));
        assert!((slope(&first) - wanted).abs() > 1e-4, "the first order is another gradient");
    }
}

#[test]
fn reptile_goes_towards_the_weights_of_the_tasks() {
    let begin = beginning();
    let (tasks, steps) = (2, 3);
    let size = SAMPLES / (tasks * steps);
    let mut mean = vec![0.0; flat(&begin).len()];
    let mut loss = 0.0;
    for task in 0..tasks {
        let mut adapted = begin.clone();
        for step in 0..steps {
            let part = Part { from: (task * steps + step) * size, samples: size };
            let (after, value) = stepped(&adapted, &part, INNER);
            if step == 0 {
                loss += value / tasks as f64;
            }
            adapted = after;
        }
        mean.iter_mut().zip(flat(&adapted)).for_each(|(m, w)| *m += w / tasks as f64);
    }
    let (after, found) = meta(&begin, &settings("reptile", tasks as i64, steps as i64));
    assert_close(&[found], &[loss], 1e-12);
    let wanted: Vec<_> =
        flat(&begin).iter().zip(&mean).map(|(begin, mean)| begin + RATE * (mean - begin)).collect();
    assert_close(&flat(&after), &wanted, 1e-12);
}

#[test]
fn batches_that_cannot_be_divided_are_refused() {
    let entry = speck_learners::find("gradient").expect("a learner");
    let refusal = |given: &[(&str, Value)], samples: usize| {
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let settings = resolve(entry.dimensions, &given).expect("settings");
        speck_learners::gradient::meta::check(&settings, samples).map_err(|error| error.to_string())
    };
    assert!(refusal(&settings("maml", 3, 1), 12).is_ok());
    let error = refusal(&settings("maml", 5, 1), 12).unwrap_err();
    assert!(error.contains("`batch`") && error.contains("10 or 20 can"), "{error}");
    let error = refusal(&settings("reptile", 4, 4), 12).unwrap_err();
    assert!(error.contains("among the 16") && error.contains("; 16 can"), "{error}");
    let mut both = settings("maml", 3, 1);
    both.push(("pretext", Value::Text("simclr".to_owned())));
    assert!(refusal(&both, 12).unwrap_err().contains("`pretext`"));
}
