//! Training steps of the lab's models on the main task: one white pixel on
//! black, 64 samples a step, on one thread and on two.
//!
//! A step is what a run repeats: make the batch, copy it into the program, run
//! the program (screen, model, loss, gradient, update of the weights).

use criterion::{BenchmarkId, Criterion, Throughput};
use speck_engine::DType;
use speck_engine::kernels::Choice;
use speck_engine::structure::Mode;
use speck_harness::data::{DataSettings, Source};
use speck_learners::{Batches, Learner, Setup};
use speck_models::settings::{Value, resolve};

const SAMPLES: usize = 64;

/// Something to train: the name of the bench, the entries of the registries,
/// the model's settings that are not their defaults.
struct Subject {
    name: &'static str,
    model: &'static str,
    learner: &'static str,
    given: Vec<(String, Value)>,
}

/// Every architecture as it comes, by gradient descent; then what is not a
/// default: coordinate channels, and learning without a gradient.
fn subjects() -> Vec<Subject> {
    let plain = |name, learner| Subject { name, model: name, learner, given: Vec::new() };
    let mut subjects: Vec<_> =
        speck_models::ALL.iter().map(|entry| plain(entry.name, "gradient")).collect();
    let coord = vec![("coord".to_owned(), Value::Bool(true))];
    subjects.push(Subject { name: "cnn coord", given: coord, ..plain("cnn", "gradient") });
    subjects.push(Subject { name: "linear hebbian", ..plain("linear", "hebbian") });
    subjects
}

fn learner(subject: &Subject, source: &Source) -> Box<dyn Learner> {
    let model = speck_models::find(subject.model).expect("a model of the registry");
    let settings = resolve(model.dimensions, &subject.given).expect("settings of the model");
    let model = (model.make)(&settings).expect("a model");
    let entry = speck_learners::find(subject.learner).expect("a learner of the registry");
    let settings = resolve(entry.dimensions, &[]).expect("the learner's defaults");
    let setup = Setup {
        model: model.into(),
        shape: source.shape(),
        seed: 0,
        kernels: Choice::default(),
        float: DType::F32,
        mode: Mode::Dense,
    };
    (entry.make)(&settings, setup).expect("a learner")
}

fn bench(criterion: &mut Criterion, threads: usize) {
    let mut group = criterion.benchmark_group("step");
    // Elements a second are samples a second.
    group.throughput(Throughput::Elements(SAMPLES as u64));
    let source = Source::new(&DataSettings::default(), SAMPLES, 0);
    for subject in subjects() {
        let mut learner = learner(&subject, &source);
        let plural = if threads == 1 { "thread" } else { "threads" };
        let id = BenchmarkId::new(subject.name, format!("{threads} {plural}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| learner.learn(&source, 1).expect("a step"));
        });
    }
    group.finish();
}

fn main() {
    for threads in [1, 2] {
        speck_benches::on_threads(threads, |criterion| bench(criterion, threads));
    }
}
